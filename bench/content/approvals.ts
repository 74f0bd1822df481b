/** An agent that asks before it acts: its questions, and what its users answer and say meanwhile. */
import { seeded } from '../random.ts'
import { type Content, cueOf, pause, pick } from './content.ts'
import { tokens } from './repository.ts'

/** One thing that the agent may do only when somebody agrees. */
export interface Request {
  readonly tool: string
  readonly input: Readonly<Record<string, unknown>>
  readonly kind: 'approval' | 'question'
  readonly message: string
  readonly schema: Readonly<Record<string, unknown>>
  /** What users answer; each fits the schema. */
  readonly answers: readonly unknown[]
  /** What users say while the agent works. */
  readonly steers: readonly string[]
  /** What the agent says in the end. */
  readonly said: string
}

const approval = {
  type: 'object',
  properties: { approved: { type: 'boolean' }, comment: { type: 'string' } },
  required: ['approved'],
}

export const requests: readonly Request[] = [
  {
    tool: 'send_mail',
    input: {
      to: 'team@example.org',
      subject: 'Maintenance on Saturday',
      body: 'The service is down from 8 to 9.',
    },
    kind: 'approval',
    message: 'Send “Maintenance on Saturday” to team@example.org?',
    schema: approval,
    answers: [{ approved: true }, { approved: false, comment: 'Say which time zone it is.' }],
    steers: ['Write to the support team too.', 'Make it shorter.'],
    said: 'The notice about the maintenance on Saturday was handled as you said, and nobody else was written to.',
  },
  {
    tool: 'run_migration',
    input: {
      database: 'orders',
      statement: 'CREATE INDEX CONCURRENTLY orders_by_day ON orders (created_at)',
    },
    kind: 'approval',
    message:
      'Create the index orders_by_day on the database orders? It takes about four minutes and locks nothing.',
    schema: approval,
    answers: [{ approved: true, comment: 'Go on.' }, { approved: true }, { approved: false }],
    steers: ['Check first that there is room on the disk.', 'Do it on the replica first.'],
    said: 'The index is as you decided. Reports by day read an index instead of the whole table once it is there.',
  },
  {
    tool: 'book_room',
    input: { people: 6, day: 'Thursday' },
    kind: 'question',
    message: 'Three rooms are free on Thursday. Which one shall I book?',
    schema: { type: 'string', enum: ['Garden, 10:00', 'Harbour, 13:30', 'Attic, 16:00'] },
    answers: ['Garden, 10:00', 'Harbour, 13:30', 'Attic, 16:00'],
    steers: ['It has to have a screen.', 'Not later than four.'],
    said: 'The room is booked for six people, and the invitation names it. You can still change it until Wednesday.',
  },
  {
    tool: 'refund',
    input: { order: 'A-20417', amount: 49.9, currency: 'EUR' },
    kind: 'approval',
    message: 'Refund 49.90 EUR for the order A-20417? The parcel came back unopened on Monday.',
    schema: {
      type: 'object',
      properties: { approved: { type: 'boolean' }, amount: { type: 'number', minimum: 0, maximum: 49.9 } },
      required: ['approved'],
    },
    answers: [{ approved: true, amount: 49.9 }, { approved: true, amount: 25 }, { approved: false }],
    steers: ['Keep the shipping costs.', 'Tell the customer when the money comes.'],
    said: 'The customer has been told about the refund and when to expect it. The order is closed.',
  },
]

/** Until a person answers, on average, ms. */
const DECIDING_MS = 800

const TOKENS_PER_SECOND = 50

/**
 * Runs one after the other. `input.answered` and `input.steered` are what a client sends as commands (`input.answer`,
 * `input.steer`); all else is the agent's.
 */
export function* approvals(seed: number): Content {
  const random = seeded(seed)
  for (let atMs = 0, number = 1; ; number++) {
    const { tool, input, kind, message, schema, answers, steers, said } = pick(requests, random)
    const runId = `approvals-${seed}-${number}`
    const cue = cueOf(runId)
    const [toolCallId, requestId, inputId, partId] = ['tool', 'ask', 'steer', 'text'].map(
      part => `${runId}-${part}`,
    )
    const value = pick(answers, random)
    yield cue(atMs, 'run.started', { agent: 'approvals', input: { task: tool }, messageId: runId })
    yield cue(atMs, 'run.status', { status: 'thinking', message: `prepares ${tool}` })
    atMs += pause(random, DECIDING_MS / 4)
    yield cue(atMs, 'input.steered', { inputId, text: pick(steers, random) })
    yield cue(atMs, 'input.applied', { inputId })
    yield cue(atMs, 'tool.called', { toolCallId, toolName: tool, input })
    yield cue(atMs, 'input.requested', { requestId, kind, message, schema, toolCallId })
    atMs += pause(random, DECIDING_MS)
    yield cue(atMs, 'input.answered', { requestId, value })
    yield cue(atMs, 'tool.finished', { toolCallId, output: { decided: value } })
    yield cue(atMs, 'text.start', { partId, messageId: runId, role: 'assistant' })
    for (const delta of tokens(said)) {
      yield cue(atMs, 'text.delta', { partId, delta })
      atMs += 1000 / TOKENS_PER_SECOND
    }
    yield cue(atMs, 'text.end', { partId })
    yield cue(atMs, 'run.completed', { finishReason: 'stop' })
    atMs += pause(random, DECIDING_MS / 4)
  }
}
