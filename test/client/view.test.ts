import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import type { SessionEvent } from '../../client/index.ts'
import { inputText, textField } from '../../client/view/input-text.ts'
import { joined } from '../../client/view/join.ts'
import { emptyView, reduce } from '../../client/view/reduce.ts'
import type { AssistantMessage, Part, SessionView } from '../../client/view/view.ts'
import { fold } from '../../src/bus/fold.ts'
import { between, random, seedOf } from '../../src/log/contract/random.ts'
import { LogEvent } from '../../src/log/event.ts'

let seq = 0
const event = (type: string, data: unknown, runId = 'r1', more = {}) =>
  ({ offset: `7-${++seq}`, sessionId: 's', runId, type, time: seq, ...more, data }) as unknown as SessionEvent
const started = (runId = 'r1', input: unknown = { query: 'q' }) =>
  event('run.started', { agent: 'a', input, messageId: 'm' }, runId)
const delta = (text: string, partId = 'p', runId = 'r1') =>
  event('text.delta', { partId, delta: text }, runId)
const ended = (runId = 'r1') => event('run.completed', { finishReason: 'stop' }, runId)
const steered = (inputId: string, text: string, runId = 'r1') =>
  event('input.steered', { inputId, text }, runId)
const texts = ({ runs }: SessionView) =>
  runs.map(({ parts }) => parts.map(part => ('text' in part ? part.text : '')))
const turns = ({ messages }: SessionView) => messages.map(({ role, text }) => `${role}: ${text}`)
const offsetOf = (event: SessionEvent) => (event as { offset: string }).offset

t.test('the deltas of a part are one text, not a message each', async t => {
  const view = reduce(emptyView, [started(), delta('a'), delta('b'), delta('x', 'q'), delta('c')])
  t.same(texts(view), [['abc', 'x']])
  t.same(turns(view), ['user: q', 'assistant: abc\n\nx'])
})

t.test('text, tool, text stand in the order of the log, with an id used twice', async t => {
  const begin = event('text.start', { partId: '0' })
  const view = reduce(emptyView, [
    started(),
    begin,
    delta('Let me look.', '0'),
    event('text.end', { partId: '0' }),
    event('tool.started', { toolCallId: 't', toolName: 'find' }),
    event('tool.delta', { toolCallId: 't', delta: '{"a"' }),
    event('tool.delta', { toolCallId: 't', delta: ':1}' }),
    event('tool.called', { toolCallId: 't', toolName: 'find', input: { a: 1 } }),
    event('tool.finished', { toolCallId: 't', output: 'x' }),
    event('text.start', { partId: '0' }),
    delta('Found.', '0'),
  ])
  t.match(view.runs[0]!.parts, [
    { type: 'text', text: 'Let me look.', state: 'done', offset: offsetOf(begin) },
    { type: 'tool', toolName: 'find', inputText: '{"a":1}', input: { a: 1 }, output: 'x', state: 'finished' },
    { type: 'text', text: 'Found.', state: 'running' },
  ])
  t.equal(view.runs[0]!.parts.length, 3)
})

t.test('a message to the agent stands where it was sent, and the answer goes on after it', async t => {
  const view = reduce(emptyView, [
    started(),
    delta('one '),
    steered('i', 'faster'),
    delta('two'),
    event('input.applied', { inputId: 'i' }),
    delta('new', 'q'),
  ])
  t.same(turns(view), ['user: q', 'assistant: one two', 'user: faster', 'assistant: new'])
  t.match(view.messages[2], { state: 'applied', inputId: 'i' })
  t.equal(new Set(view.messages.map(({ id }) => id)).size, 4)
})

