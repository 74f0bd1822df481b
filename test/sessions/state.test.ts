import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { between, random, seedOf } from '../../src/log/contract/random.ts'
import { encodeEvent, LogEvent } from '../../src/log/event.ts'
import { ENDED_RUNS, FoldedState, type SessionState } from '../../src/sessions/state.ts'

const EPOCH = 9

interface Step {
  type: string
  runId?: string | undefined
  data: unknown
}

const log = (steps: readonly Step[], start = 1) =>
  steps.map(
    (step, i) =>
      new LogEvent(EPOCH, start + i, encodeEvent({ sessionId: 's', time: 1000 + start + i, ...step })),
  )

function folded(events: readonly LogEvent[], from?: SessionState): SessionState {
  const state = new FoldedState(from)
  for (const event of events) state.add(event)
  return state.snapshot()
}

const started = (runId: string): Step => ({ type: 'run.started', runId, data: { agent: 'a', input: null } })
const ended = (runId: string, type = 'run.completed'): Step => ({ type, runId, data: {} })
const asked = (runId: string, requestId: string, more = {}): Step => ({
  type: 'input.requested',
  runId,
  data: { requestId, kind: 'question', message: 'm', ...more },
})

/** Random histories of a session: runs that start, ask, are answered and end. */
const history: fc.Arbitrary<Step[]> = fc.nat().map(seed => {
  const next = random(seed)
  const pick = <T>(from: readonly T[]) => from[between(next, 0, from.length - 1)] as T
  const open: string[] = []
  const pending: { requestId: string; runId: string }[] = []
  const steps: Step[] = []
  for (let i = 0; i < 80; i++) {
    const what = next()
    if (open.length === 0 || what < 0.15) {
      open.push(`r${i}`)
      steps.push(started(`r${i}`))
    } else if (what < 0.25) {
      const [runId] = open.splice(between(next, 0, open.length - 1), 1) as [string]
      for (const one of pending.filter(one => one.runId === runId)) pending.splice(pending.indexOf(one), 1)
      steps.push(ended(runId, pick(['run.completed', 'run.failed', 'run.cancelled'])))
    } else if (what < 0.4) {
      const runId = pick(open)
      pending.push({ requestId: `q${i}`, runId })
      steps.push(asked(runId, `q${i}`, pick([{}, { schema: { type: 'string' } }, { expiresAt: 5000 }])))
    } else if (what < 0.5 && pending.length > 0) {
      const [{ requestId, runId }] = pending.splice(between(next, 0, pending.length - 1), 1) as [
        (typeof pending)[0],
      ]
      const type = pick(['input.answered', 'input.expired'])
      steps.push({ type, runId, data: { requestId, value: 1 } })
    } else {
      const data = { partId: 'p', delta: '"type":"run.started"', requestId: 'q' }
      steps.push({
        type: pick(['text.delta', 'x.run.started', 'x.a']),
        runId: pick([undefined, pick(open)]),
        data,
      })
    }
  }
  return steps
})

t.test('the state from a snapshot and later events equals the state from all events', async t => {
  const property = fc.property(history, steps => {
    const events = log(steps)
    const whole = JSON.stringify(folded(events))
    for (let cut = 0; cut <= events.length; cut += 7) {
      const snapshot = JSON.stringify(folded(events.slice(0, cut)))
      const on = folded(events.slice(cut), JSON.parse(snapshot) as SessionState)
      assert.equal(JSON.stringify(on), whole, `cut at ${cut}`)
    }
  })
  fc.assert(property, { seed: seedOf(t), numRuns: 100 })
  t.pass('at any place')
})

