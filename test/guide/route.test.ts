import t from 'tap'
import { type Advice, adviseOnAll, measured, scenarioNames } from '../../src/guide/index.ts'
import { serve } from '../fixtures/wire-server.ts'

/** Asks the guide of a real server. */
async function ask(url: string, query = '') {
  const response = await fetch(`${url}/v1/guide${query}`)
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

t.test('prints every scenario when there are no flags', async t => {
  const { url } = await serve(t)
  const { status, body } = await ask(url)
  t.equal(status, 200)
  const scenarios = body['scenarios'] as Advice[]
  t.same(scenarios, JSON.parse(JSON.stringify(adviseOnAll())))
  t.same(
    scenarios.map(({ scenario }) => scenario),
    [...scenarioNames],
  )
  for (const { scenario, title, about, because, teaching } of scenarios) {
    t.ok(title && about && because.length > 0, scenario!)
    const taught = ['chat', 'editing', 'training', 'game', 'documents'].includes(scenario!)
    t.equal(teaching !== undefined, taught, `${scenario}: what the tutorial recommends`)
  }
})

t.test('a scenario, needs, and both', async t => {
  const { url } = await serve(t)
  const cases: [query: string, expected: object][] = [
    [
      '?scenario=chat',
      { scenario: 'chat', transport: 'sse', teaching: { transport: 'sse', holds: 'in part' } },
    ],
    [
      '?scenario=game',
      { transport: 'websocket', because: [{ rule: 'busy-upstream' }], teaching: { holds: 'no' } },
    ],
    [
      '?scenario=game&stripsUpgrade=true',
      { transport: 'sse', fallback: ['long-poll'], needs: { upstreamPerSecond: 20, stripsUpgrade: true } },
    ],
    ['?scenario=editing&upstreamPerSecond=0.2', { transport: 'sse', needs: { upstreamPerSecond: 0.2 } }],
    ['?upstreamPerSecond=20', { transport: 'websocket', fallback: ['sse', 'long-poll'] }],
    ['?sessions=5&connections=6', { transport: 'websocket', because: [{ rule: 'many-sessions' }] }],
    ['?webSocket=false&streams=false', { transport: 'long-poll', fallback: [] }],
    ['?binary=false', { transport: 'sse', needs: { binary: false } }],
  ]
  for (const [query, expected] of cases) {
    const { status, body } = await ask(url, query)
    t.equal(status, 200)
    t.match(body, expected, query)
    t.equal('measured' in body, (body['evidence'] as unknown[]).length > 0)
    if (!measured.date) t.same(body['evidence'], [], 'no figures before there are any')
  }
})

t.test('bad questions are refused with the name of the wrong field', async t => {
  const { url } = await serve(t)
  const cases: [query: string, path: string][] = [
    ['?scenario=poker', 'scenario'],
    ['?upstreamPerSecond=fast', 'upstreamPerSecond'],
    ['?upstreamPerSecond=-1', 'upstreamPerSecond'],
    ['?upstreamPerSecond=1e9', 'upstreamPerSecond'],
    ['?upstreamPerSecond=', 'upstreamPerSecond'],
    ['?sessions=0', 'sessions'],
    ['?sessions=1.5', 'sessions'],
    ['?sessions=99999999', 'sessions'],
    ['?binary=1', 'binary'],
    ['?binary=true&binary=false', 'binary'],
    ['?scenario=__proto__', 'scenario'],
  ]
  for (const [query, path] of cases) {
    const { status, body } = await ask(url, query)
    t.equal(status, 400, query)
    t.match(body, { error: { code: 'bad-request', details: { path } } }, query)
  }
  t.match((await ask(url, '?colour=red')).body, { scenarios: [] }, 'other names are passed over')
})

t.test('the description of the calls has it', async t => {
  const { url } = await serve(t)
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: Record<string, never> }
  t.match(paths['/v1/guide'], {
    get: { parameters: [{ name: 'upstreamPerSecond', in: 'query', description: /commands/ }] },
  })
})
