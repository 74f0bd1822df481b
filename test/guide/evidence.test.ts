import t from 'tap'
import {
  advise,
  evidenceFor,
  evidenceOf,
  isDifference,
  type Measured,
  measured,
  measuredNetworks,
  measures,
  networkMeasures,
  recommend,
  scenarioNames,
} from '../../src/guide/index.ts'

const range = (median: number, spread = 0) => ({
  median,
  low: median - spread / 2,
  high: median + spread / 2,
})

/** Figures as a run might give them: for this test only. */
const figures: Measured = {
  date: '2026-01-02',
  machine: 'a machine',
  figures: {
    'chat/deliver': {
      unit: 'ms',
      sse: range(0.912, 0.1),
      websocket: range(0.953, 0.02),
      'long-poll': range(3.1401),
    },
    'chat/bytes': { unit: 'B', sse: range(204.4, 2), websocket: range(172.2, 1) },
    'game/uplink': { unit: 'ms', sse: range(1.5, 0.1), websocket: range(0.5, 0.1) },
    'training/knee': { unit: '/s', sse: range(123456) },
  },
}

t.test('a difference smaller than both spreads together is no difference', async t => {
  t.notOk(isDifference(range(10, 4), range(13, 1)))
  t.notOk(isDifference(range(10, 1), range(13, 4)))
  t.notOk(isDifference(range(10, 3), range(13, 0)), 'nor is one as large')
  t.notOk(isDifference(range(10, 2), range(13, 2)), 'both count')
  t.ok(isDifference(range(10, 2), range(13, 0.9)))
  t.notOk(isDifference(range(10), range(10)))
})

t.test('figures in words', async t => {
  const texts = evidenceFor(['chat/deliver', 'chat/bytes', 'game/uplink', 'training/knee'], figures).map(
    ({ text }) => text,
  )
  t.same(texts, [
    'chat: publish → receive p50 0.91 ms over SSE, 0.95 ms over WebSocket, 3.1 ms over long-poll: no difference beyond the spread',
    'chat: bytes on the wire per delivered event 204 B over SSE, 172 B over WebSocket: WebSocket 16 % less than SSE',
    'game: command → answer p50 1.5 ms over SSE, 0.5 ms over WebSocket: WebSocket 67 % less than SSE',
    'training: events delivered a second, at the most 123456 /s over SSE',
  ])
})

t.test('figures that were not measured are left out, and repeated ids give one figure', async t => {
  t.same(
    evidenceFor(['chat/memory', 'chat/deliver', 'chat/storm', 'chat/deliver'], figures).map(({ id }) => id),
    ['chat/deliver'],
  )
  t.same(evidenceFor(['chat/deliver'], { date: '', machine: '', figures: {} }), [])
})

t.test('advice carries figures, and when and where they are from, only where there are any', async t => {
  t.match(advise({ scenario: 'chat' }, figures), {
    evidence: [{ id: 'chat/deliver' }, { id: 'chat/bytes' }],
    measured: { date: '2026-01-02', machine: 'a machine' },
  })
  const nothing = { date: '', machine: '', figures: {} }
  const without = advise({ scenario: 'mobile' }, figures, nothing)
  t.same(without.evidence, [])
  t.notOk('measured' in without)
})

/** Figures through the imitated network, for this test only. */
const networks: Measured = {
  date: '2026-01-03',
  machine: 'another machine',
  figures: { 'networks/cold': { unit: 'ms', sse: range(183, 1), websocket: range(244, 2) } },
}

t.test('a reason about round trips cites the network’s figure, and when that was measured', async t => {
  const advice = advise({ scenario: 'mobile' }, figures, networks)
  t.match(advice.evidence, [
    {
      id: 'networks/cold',
      text: '60 ms round trip, TLS: connect → first event 183 ms over SSE, 244 ms over WebSocket: SSE 25 % less than WebSocket',
    },
  ])
  t.match(advice.measured, {
    date: '2026-01-02',
    networks: { date: '2026-01-03', machine: 'another machine' },
  })
  t.notOk(advise({ scenario: 'chat' }, figures, { ...networks, figures: {} }).measured?.networks)
})

t.test(
  'each reason about round trips, reconnects or one connection for many names a network’s figure',
  async t => {
    for (const rule of ['one-way', 'mobile', 'busy-upstream', 'many-sessions', 'cuts-idle']) {
      const ids = (evidenceOf[rule] ?? []).filter(id => id.startsWith('networks/'))
      t.ok(ids.length > 0, rule)
      for (const id of ids) t.ok(measuredNetworks.figures[id], `${rule}: ${id} was measured`)
    }
  },
)

t.test('every id names a scenario and a measure', async t => {
  const ids = [
    ...Object.values(evidenceOf).flat(),
    ...scenarioNames.flatMap(name => recommend(name).evidence),
  ]
  for (const id of [...ids, ...Object.keys(measured.figures), ...Object.keys(measuredNetworks.figures)]) {
    const [scenario, measure] = id.split('/')
    const names =
      scenario === 'networks' ? networkMeasures : scenarioNames.includes(scenario as never) && measures
    t.ok(names && measure! in names, id)
  }
})

t.test('a scenario rests on figures of its own workload, and then on those of the network', async t => {
  for (const name of scenarioNames) {
    const { evidence } = recommend(name)
    const own = evidence.filter(id => !id.startsWith('networks/'))
    t.ok(own.length > 0 && own.every(id => id.startsWith(`${name}/`)), name)
    t.same(evidence.slice(0, own.length), own, `${name}: its own come first`)
    t.equal(new Set(evidence).size, evidence.length)
  }
})