t.test('the text of an input', async t => {
  const message = (content: unknown) => ({ messages: [{ role: 'user', content }, { role: 'assistant' }] })
  for (const [input, text] of [
    ['plain', 'plain'],
    [{ query: 'q', text: 't' }, 'q'],
    [{ prompt: 'p' }, 'p'],
    [{ text: 't', messages: 3 }, 't'],
    [message('said'), 'said'],
    [message([{ type: 'text', text: 'in ' }, { type: 'file' }, { type: 'text', text: 'parts' }]), 'in parts'],
    [{ count: 3, messages: 2 }, '{"count":3,"messages":2}'],
    [7, '7'],
    [undefined, undefined],
    [null, undefined],
  ]) {
    t.equal(inputText(input), text, JSON.stringify(input))
  }
  const schema = (...fields: string[]) => ({
    properties: Object.fromEntries(fields.map(field => [field, {}])),
  })
  t.equal(textField(schema('mode', 'prompt')), 'prompt')
  t.equal(textField(schema('messages')), 'messages')
  t.equal(textField(undefined), 'query')
})

t.test('the agent’s own text of an input goes before the rule; a child run has no user', async t => {
  const run = (data: object) => event('run.started', { agent: 'a', input: { query: 'raw' }, ...data })
  t.same(turns(reduce(emptyView, [run({ inputText: 'shown' })])), ['user: shown', 'assistant: '])
  t.same(turns(reduce(emptyView, [run({ parentRunId: 'r0' })])), ['assistant: '])
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
    const view = reduce(working, [event(`run.${status}`, { code: 'x', message: 'why', retryable: true })])
    t.equal(view.runs[0]!.status, status)
    t.equal((view.messages[1] as AssistantMessage).state, status)
  }
})

t.test('a failed run has an error with code, message and whether a retry may help', async t => {
  const failed = event('run.failed', { code: 'too-long', message: 'The text is too long', retryable: true })
  const { runs, messages } = reduce(emptyView, [started(), delta('half'), failed])
  const error = { code: 'too-long', message: 'The text is too long', retryable: true }
  t.match(runs[0]!.error, error)
  t.match(messages[1], { error, parts: [{ text: 'half', state: 'done' }] })
  t.ok(runs[0]!.error instanceof Error)
})

t.test('a late event of an ended run changes nothing, another run’s lands there', async t => {
  const view = reduce(emptyView, [started(), delta('a'), ended(), started('r2'), delta('b', 'p', 'r2')])
  t.same(texts(reduce(view, [delta('late')])), [['a'], ['b']])
  t.equal(reduce(view, [delta('late')]), view)
  t.same(texts(reduce(view, [delta('!', 'p', 'r2')])), [['a'], ['b!']])
})

t.test('unchanged runs, messages and parts of a view keep their identity', async t => {
  const before = reduce(emptyView, [started(), delta('a'), started('r2'), delta('x', 'q', 'r2')])
  const after = reduce(before, [delta('b', 'p', 'r2')])
  t.equal(after.runs[0], before.runs[0])
  t.not(after.runs[1], before.runs[1])
  t.equal(after.messages[1], before.messages[1])
  t.equal(after.messages[2], before.messages[2])
  t.not(after.messages[3], before.messages[3])
  t.equal(after.runs[1]!.parts[0], before.runs[1]!.parts[0])
  t.equal(after.questions, before.questions)
  t.same(texts(before), [['a'], ['x']], 'an earlier view does not change')
})

t.test('the newest 100 ended runs stay, and every run that works', async t => {
  const events = [started('old'), delta('still ', 'p', 'old')]
  for (let i = 0; i < 300; i += 1) events.push(started(`r-${i}`), ended(`r-${i}`))
  let view = emptyView
  for (const event of events) view = reduce(view, [event])
  t.equal(view.runs.length, 101)
  t.equal(view.runs[0]!.runId, 'old')
  t.equal(view.runs.at(-1)!.runId, 'r-299')
  t.equal(view.hasOlder, true)
  view = reduce(view, [delta('at work', 'p', 'old')])
  t.match(view.runs[0]!, { status: 'running', parts: [{ text: 'still at work' }] })
  t.equal(view.runs[0]!.torn, undefined)
  const dropped = reduce(emptyView, events).since
  t.equal(dropped, view.since, 'in one batch as well')
})

