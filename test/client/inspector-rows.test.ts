/** The rows of the inspector's timeline. */
import t from 'tap'
import { joined, rowOf } from '../../client/inspector/rows.ts'
import type { TwinrailEvent } from '../../src/protocol/index.ts'

const event = (seq: number, type: string, data: object, more: object = {}) =>
  ({ offset: `1-${seq}`, sessionId: 's', type, time: seq, data, ...more }) as TwinrailEvent

const delta = (seq: number, partId: string, text: string, more: object = {}) =>
  event(seq, 'text.delta', { partId, delta: text }, { runId: 'r', ...more })

const shown = (events: TwinrailEvent[], before: TwinrailEvent[] = []) =>
  joined(joined([], before.map(rowOf)), events.map(rowOf)).map(({ first, last, text }) => [first, last, text])

t.test('neighbouring deltas of one part are one row', async t => {
  t.same(shown([delta(1, 'a', 'x'), delta(2, 'a', 'y'), delta(3, 'b', 'z'), delta(4, 'a', '!')]), [
    [1, 2, 'xy'],
    [3, 3, 'z'],
    [4, 4, '!'],
  ])
  const other = delta(2, 'a', 'y', { runId: 'other' })
  t.equal(shown([delta(1, 'a', 'x'), other]).length, 2, 'those of another run are another row')
})

t.test('a folded event counts from its first offset, and pages join where they touch', async t => {
  const folded = delta(5, 'a', 'lo', { from: '1-4' })
  t.same(shown([folded], [delta(2, 'a', 'h'), delta(3, 'a', 'el')]), [[2, 5, 'hello']])
  t.equal(shown([folded], [delta(2, 'a', 'h')]).length, 2, 'with a hole between them they stay two rows')
})

t.test('events that are no deltas are never joined', async t => {
  t.same(shown([event(1, 'x.a', { n: 1 }), event(2, 'x.a', { n: 1 })]), [
    [1, 1, '{"n":1}'],
    [2, 2, '{"n":1}'],
  ])
  t.same(shown([event(1, 'run.started', { agent: 'echo', input: {} })]), [[1, 1, 'echo']])
  t.same(shown([event(1, 'x.a', null as unknown as object)]), [[1, 1, 'null']])
})

t.test('the text of a row is bounded', async t => {
  const long = 'x'.repeat(40_000)
  const [row] = joined([], [rowOf(delta(1, 'a', long)), rowOf(delta(2, 'a', long))])
  t.equal(row?.text.length, 64 * 1024)
})
