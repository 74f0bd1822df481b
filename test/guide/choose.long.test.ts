import t, { type Test } from 'tap'
import {
  BUSY_UPSTREAM,
  chooseTransport,
  evidenceOf,
  type Needs,
  type Recommendation,
  rules,
  SPARE_CONNECTIONS,
  scenarioNames,
  scenarios,
  type Transport,
} from '../../src/guide/index.ts'

/** Values of each need that lie on different sides of every rule. */
const values: { [N in keyof Needs]-?: readonly Needs[N][] } = {
  upstreamPerSecond: [undefined, 0, BUSY_UPSTREAM, BUSY_UPSTREAM + 0.1, 50],
  sessions: [undefined, 1, 6 - SPARE_CONNECTIONS, 7 - SPARE_CONNECTIONS, 100],
  connections: [undefined, 1, 6, 100],
  binary: [false, true],
  mobile: [false, true],
  headers: [false, true],
  plainHttp: [false, true],
  buffers: [false, true],
  stripsUpgrade: [false, true],
  cutsIdleAfterSeconds: [undefined, 60],
  webSocket: [undefined, false],
  streams: [undefined, false],
}

function* everything(names = Object.keys(values) as (keyof Needs)[]): Generator<Needs> {
  const [name, ...others] = names
  if (name === undefined) return yield {}
  for (const rest of everything(others)) for (const value of values[name]) yield { ...rest, [name]: value }
}

const combinations = [...everything()]

const orderOf = ({ transport, fallback }: Recommendation) => [transport, ...fallback]

/** What cannot work, whatever one would like. */
function impossible(needs: Needs): Transport[] {
  const { webSocket = true, streams = true, headers, plainHttp, stripsUpgrade } = needs
  const noSocket = !webSocket || headers || plainHttp || stripsUpgrade
  return [...(noSocket ? ['websocket' as const] : []), ...(streams ? [] : ['sse' as const])]
}

/** Says once for all combinations which broke `promise`: an assertion each would take minutes. */
function always(t: Test, promise: string, holds: (needs: Needs, got: Recommendation) => boolean) {
  const broken = combinations.filter(needs => !holds(needs, chooseTransport(needs)))
  t.same(broken.slice(0, 3), [], promise)
}

t.test('for all combinations of needs', async t => {
  t.equal(combinations.length, 5 * 5 * 4 * 2 ** 9)
  const known = new Map(rules.map(rule => [rule.id, rule]))
  const ids = /^([a-z]+)\/([a-zA-Z]+)$/
  always(t, 'recommends all that can work, each once, and nothing else', (needs, got) => {
    const order = orderOf(got)
    const out = impossible(needs)
    const possible = (['sse', 'websocket', 'long-poll'] as const).filter(each => !out.includes(each))
    return order.length === possible.length && possible.every(each => order.includes(each))
  })
  always(
    t,
    'says why, by rules that there are',
    (_, { because }) =>
      because.length > 0 &&
      because.every(({ rule, text }) => known.has(rule) && /^[\p{L}\d].*[^.]$/u.test(text)),
  )
  always(t, 'says nothing of what is not so: `undefined` and `NaN` are in no sentence', (_, { because }) =>
    because.every(({ text }) => !/undefined|NaN|Infinity/.test(text)),
  )
  always(
    t,
    'each reason applies, and each that applies is told, in the order of the rules',
    (needs, { because }) =>
      because.map(({ rule }) => rule).join() ===
      rules
        .filter(rule => rule.applies(needs))
        .map(({ id }) => id)
        .join(),
  )
  always(
    t,
    'evidence belongs to the reasons',
    (_, { because, evidence }) =>
      evidence.join() === because.flatMap(({ rule }) => evidenceOf[rule] ?? []).join() &&
      evidence.every(id => ids.test(id)),
  )
  always(
    t,
    'the same needs give the same answer',
    (needs, got) => JSON.stringify(chooseTransport({ ...needs })) === JSON.stringify(got),
  )
  always(t, 'what is left out is the same as its default', (needs, got) => {
    const defaults = { upstreamPerSecond: 0, sessions: 1, webSocket: true, streams: true }
    const given = Object.fromEntries(Object.entries(needs).filter(([, value]) => value !== undefined))
    return JSON.stringify(chooseTransport({ ...defaults, ...given })) === JSON.stringify(got)
  })
  always(
    t,
    'held back responses: SSE is the last that is tried',
    (needs, got) => !needs.buffers || !orderOf(got).includes('sse') || orderOf(got).at(-1) === 'sse',
  )
})

t.test('more reasons for a WebSocket never rank it lower', async t => {
  const place = (needs: Needs) => orderOf(chooseTransport(needs)).indexOf('websocket')
  const broken: unknown[] = []
  for (const needs of combinations) {
    const { upstreamPerSecond = 0, sessions = 1, connections = 1000 } = needs
    for (const more of [
      { upstreamPerSecond: upstreamPerSecond + 2 },
      { sessions: sessions + 10 },
      { connections: connections - 1 },
    ]) {
      const [before, after] = [place(needs), place({ ...needs, ...more })]
      if (before >= 0 ? !(after >= 0 && after <= before) : after >= 0) broken.push([needs, more])
    }
  }
  t.same(broken.slice(0, 3), [])
})

t.test('answers that do not affect the decision do not change the order of transports', async t => {
  const broken: unknown[] = []
  for (const needs of combinations) {
    const without = orderOf(chooseTransport({ ...needs, binary: false, cutsIdleAfterSeconds: undefined }))
    if (without.join() !== orderOf(chooseTransport(needs)).join()) broken.push(needs)
  }
  t.same(broken.slice(0, 3), [])
})

t.test('each rule applies somewhere, and its id is its own', async t => {
  const applied = new Set(
    combinations.flatMap(needs => chooseTransport(needs).because.map(({ rule }) => rule)),
  )
  t.same([...applied].sort(), rules.map(({ id }) => id).sort())
  t.equal(new Set(rules.map(({ id }) => id)).size, rules.length)
})

t.test('each scenario gets the expected recommendation', async t => {
  const expected = {
    chat: 'sse',
    editing: 'websocket',
    training: 'sse',
    game: 'websocket',
    documents: 'sse',
    dashboards: 'websocket',
    mobile: 'sse',
    buffered: 'websocket',
    binary: 'sse',
    approvals: 'sse',
  }
  t.same(
    Object.fromEntries(scenarioNames.map(name => [name, chooseTransport(scenarios[name].needs).transport])),
    expected,
  )
})