t.test('questions open and close with answers, expiry and the run’s end', async t => {
  const ask = (requestId: string, runId = 'r1') =>
    event('input.requested', { requestId, kind: 'approval', message: '?' }, runId)
  const open = reduce(emptyView, [started(), ask('1'), ask('2'), ask('3'), started('r2'), ask('4', 'r2')])
  const ids = ({ questions }: SessionView) => questions.map(({ requestId }) => requestId)
  t.same(ids(open), ['1', '2', '3', '4'])
  const answered = event('input.answered', { requestId: '1', value: true })
  const expired = event('input.expired', { requestId: '2' })
  t.same(ids(reduce(open, [answered, expired])), ['3', '4'])
  const over = reduce(open, [answered, expired, ended()])
  t.same(ids(over), ['4'])
  t.match(over.runs[0]!.parts, [
    { type: 'question', state: 'answered', value: true },
    { state: 'expired' },
    { state: 'closed' },
  ])
})

t.test('a question about a tool call is found by its own id', async t => {
  const tool = event('tool.started', { toolCallId: 'call', toolName: 'refund' })
  const question = { requestId: 'q', kind: 'approval', message: '?', toolCallId: 'call' }
  const answered = event('input.answered', { requestId: 'q', value: false })
  const view = reduce(emptyView, [started(), tool, event('input.requested', question), answered])
  t.match(view.runs[0]!.parts, [{ type: 'tool' }, { ...question, state: 'answered', value: false }])
  t.equal(view.runs[0]!.parts.length, 2, 'no second question was made')
})

t.test(
  'plan, status, sources, steps, reasoning, artifacts and the application’s own events are parts',
  async t => {
    const view = reduce(emptyView, [
      started(),
      event('run.status', { status: 'searching', message: 'Searching' }),
      event('plan.updated', { steps: [{ title: 'one', status: 'running' }] }),
      event('source.added', { sourceId: '1', title: 'T' }),
      event('run.status', { status: 'writing' }),
      event('plan.updated', { steps: [{ title: 'one', status: 'done' }] }),
      event('reasoning.delta', { partId: 'p', delta: 'hm' }),
      event('step.started', { stepId: 's', name: 'draw' }),
      event('artifact.start', { artifactId: 'f', kind: 'file', name: 'a.txt' }),
      event('artifact.delta', { artifactId: 'f', delta: 'data' }),
      event('step.finished', { stepId: 's' }),
      event('x.cost', { cents: 3 }),
      event('x.cursor', { at: 1 }, 'r1', { offset: undefined, ephemeral: true }),
    ])
    t.match(view.runs[0]!.parts, [
      { type: 'status', status: 'searching', message: 'Searching', state: 'done' },
      { type: 'plan', steps: [{ status: 'done' }], state: 'done' },
      { type: 'source', title: 'T' },
      { type: 'status', status: 'writing', state: 'running' },
      { type: 'reasoning', text: 'hm', state: 'running' },
      { type: 'step', name: 'draw', state: 'done' },
      { type: 'artifact', text: 'data', name: 'a.txt', kind: 'file' },
      { type: 'x.cost', data: { cents: 3 } },
    ])
    t.equal(view.runs[0]!.parts.length, 8, 'an ephemeral event would be missing after a reload')
  },
)