t.test('the state has the runs and the open questions of the log', async t => {
  const property = fc.property(history, steps => {
    const state = folded(log(steps))
    const has = (type: string, of: Step) => (step: Step, i: number) =>
      i > steps.indexOf(of) && step.type.startsWith(type) && step.runId === of.runId
    const runs = steps.filter(({ type }) => type === 'run.started')
    const terminal = (of: Step) =>
      steps.findIndex(
        (step, i) => /^run\.(completed|failed|cancelled)$/.test(step.type) && has('run.', of)(step, i),
      )
    assert.deepEqual(
      state.runs.map(({ runId, status, startOffset, endOffset }) => ({
        runId,
        status,
        startOffset,
        endOffset,
      })),
      runs.map(of => {
        const end = terminal(of)
        return {
          runId: of.runId,
          status: end < 0 ? 'running' : steps[end]?.type.slice(4),
          startOffset: `${EPOCH}-${steps.indexOf(of) + 1}`,
          endOffset: end < 0 ? undefined : `${EPOCH}-${end + 1}`,
        }
      }),
    )
    const idOf = ({ data }: Step) => (data as { requestId: string }).requestId
    const waiting = steps.filter(
      of =>
        of.type === 'input.requested' &&
        terminal(of) < 0 &&
        !steps.some(step => /^input\.(answered|expired)$/.test(step.type) && idOf(step) === idOf(of)),
    )
    assert.deepEqual(
      JSON.parse(JSON.stringify(state.pendingInputs)),
      waiting.map(of => ({
        ...(of.data as object),
        offset: `${EPOCH}-${steps.indexOf(of) + 1}`,
        runId: of.runId,
      })),
    )
    assert.equal(state.seq, steps.length)
  })
  fc.assert(property, { seed: seedOf(t), numRuns: 100 })
  t.pass()
})

t.test('the state keeps all open runs and the last 100 ended ones', async t => {
  const steps = [started('open')]
  for (let i = 0; i < ENDED_RUNS + 20; i++) steps.push(started(`r${i}`), ended(`r${i}`))
  const { runs } = folded(log(steps))
  t.equal(runs.length, ENDED_RUNS + 1)
  t.match(runs[0], { runId: 'open', status: 'running' })
  t.match(runs[1], { runId: 'r20' })
  t.match(runs.at(-1), { runId: `r${ENDED_RUNS + 19}`, status: 'completed' })
})

t.test('a snapshot does not change when the state changes, and shares its entries', async t => {
  const [one, two, end] = log([started('a'), asked('a', 'q'), ended('a')]) as [LogEvent, LogEvent, LogEvent]
  const state = new FoldedState()
  for (const event of [one, two]) state.add(event)
  const before = state.snapshot()
  const told = JSON.stringify(before)
  t.equal(before.pendingInputs[0], state.pendingInput('q'), 'the very same object')
  t.ok(state.bytes > 0)
  state.add(end)
  t.equal(JSON.stringify(before), told)
  t.equal(state.pendingInput('q'), undefined)
  t.match(state.snapshot(), { seq: 3, runs: [{ runId: 'a', status: 'completed' }], pendingInputs: [] })
})

t.test('the memory of a state grows and shrinks with its questions', async t => {
  const state = new FoldedState()
  const events = log([
    started('a'),
    asked('a', 'q', { message: 'x'.repeat(1000) }),
    { type: 'input.answered', runId: 'a', data: { requestId: 'q', value: 1 } },
    asked('a', 'q2', { message: 'x'.repeat(1000) }),
    ended('a'),
  ])
  const sizes = events.map(event => {
    state.add(event)
    return state.bytes
  })
  t.ok((sizes[1] as number) > (sizes[0] as number) + 2000)
  t.equal(sizes[2], sizes[0])
  t.equal(sizes[3], (sizes[1] as number) + 2, 'one more letter')
  t.equal(sizes[4], sizes[0])
})

t.test('events other than run.* and input.* are not parsed', async t => {
  const [event] = log([{ type: 'text.delta', runId: 'r', data: { partId: 'p', delta: 'x' } }]) as [LogEvent]
  Object.defineProperty(event, 'event', { get: () => t.fail('parsed') })
  t.equal(folded([event]).seq, 1)
})
