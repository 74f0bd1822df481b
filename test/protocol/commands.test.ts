import t from 'tap'
import {
  Command,
  ConnectionCommand,
  ControlSchema,
  connectionCommandTypes,
  controlSchemas,
  limits,
  SessionCommand,
} from '../../src/protocol/index.ts'

const commands: Record<string, Record<string, unknown>> = {
  subscribe: { sessionId: 's', after: '1-0', last: 3, run: 'r', replay: 'full', lag: 'wait', windowBytes: 1 },
  unsubscribe: { sessionId: 's' },
  window: { sessionId: 's', offset: '1-1' },
  auth: { token: 't' },
  ping: { time: 1 },
  worker: {
    slots: 2,
    agents: [{ name: 'a', description: 'A', input: {}, resume: true }],
    works: [{ workId: 'w', sessionId: 's', runId: 'r', agent: 'a', after: '1-1' }],
  },
  'work.append': { sessionId: 's', workId: 'w', seq: 1, events: [{ type: 'x.a', data: 1 }] },
  'run.start': { sessionId: 's', agent: 'a', input: {}, runId: 'r', onNoViewers: { cancelAfterMs: 0 } },
  'run.cancel': { sessionId: 's', runId: 'r', reason: 'x' },
  'input.answer': { sessionId: 's', requestId: 'q', value: null },
  'input.steer': { sessionId: 's', runId: 'r', text: 't' },
  publish: { sessionId: 's', event: { type: 'x.a', data: 1 }, ephemeral: true },
}

t.test('every command parses, with an id of up to 64 characters', async t => {
  for (const [type, fields] of Object.entries(commands)) {
    for (const id of ['1', 'x'.repeat(64), 'ä b"']) {
      t.match(Command.parse({ id, type, ...fields, unknown: 1 }), { id, type, ...fields }, type)
    }
    for (const id of ['', 'x'.repeat(65), 7, null]) {
      t.equal(Command.safeParse({ id, type, ...fields }).success, false, `${type} with id ${id}`)
    }
    const optional = type === 'window' || type === 'ping'
    t.equal(Command.safeParse({ type, ...fields }).success, optional, `${type} without id`)
    const session = SessionCommand.safeParse({ id: '1', type, ...fields }).success
    t.equal(session, !connectionCommandTypes.has(type), 'it goes over POST, or it does not')
    t.equal(ConnectionCommand.safeParse({ id: '1', type, ...fields }).success, !session)
  }
})

t.test('every command needs its fields', async t => {
  const needed: Record<string, string[]> = {
    subscribe: ['sessionId'],
    unsubscribe: ['sessionId'],
    window: ['sessionId', 'offset'],
    auth: ['token'],
    ping: ['time'],
    worker: ['slots'],
    'work.append': ['sessionId', 'workId', 'seq', 'events'],
    'run.start': ['sessionId', 'agent', 'input'],
    'run.cancel': ['sessionId', 'runId'],
    'input.answer': ['sessionId', 'requestId', 'value'],
    'input.steer': ['sessionId', 'runId', 'text'],
    publish: ['sessionId', 'event'],
  }
  for (const [type, fields] of Object.entries(needed)) {
    for (const field of fields) {
      const { [field]: _, ...rest } = commands[type] as Record<string, unknown>
      t.equal(Command.safeParse({ id: '1', type, ...rest }).success, false, `${type} without ${field}`)
    }
  }
})

t.test('absent fields have their defaults', async t => {
  t.match(Command.parse({ id: '1', type: 'subscribe', sessionId: 's' }), {
    replay: 'compact',
    lag: 'conflate',
    coalesceMs: 0,
  })
  t.match(Command.parse({ id: '1', type: 'run.start', sessionId: 's', agent: 'a', input: 1 }), {
    onNoViewers: 'continue',
  })
  t.match(Command.parse({ id: '1', type: 'publish', sessionId: 's', event: { type: 'x.a', data: 0 } }), {
    ephemeral: false,
  })
})

t.test('only an application’s own events can be published', async t => {
  for (const type of ['text.delta', 'run.started', 'x.', 'y.a']) {
    const event = { type, data: { partId: 'p', delta: '' } }
    t.equal(
      SessionCommand.safeParse({ id: '1', type: 'publish', sessionId: 's', event }).success,
      false,
      type,
    )
  }
})

const at = { sessionId: 's', runId: 'r', offset: '1-2', time: 1 }
const controls: Record<string, Record<string, unknown>> = {
  hello: { protocol: 1, connectionId: 'c', serverTime: 1, heartbeatMs: 1, limits },
  subscribed: { sessionId: 's', head: '1-0', earliest: '1-1', after: '1-0', replay: 'compact' },
  'caught-up': { sessionId: 's', offset: '1-0' },
  gap: { sessionId: 's', from: '1-1', to: '1-2', reason: 'trimmed' },
  reset: { sessionId: 's', reason: 'lost', head: '1-0' },
  ping: { time: 1 },
  pong: { time: 1, serverTime: 2 },
  ack: { id: '1', offset: '1-1', runId: 'r', inputId: 'i' },
  nack: { id: null, code: 'bad-request', message: 'm', retryable: false, details: {}, retryAfterMs: 1 },
  end: { sessionId: 's', runId: 'r', reason: 'deleted' },
  closing: { code: 'restart', reason: 'r', retryAfterMs: 1 },
  work: { workId: 'w', sessionId: 's', runId: 'r', agent: 'a', input: { q: 1 }, start: '1-1', resumed: true },
  'work-input': { workId: 'w', event: { type: 'input.applied', data: { inputId: 'i' }, ...at } },
  'work-over': { workId: 'w', code: 'run-ended', reason: 'r' },
}

t.test('every control message parses, and its unknown fields stay', async t => {
  t.same(Object.keys(controls), Object.keys(controlSchemas))
  for (const [type, fields] of Object.entries(controls)) {
    t.same(ControlSchema.parse({ type, ...fields, more: [1] }), { type, ...fields, more: [1] })
    t.notMatch(type, /\./, 'a control type has no dot')
  }
})