t.test('reset empties the view; gap and end are shown', async t => {
  const view = reduce(emptyView, [started(), delta('a')])
  const reset = { type: 'reset', sessionId: 's', reason: 'epoch', head: '8-0' } as SessionEvent
  t.same(reduce(view, [reset]), emptyView)
  const gap = { type: 'gap', sessionId: 's', from: '7-3', to: '7-5', reason: 'trimmed' } as SessionEvent
  t.match(reduce(view, [gap]).gaps, [{ from: '7-3', to: '7-5' }])
  t.match(reduce(emptyView, [gap, started()]), { hasOlder: false }, 'what was trimmed cannot be loaded')
  t.equal(
    reduce(
      emptyView,
      Array.from({ length: 300 }, () => gap),
    ).gaps.length,
    100,
  )
  const end = { type: 'end', sessionId: 's', reason: 'deleted' } as SessionEvent
  t.equal(reduce(view, [end]).ended, 'deleted')
})

/** A log of several runs side by side, with every type of event in orders that the protocol allows. */
function randomLog(next: () => number): LogEvent[] {
  const log: LogEvent[] = []
  const add = (runId: string, type: string, data: object) => {
    const text = JSON.stringify({ sessionId: 's', runId, type, time: 1000 + log.length, data })
    log.push(new LogEvent(7, log.length + 1, text))
  }
  const running = new Map<string, { parts: Map<string, string>; asked: string[]; steered: string[] }>()
  let made = 0
  for (let i = 0; i < 200; i += 1) {
    if (running.size === 0 || next() < 0.04) {
      const runId = `r${++made}`
      add(runId, 'run.started', { agent: `a${made}`, input: { query: `q${made}` }, messageId: 'm' })
      running.set(runId, { parts: new Map(), asked: [], steered: [] })
    }
    const runIds = [...running.keys()]
    const runId = runIds[between(next, 0, runIds.length - 1)]!
    const { parts, asked, steered } = running.get(runId)!
    const partId = `p${between(next, 0, 2)}`
    const kinds = ['text', 'reasoning', 'artifact', 'tool', 'step'] as const
    const kind = kinds[between(next, 0, 4)]!
    const id = {
      text: 'partId',
      reasoning: 'partId',
      artifact: 'artifactId',
      tool: 'toolCallId',
      step: 'stepId',
    }[kind]
    const key = `${kind} ${partId}`
    const fields = { name: `n${i}`, toolName: 'find', kind: 'file', role: 'critic' }
    switch (between(next, 0, 11)) {
      case 0:
        add(runId, 'run.status', { status: `s${i}` })
        break
      case 1:
        add(runId, 'plan.updated', { steps: [{ title: 'one', status: next() < 0.5 ? 'running' : 'done' }] })
        break
      case 2:
        add(runId, 'source.added', { sourceId: `${i}`, title: 'T' })
        break
      case 3:
        add(runId, 'x.note', { i })
        break
      case 4:
        steered.push(`i${i}`)
        add(runId, 'input.steered', { inputId: `i${i}`, text: `say ${i}` })
        break
      case 5:
        if (steered.length > 0) add(runId, 'input.applied', { inputId: steered.shift() })
        break
      case 6:
        asked.push(`q${i}`)
        add(runId, 'input.requested', { requestId: `q${i}`, kind: 'approval', message: '?' })
        break
      case 7:
        if (asked.length === 0) break
        if (next() < 0.5) add(runId, 'input.answered', { requestId: asked.shift(), value: i })
        else add(runId, 'input.expired', { requestId: asked.shift() })
        break
      case 8: {
        if (next() > 0.2) break
        const end = ['completed', 'failed', 'cancelled'][between(next, 0, 2)]
        add(runId, `run.${end}`, {
          code: 'x',
          message: 'y',
          retryable: false,
          reason: 'z',
          finishReason: 'stop',
        })
        running.delete(runId)
        break
      }
      default: {
        if (!parts.has(key)) {
          parts.set(key, 'open')
          const begin = kind === 'tool' || kind === 'step' ? 'started' : 'start'
          // Producers may leave out the beginning: the first delta is the part's first event then.
          if (next() < 0.7) add(runId, `${kind}.${begin}`, { [id]: partId, ...fields })
        }
        if (kind !== 'step')
          for (let n = between(next, 0, 6); n > 0; n -= 1)
            add(runId, `${kind}.delta`, { [id]: partId, delta: `${i}.${n} ` })
        if (next() > 0.4) break
        parts.delete(key)
        if (kind !== 'tool') add(runId, `${kind}.${kind === 'step' ? 'finished' : 'end'}`, { [id]: partId })
        else {
          add(runId, 'tool.called', { toolCallId: partId, toolName: 'find', input: { i } })
          add(runId, 'tool.finished', { toolCallId: partId, output: i })
        }
      }
    }
  }
  return log
}

