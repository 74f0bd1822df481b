import t from 'tap'
import { measured } from '../guide/cells.ts'
import { machineOf, measuredOf, measuredSource } from '../guide/figures.ts'
import { trialText } from '../guide/sentences.ts'
import { agreement } from '../guide/tables.ts'
import { CLEAR, COUNTS_MS, compare, speaksFor, type Trial, verdictOf, verdicts } from '../guide/verdict.ts'
import type { Measured, Range } from '../package/guide.ts'
import { figureOf, makeFound, withCell } from './fixtures/findings.ts'

const range = (median: number, spread = 0): Range => ({
  median,
  low: median - spread / 2,
  high: median + spread / 2,
})

const pair = (sse: Range, websocket: Range) => compare('deliver', { sse, websocket })

t.test('a difference smaller than the spread is called no difference', async t => {
  t.match(pair(range(10, 2), range(11.9, 0.1)), { better: 'neither', counts: false, text: 'no difference' })
  t.match(pair(range(10, 1), range(12, 1)), { better: 'neither' })
  t.match(pair(range(10, 1), range(12.1, 1)), { better: 'sse', text: 'SSE 17 % less' })
  t.match(pair(range(12.1, 1), range(10, 1)), { better: 'websocket', text: 'WebSocket 17 % less' })
  t.match(pair(range(0), range(0)), { better: 'neither' })
})

t.test('a small difference beyond the spread is reported, but does not count', async t => {
  t.match(pair(range(100), range(120)), { better: 'sse', clear: false, counts: false, text: 'SSE 17 % less' })
  t.match(pair(range(100 * (1 - CLEAR)), range(100)), { better: 'sse', clear: true, counts: true })
  t.match(pair(range(1000), range(1001)), { text: 'SSE < 1 % less' })
})

t.test('a clear difference of delays below 1 ms does not count', async t => {
  t.match(pair(range(0.5), range(1.4)), { better: 'sse', clear: true, counts: false, text: 'SSE 64 % less' })
  t.match(pair(range(0.5), range(0.5 + COUNTS_MS)), { clear: true, counts: true })
  t.match(compare('cpu', { sse: range(0.5), websocket: range(1.4) }), { clear: true, counts: true })
})

t.test('for the knee, more is better', async t => {
  t.match(compare('knee', { sse: range(1000), websocket: range(2000) }), {
    better: 'websocket',
    counts: true,
    text: 'SSE 50 % less',
  })
})

t.test('nothing is compared when one of the two is missing', async t => {
  const { better, counts } = compare('deliver', { sse: range(1), 'long-poll': range(3) })
  t.equal(better, undefined)
  t.notOk(counts)
})

t.test('the figures favour the transport that is better in more measures', async t => {
  const [sse, websocket, same] = [
    pair(range(10), range(20)),
    pair(range(20), range(10)),
    pair(range(1, 1), range(1)),
  ] as const
  t.equal(speaksFor([sse, websocket, sse]), 'sse')
  t.equal(speaksFor([sse, websocket]), 'neither')
  t.equal(speaksFor([same, websocket]), 'websocket')
  t.equal(speaksFor([]), 'neither')
})

const figuresOf = (name: string, sse: number, websocket: number): Measured => ({
  date: '2026-01-02',
  machine: 'x',
  figures: { [name]: { unit: 'ms', sse: range(sse), websocket: range(websocket) } },
})

t.test('guide and tutorial are compared with the figures', async t => {
  const game = verdictOf('game', figuresOf('game/uplink', 2, 1))
  t.match(game, { speaksFor: 'websocket', guide: 'websocket', guideAgrees: true, tutorialAgrees: true })
  t.equal(agreement(game), 'yes')
  const against = verdictOf('game', figuresOf('game/uplink', 1, 2))
  t.match(against, { speaksFor: 'sse', guideAgrees: false, tutorialAgrees: false })
  t.equal(agreement(against), 'no')
  const nothing = verdictOf('game', { date: '', machine: '', figures: {} })
  t.match(nothing, { wasMeasured: false, speaksFor: 'neither', guideAgrees: true })
  t.equal(agreement(nothing), '–')
})

