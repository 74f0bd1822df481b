import t from 'tap'
import {
  commandOnlyTypes,
  deltaParts,
  EventBodySchema,
  EventSchema,
  eventData,
  isTerminal,
  type KnownType,
  parseEventBody,
  protocolJsonSchema,
  TwinrailError,
  terminalTypes,
} from '../../src/protocol/index.ts'

/** Data of each type with all its fields, and with only those it needs. */
const samples: Record<KnownType, [full: Record<string, unknown>, least: Record<string, unknown>]> = {
  'session.updated': [{ metadata: { title: 'now', deep: { a: [null] } } }, { metadata: {} }],
  'run.started': [
    { agent: 'a', input: { q: 1 }, messageId: 'm', parentRunId: 'r0' },
    { agent: 'a', input: null },
  ],
  'run.status': [{ status: 'searching', message: 'now' }, { status: 's' }],
  'run.completed': [{ finishReason: 'length', result: [1], usage: { tokens: 5 } }, {}],
  'run.failed': [
    { code: 'c', message: 'm', retryable: true },
    { code: 'c', message: '' },
  ],
  'run.cancelled': [{ reason: 'user' }, {}],
  'run.cancel-requested': [{ reason: 'user' }, {}],
  'plan.updated': [{ title: 't', steps: [{ title: 'one', status: 'running' }] }, { steps: [] }],
  'step.started': [
    { stepId: 's', name: 'n' },
    { stepId: 's', name: 'n' },
  ],
  'step.finished': [
    { stepId: 's', name: 'n' },
    { stepId: 's', name: 'n' },
  ],
  'text.start': [{ partId: 'p', messageId: 'm', role: 'assistant' }, { partId: 'p' }],
  'text.delta': [
    { partId: 'p', delta: 'Hi' },
    { partId: 'p', delta: '' },
  ],
  'text.end': [{ partId: 'p' }, { partId: 'p' }],
  'reasoning.start': [{ partId: 'p', messageId: 'm', role: 'assistant' }, { partId: 'p' }],
  'reasoning.delta': [
    { partId: 'p', delta: 'Hm' },
    { partId: 'p', delta: '' },
  ],
  'reasoning.end': [{ partId: 'p' }, { partId: 'p' }],
  'tool.started': [
    { toolCallId: 't', toolName: 'n' },
    { toolCallId: 't', toolName: 'n' },
  ],
  'tool.delta': [
    { toolCallId: 't', delta: '{"' },
    { toolCallId: 't', delta: '' },
  ],
  'tool.called': [
    { toolCallId: 't', toolName: 'n', input: {} },
    { toolCallId: 't', toolName: 'n', input: null },
  ],
  'tool.finished': [
    { toolCallId: 't', output: 'x', isError: true },
    { toolCallId: 't', output: null },
  ],
  'source.added': [
    { sourceId: 's', title: 't', url: 'https://x', excerpt: 'e' },
    { sourceId: 's', title: '' },
  ],
  'artifact.start': [
    { artifactId: 'a', kind: 'code', name: 'n' },
    { artifactId: 'a', kind: 'k', name: 'n' },
  ],
  'artifact.delta': [
    { artifactId: 'a', delta: 'x' },
    { artifactId: 'a', delta: '' },
  ],
  'artifact.end': [{ artifactId: 'a' }, { artifactId: 'a' }],
  'input.requested': [
    { requestId: 'q', kind: 'tool', message: 'm', schema: { type: 'string' }, toolCallId: 't', expiresAt: 1 },
    { requestId: 'q', kind: 'question', message: '', schema: true },
  ],
  'input.answered': [
    { requestId: 'q', value: { ok: true } },
    { requestId: 'q', value: null },
  ],
  'input.expired': [{ requestId: 'q' }, { requestId: 'q' }],
  'input.steered': [
    { inputId: 'i', text: 't' },
    { inputId: 'i', text: 't' },
  ],
  'input.applied': [{ inputId: 'i' }, { inputId: 'i' }],
}

const types = Object.keys(eventData) as KnownType[]

/** A value that no message may repeat. */
const SECRET = 'sEcReT-42'

/** What is said of a body that must be refused. */
function refusalOf(value: unknown): TwinrailError {
  try {
    parseEventBody(value)
  } catch (error) {
    if (error instanceof TwinrailError) return error
    throw error
  }
  throw new Error(`it was taken: ${JSON.stringify(value)}`)
}