const asClient = (events: readonly LogEvent[]) => events.map(({ json }) => JSON.parse(json) as SessionEvent)

/** A view as JSON: the errors of equal failures are different objects. */
const plain = (view: SessionView) => JSON.parse(JSON.stringify(view))

/** Folds neighbours as the server does, within ranges of random lengths. */
function foldedSomehow(next: () => number, log: readonly LogEvent[]): LogEvent[] {
  const result: LogEvent[] = []
  for (let at = 0; at < log.length; ) {
    const size = between(next, 1, 30)
    result.push(...fold(7, log.slice(at, at + size), between(next, 200, 2000)))
    at += size
  }
  return result
}

t.test('the view is the same live, folded in any way, and in batches of any size', async t => {
  const next = random(seedOf(t))
  let messages = 0
  for (let round = 0; round < 25; round += 1) {
    const log = randomLog(next)
    const whole = reduce(emptyView, asClient(log))
    for (const events of [log, fold(7, log), foldedSomehow(next, log)]) {
      let view = emptyView
      const received = asClient(events)
      for (let at = 0; at < received.length; ) {
        const size = between(next, 1, 40)
        view = reduce(view, received.slice(at, at + size))
        at += size
      }
      if (!isDeepStrictEqual(plain(view), plain(whole))) return t.same(view, whole, `round ${round}`)
      messages += view.messages.length
    }
  }
  t.ok(messages > 1000, `${messages} messages are the same`)
})

t.test('messages and parts are in the order of their offsets', async t => {
  const next = random(seedOf(t))
  for (let round = 0; round < 20; round += 1) {
    const { messages } = reduce(emptyView, asClient(fold(7, randomLog(next))))
    const numbers = (list: readonly { offset: string }[]) =>
      list.map(({ offset }) => Number(offset.split('-')[1]))
    const ordered = (list: readonly number[]) => list.every((n, i) => i === 0 || n >= list[i - 1]!)
    if (!t.ok(ordered(numbers(messages)))) return
    for (const message of messages) {
      if (message.role === 'user') continue
      const offsets = numbers(message.parts)
      if (!t.ok(ordered(offsets) && offsets.every((n, i) => i === 0 || n > offsets[i - 1]!))) return
    }
    const keys = messages
      .flatMap(message => (message.role === 'user' ? [] : message.parts))
      .map(({ offset }: Part) => offset)
    if (!t.equal(new Set(keys).size, keys.length, 'a part’s offset is its key')) return
  }
})

t.test('older pages joined to a view give the view of the whole log', async t => {
  const next = random(seedOf(t))
  let messages = 0
  for (let round = 0; round < 60; round += 1) {
    const log = asClient(randomLog(next))
    const whole = reduce(emptyView, log)
    const cut = between(next, 1, log.length - 1)
    let view = reduce(emptyView, log.slice(cut))
    if (!view.hasOlder) return t.fail('there are older events')
    for (let before = cut; before > 0; ) {
      const from = Math.max(0, before - between(next, 1, 60))
      view = joined(reduce(emptyView, log.slice(from, before)), view)
      before = from
    }
    if (!isDeepStrictEqual(plain(view), plain(whole))) return t.same(view, whole, `cut at ${cut}`)
    messages += view.messages.length
  }
  t.ok(messages > 500, `${messages} messages are the same`)
})
