/** Upstreams that keep what they stream: a connection that breaks, or a server that dies, costs nothing. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { random, seedOf } from '../../src/log/contract/random.ts'
import { httpAgent } from '../../src/upstream/http-agent.ts'
import { cutter } from '../fixtures/cutter.ts'
import { dialectAgents } from '../fixtures/dialects.ts'
import { textOf } from '../fixtures/run-context.ts'
import { TYPESCRIPT } from '../fixtures/typescript.ts'
import {
  command,
  eventually,
  logged,
  parse,
  serve,
  startRun,
  state,
  terminalOf,
  type Wire,
} from '../fixtures/wire-server.ts'

/** A server whose agent `up` is the upstream's Responses API. */
const front = (t: Test, url: string): Promise<Wire> =>
  serve(t, {
    agents: [httpAgent({ name: 'up', url: `${url}/openai/v1/responses`, dialect: 'openai-responses' })],
  })

const said = async (wire: Wire, session: string) => textOf((await logged(wire, session)).map(parse) as never)

/** Lets the upstream's agent go on. */
async function release(t: Test, url: string, session: string): Promise<void> {
  await eventually(t, 'the upstream goes on', async () => {
    const { runId } = (await state(url, session)).runs?.at(-1) ?? {}
    return (await command(url, session, { type: 'input.steer', runId, text: 'on' })).status === 200
  })
}

t.test('an upstream that is killed in the middle of its answer, and comes back', async t => {
  const folder = t.testdir()
  const script = new URL('../fixtures/dialect-server.ts', import.meta.url).pathname
  const start = async (port: string) => {
    const child = spawn(process.execPath, [...TYPESCRIPT, script, folder, port], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    t.teardown(() => child.kill('SIGKILL'))
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    return { child, url: line.toString().trim() }
  }
  const first = await start('0')
  const wire = await front(t, first.url)
  const query = `held ${Array.from({ length: 60 }, (_, i) => i).join(' ')}`
  const input = { prompt: query, model: 'echo', conversation: 'c1' }
  const run = await startRun(wire.url, 's', 'up', input)
  await eventually(t, 'a part is there', async () => (await said(wire, 's')).length > 20)
  first.child.kill('SIGKILL')
  await once(first.child, 'close')
  const { url } = await start(new URL(first.url).port)
  await release(t, url, 'c1')
  t.match(await terminalOf(wire.url, 's', run), { type: 'run.completed' })
  t.equal(await said(wire, 's'), `${query} `)
  t.equal((await state(url, 'c1')).runs?.length, 1, 'the upstream has executed it once')
})

t.test('connections that are cut again and again', async t => {
  const upstream = await serve(t, { agents: dialectAgents })
  const line = await cutter(t, upstream.url)
  const wire = await front(t, line.url)
  const number = random(seedOf(t))
  const queries = Array.from(
    { length: 20 },
    (_, i) => `slowly ${Array.from({ length: 100 }, (_, j) => i * j).join(' ')}`,
  )
  const runs = await Promise.all(
    queries.map((prompt, i) =>
      startRun(wire.url, `s${i}`, 'up', { prompt, model: 'echo', conversation: `c${i}` }),
    ),
  )
  // A request that is cut before its first event has nothing to go on with.
  for (const i of queries.keys())
    await eventually(t, 'it answers', async () => (await said(wire, `s${i}`)).length > 0)
  let isOver = false
  let cuts = 0
  const cutting = (async () => {
    while (!isOver) {
      line.cutAll()
      cuts++
      await new Promise(resolve => setTimeout(resolve, 50 + number() * 500))
    }
  })()
  for (const [i, run] of runs.entries()) {
    t.match(await terminalOf(wire.url, `s${i}`, run), { type: 'run.completed' }, `s${i}`)
    t.equal(await said(wire, `s${i}`), `${queries[i]} `)
  }
  isOver = true
  await cutting
  t.comment(`${cuts} cuts`)
})

t.test('a cancel reaches the response of the upstream', async t => {
  const upstream = await serve(t, { agents: dialectAgents })
  const wire = await front(t, upstream.url)
  const run = await startRun(wire.url, 's', 'up', { prompt: 'go', model: 'ticking', conversation: 'c' })
  await eventually(t, 'it answers', async () => (await said(wire, 's')).length > 20)
  await command(wire.url, 's', { type: 'run.cancel', runId: run })
  t.match(await terminalOf(wire.url, 's', run), { type: 'run.cancelled' })
  await eventually(
    t,
    'the upstream has cancelled it',
    async () => (await state(upstream.url, 'c')).runs?.at(-1)?.status === 'cancelled',
  )
})