t.test('the tutorial’s reason “lower latency” is tested', async t => {
  const holds = (measured: Measured) => verdictOf('game', measured).trials.map(({ holds }) => holds)
  t.same(holds(figuresOf('game/deliver', 1, 1)), [false, undefined])
  t.same(holds(figuresOf('game/deliver', 2, 1)), [true, undefined])
  t.same(holds(figuresOf('game/uplink', 2, 1)), [undefined, true])
  const [trial] = verdictOf('chat', figuresOf('chat/deliver', 1, 1)).trials
  t.match(trial, { holds: true, figures: /^chat: publish → receive p50 1 ms over SSE, 1 ms over WebSocket/ })
  const [late] = verdictOf('chat', figuresOf('chat/deliver', 2, 1)).trials
  t.match(late, { holds: false, hardly: false })
  const [hardly] = verdictOf('game', figuresOf('game/deliver', 1, 0.5)).trials
  t.match(hardly, { holds: true, hardly: true })
  t.match(trialText(hardly as Trial), /sooner: holds, by less than 1 ms\. game: /)
  const [little] = verdictOf('chat', figuresOf('chat/deliver', 1.1, 1)).trials
  t.equal(little?.holds, true, 'by less than counts')
})

t.test('figures come from our plain variants', async t => {
  const found = makeFound()
  const chat = found.cells.find(({ workload, variant }) => workload === 'chat' && variant === 'SSE')
  t.equal(measured(found, 'chat', 'sse', 'deliver')?.median, chat?.deliver.p50.median)
  const cpu = measured(found, 'chat', 'sse', 'cpu')?.median ?? 0
  t.ok(Math.abs(cpu - 14) < 1, 'user and system together')
  t.ok(Math.abs((measured(found, 'game', 'websocket', 'memory')?.median ?? 0) - 10.9) < 0.5)
  t.equal(measured(found, 'training', 'sse', 'uplink'), undefined)
})

t.test('figures of the buffered workload come from nginx as documented', async t => {
  const found = withCell(makeFound(), 'buffered', 'SSE, nginx as documented', cell => ({
    ...cell,
    firstEventMs: figureOf([77]),
  }))
  t.equal(measured(found, 'buffered', 'sse', 'firstEvent')?.median, 77)
})

t.test('a percentile with fewer than ten delays beyond it is not shown', async t => {
  const few = withCell(makeFound(), 'chat', 'SSE', cell => ({
    ...cell,
    ...(cell.slow && { slow: { ...cell.slow, healthy: { ...cell.slow.healthy, count: 999 } } }),
  }))
  t.equal(measured(few, 'chat', 'sse', 'slow'), undefined)
  t.ok(measured(makeFound(), 'chat', 'sse', 'slow'))
})

t.test('a figure with one sample is not compared', async t => {
  const once = withCell(makeFound(), 'chat', 'SSE', cell => ({ ...cell, kneePerSecond: figureOf([9000]) }))
  t.equal(measured(once, 'chat', 'sse', 'knee'), undefined)
  t.ok(measured(once, 'chat', 'websocket', 'knee'))
})

t.test('the guide’s figures are a module with the measurements', async t => {
  const found = makeFound()
  const data = measuredOf(found)
  t.equal(data.date, '2026-01-02')
  t.equal(data.machine, machineOf(found))
  t.ok(data.figures['chat/deliver']?.['long-poll'])
  t.equal(data.figures['training/uplink'], undefined)
  const source = measuredSource(data)
  t.match(source, /Generated by `npm run bench`; do not edit/)
  const made = source.slice(source.indexOf('= {') + 2)
  t.same(new Function(`return ${made}`)(), JSON.parse(JSON.stringify(data)))
})

t.test('a client of many sessions pays for a connection each over SSE', async t => {
  const one = verdictOf('dashboards', figuresOf('dashboards/memory', 10, 9))
  t.match(one.comparisons[0], { better: 'websocket', counts: false })
  const many = verdictOf('dashboards', figuresOf('dashboards/memory', 10, 9), 20)
  t.match(many.comparisons[0], { ranges: { sse: { median: 200 }, websocket: { median: 9 } }, counts: true })
  const handshake = verdictOf('dashboards', figuresOf('dashboards/handshake', 10, 9), 20)
  t.match(handshake.comparisons[0], { ranges: { sse: { median: 10 } } }, 'that was measured per client')
})

t.test('the buffered scenario is not judged, since nothing was buffered', async t => {
  const buffered = verdictOf('buffered', figuresOf('buffered/firstEvent', 1, 9))
  t.match(buffered, { speaksFor: 'neither', guide: 'websocket', guideAgrees: true })
  t.match(buffered.notJudged, /does not buffer these streams/)
  t.equal(agreement(buffered), '–')
})

t.test('each scenario has a verdict', async t => {
  const all = verdicts(makeFound(), { date: '', machine: '', figures: {} })
  t.equal(all.length, 10)
  t.ok(all.every(({ wasMeasured }) => wasMeasured))
  t.same(
    all.find(({ name }) => name === 'editing')?.comparisons[0]?.measure,
    'uplink',
    'what matters most first',
  )
})