t.test('every type of the protocol parses, with all its fields and with few', async t => {
  t.same(Object.keys(samples).sort(), [...types].sort(), 'there is a sample of each')
  for (const type of types) {
    for (const data of samples[type]) {
      const body = parseEventBody({ type, runId: 'r', data })
      t.match(body, { type, runId: 'r', data }, `${type} ${JSON.stringify(data)}`)
      const event = { offset: '1-1', sessionId: 's', runId: 'r', type, time: 1, by: 'ann', from: '1-1', data }
      t.match(EventSchema.parse(event), event)
      t.ok(EventBodySchema.safeParse({ type, data }).success)
    }
  }
})

t.test('unknown fields of data and of the envelope are kept unchanged', async t => {
  const more = { extra: { nested: [1, null] }, 'x-y': '' }
  for (const type of types) {
    const data = { ...samples[type][0], ...more }
    t.match((parseEventBody({ type, data }) as { data: unknown }).data, more, type)
    const event = { offset: '1-1', sessionId: 's', type, time: 1, data, ...more }
    t.match(EventSchema.parse(event), event)
  }
})

t.test('each field that is needed is missed by name', async t => {
  for (const type of types) {
    const [, least] = samples[type]
    for (const field of Object.keys(least)) {
      const { [field]: _, ...rest } = least
      if (type === 'input.requested' && field === 'schema') continue
      try {
        parseEventBody({ type, data: rest })
        t.fail(`${type} without ${field}`)
      } catch (error) {
        t.match(
          error,
          { code: 'bad-request', details: { path: `data.${field}` } },
          `${type} without ${field}`,
        )
      }
    }
  }
})

t.test('a refusal never repeats the bad value', async t => {
  const secrets = [SECRET, { [SECRET]: SECRET }, [SECRET], `${SECRET}\n`]
  let refused = 0
  for (const type of types) {
    const [full] = samples[type]
    for (const field of Object.keys(full)) {
      for (const value of secrets) {
        try {
          parseEventBody({ type, runId: 'r', data: { ...full, [field]: value } })
        } catch (error) {
          refused++
          const { code, message, details } = error as TwinrailError
          t.equal(code, 'bad-request')
          if (`${message}${JSON.stringify(details)}`.includes(SECRET)) t.fail(`${type}.${field}: ${message}`)
        }
      }
    }
  }
  t.ok(refused > 50, `${refused} refusals`)
  const foreign = [
    { type: SECRET, data: {} },
    { type: `x.${SECRET} !`, data: {} },
    { type: 'text.end', runId: `${SECRET}!`, data: { partId: 'p' } },
    { type: 'text.end', data: SECRET },
    { type: [SECRET], data: {} },
    SECRET,
    [SECRET],
    { data: SECRET },
  ]
  for (const value of foreign) {
    const { message, details } = refusalOf(value)
    t.notMatch(`${message}${JSON.stringify(details)}`, SECRET)
  }
})

t.test('an application’s own events hold any JSON', async t => {
  for (const type of ['x.a', 'x.A-b_c.d', `x.${'a'.repeat(126)}`, 'x.0']) {
    for (const data of [null, 0, '', false, [], { a: 1 }]) {
      t.same(parseEventBody({ type, data }), { type, data })
    }
  }
  for (const type of [
    'x.',
    'x',
    'x..a',
    'x.-a',
    'x.a b',
    'x.ä',
    `x.${'a'.repeat(127)}`,
    'X.a',
    'x.a\n',
    'x."',
  ]) {
    t.throws(() => parseEventBody({ type, data: 1 }), { code: 'bad-request' }, encodeURIComponent(type))
  }
  t.match(refusalOf({ type: 'x.a' }), { details: { path: 'data' } })
})

t.test('names that every object has are no types', async t => {
  for (const type of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
    t.throws(
      () => parseEventBody({ type, data: {} }),
      { code: 'bad-request', details: { path: 'type' } },
      type,
    )
  }
})

t.test('the lists of types name types', async t => {
  for (const type of [...terminalTypes, ...commandOnlyTypes, ...Object.keys(deltaParts)])
    t.ok(type in eventData, type)
  t.same(types.filter(isTerminal), [...terminalTypes])
  t.same(
    types.filter(type => type.endsWith('.delta')),
    Object.keys(deltaParts),
  )
  for (const [type, field] of Object.entries(deltaParts)) t.ok(field in samples[type as KnownType][0], type)
  for (const type of types) t.match(type, /^[a-z]+\.[a-z-]+$/, 'types are noun.verb')
})

t.test('the JSON Schema has every type', async t => {
  const schema = JSON.stringify(protocolJsonSchema().event)
  for (const type of types) t.ok(schema.includes(`"${type}"`), type)
})
