import t from 'tap'
import type { SessionEvent } from '../../client/index.ts'
import { emptyView, type Part, reduce, type SessionView } from '../../client/react/view.ts'
import { between, random, seedOf } from '../../src/log/contract/random.ts'

let seq = 0
const event = (type: string, data: unknown, runId = 'r1') =>
  ({ offset: `7-${++seq}`, sessionId: 's', runId, type, time: 1, data }) as unknown as SessionEvent
const started = (runId = 'r1') =>
  event('run.started', { agent: 'a', input: { query: 'q' }, messageId: 'm' }, runId)
const delta = (text: string, partId = 'p', runId = 'r1') =>
  event('text.delta', { partId, delta: text }, runId)
const ended = (runId = 'r1') => event('run.completed', { finishReason: 'stop' }, runId)
const texts = ({ runs }: SessionView) => runs.map(({ parts }) => parts.map(({ text }) => text))

t.test('the deltas of a part are one text, not a message each', async t => {
  const view = reduce(emptyView, [started(), delta('a'), delta('b'), delta('x', 'q'), delta('c')])
  t.same(texts(view), [['abc', 'x']])
})

t.test('the run’s own status and not a message’s end stops the spinner', async t => {
  const thought = [
    started(),
    event('text.end', { partId: 'p' }),
    event('tool.finished', { toolCallId: 't', output: 1 }),
  ]
  const working = reduce(emptyView, thought)
  t.equal(working.runs[0]!.status, 'running')
  for (const status of ['completed', 'failed', 'cancelled'] as const) {
    t.equal(reduce(working, [event(`run.${status}`, { reason: 'x' })]).runs[0]!.status, status)
  }
})

t.test('a late event of an ended run changes nothing, another run’s lands there', async t => {
  const view = reduce(emptyView, [started(), delta('a'), ended(), started('r2'), delta('b', 'p', 'r2')])
  t.same(texts(reduce(view, [delta('late')])), [['a'], ['b']])
  t.equal(reduce(view, [delta('late')]), view)
  t.same(texts(reduce(view, [delta('!', 'p', 'r2')])), [['a'], ['b!']])
})

t.test('unchanged parts of a view keep their identity, and old runs are removed', async t => {
  const before = reduce(emptyView, [started(), delta('a'), started('r2')])
  const after = reduce(before, [delta('b', 'p', 'r2')])
  t.equal(after.runs[0], before.runs[0])
  t.not(after.runs[1], before.runs[1])
  t.equal(after.questions, before.questions)
  const many = reduce(
    emptyView,
    Array.from({ length: 300 }, (_, i) => started(`r-${i}`)),
  )
  t.equal(many.runs.length, 100)
  t.equal(many.runs.at(-1)!.runId, 'r-299')
})

t.test('questions open and close with answers, expiry and the run’s end', async t => {
  const ask = (requestId: string, runId = 'r1') =>
    event('input.requested', { requestId, kind: 'approval', message: '?' }, runId)
  const open = reduce(emptyView, [started(), ask('1'), ask('2'), ask('3'), started('r2'), ask('4', 'r2')])
  t.same(
    open.questions.map(({ requestId }) => requestId),
    ['1', '2', '3', '4'],
  )
  const answered = event('input.answered', { requestId: '1', value: true })
  const expired = event('input.expired', { requestId: '2' })
  t.same(
    reduce(open, [answered, expired]).questions.map(({ requestId }) => requestId),
    ['3', '4'],
  )
  t.same(
    reduce(open, [ended()]).questions.map(({ requestId }) => requestId),
    ['4'],
  )
})

t.test('plan, phase, sources, tools, artifacts and steering', async t => {
  const view = reduce(emptyView, [
    started(),
    event('run.status', { status: 'searching', message: 'Searching' }),
    event('plan.updated', { steps: [{ title: 'one', status: 'running' }] }),
    event('plan.updated', { steps: [{ title: 'one', status: 'done' }] }),
    event('source.added', { sourceId: '1', title: 'T' }),
    event('tool.started', { toolCallId: 't', toolName: 'find' }),
    event('tool.delta', { toolCallId: 't', delta: '{"a"' }),
    event('tool.delta', { toolCallId: 't', delta: ':1}' }),
    event('tool.called', { toolCallId: 't', toolName: 'find', input: { a: 1 } }),
    event('tool.finished', { toolCallId: 't', output: 'x' }),
    event('reasoning.delta', { partId: 'p', delta: 'hm' }),
    event('artifact.start', { artifactId: 'f', kind: 'file', name: 'a.txt' }),
    event('artifact.delta', { artifactId: 'f', delta: 'data' }),
    event('input.steered', { inputId: 'i', text: 'faster' }),
    event('input.applied', { inputId: 'i' }),
  ])
  t.match(view.runs[0], {
    agent: 'a',
    phase: { status: 'searching' },
    plan: { steps: [{ status: 'done' }] },
    sources: [{ title: 'T' }],
    tools: [{ toolName: 'find', inputText: '{"a":1}', input: { a: 1 }, output: 'x', status: 'finished' }],
    parts: [
      { kind: 'reasoning', text: 'hm' },
      { kind: 'artifact', text: 'data', role: 'a.txt' },
    ],
    steered: [{ text: 'faster', applied: true }],
  })
})

t.test('reset empties the view; gap and end are shown', async t => {
  const view = reduce(emptyView, [started(), delta('a')])
  const reset = { type: 'reset', sessionId: 's', reason: 'epoch', head: '8-0' } as SessionEvent
  t.same(reduce(view, [reset]), emptyView)
  const gap = { type: 'gap', sessionId: 's', from: '7-3', to: '7-5', reason: 'trimmed' } as SessionEvent
  t.match(reduce(view, [gap]).gaps, [{ from: '7-3', to: '7-5' }])
  const end = { type: 'end', sessionId: 's', reason: 'deleted' } as SessionEvent
  t.equal(reduce(view, [end]).ended, 'deleted')
})

t.test('in batches of any size the view is the same', async t => {
  const next = random(seedOf(t))
  const events = [started()]
  for (let i = 0; i < 300; i += 1) events.push(delta(`${i} `, `p${between(next, 1, 4)}`))
  events.push(ended())
  const whole = reduce(emptyView, events)
  for (let round = 0; round < 20; round += 1) {
    let view = emptyView
    for (let at = 0; at < events.length; ) {
      const size = between(next, 1, 40)
      view = reduce(view, events.slice(at, at + size))
      at += size
    }
    t.same(view, whole)
  }
  t.equal(whole.runs[0]!.parts.reduce((sum: number, part: Part) => sum + part.text.length, 0) > 1000, true)
})
