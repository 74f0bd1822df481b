/** /openapi.json is valid and complete, and real answers are as it says. */
import swagger from '@fastify/swagger'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t, { type Test } from 'tap'
import { dialectNames } from '../../src/dialects/names.ts'
import { controlSchemas, eventData, SessionCommand, TwinrailError } from '../../src/protocol/index.ts'
import { createServer } from '../../src/server.ts'
import { registeredRoutes } from '../fixtures/routes.ts'
import { follow } from '../fixtures/wire-clients.ts'
import { type Call, json, ndjson } from '../fixtures/wire-refusals.ts'
import { eventually, serve, startRun, state, terminalOf, type Wire } from '../fixtures/wire-server.ts'

interface Content {
  [type: string]: { schema: Record<string, unknown> }
}

interface Operation {
  operationId: string
  summary: string
  tags: string[]
  parameters?: { name: string; in: string; required: boolean; schema: Record<string, unknown> }[]
  requestBody?: { content: Content }
  responses: Record<string, { description: string; content?: Content }>
  'x-websocket'?: { subprotocol: string; send: unknown; receive: unknown }
}

interface Document {
  openapi: string
  paths: Record<string, Record<string, Operation>>
  components: {
    schemas: Record<
      string,
      {
        anyOf?: { $ref: string }[]
        oneOf?: { $ref: string }[]
        discriminator?: { propertyName: string; mapping: Record<string, string> }
        required?: string[]
        properties?: Record<string, { const?: string }>
      }
    >
  }
}

async function documentOf({ url }: Wire): Promise<Document> {
  return (await (await fetch(`${url}/openapi.json`)).json()) as Document
}

function operations({ paths }: Document): { method: string; path: string; operation: Operation }[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method, path, operation })),
  )
}

/** Whether a route speaks a foreign protocol, whose requests and refusals have forms of their own. */
const isForeign = ({ tags }: Operation) => tags.every(tag => dialectNames.some(name => name === tag))

t.test('it is valid OpenAPI 3.1', async t => {
  const document = await documentOf(await serve(t, { inspector: true }))
  t.equal(document.openapi, '3.1.0')
  t.same(await new Validator().validate({ ...document }), { valid: true })
})

t.test('every route is described, except the pages and what Fastify adds, and nothing else is', async t => {
  const wire = await serve(t, { inspector: true })
  const described = operations(await documentOf(wire)).map(
    ({ method, path }) => `${method.toUpperCase()} ${path}`,
  )
  const registered = registeredRoutes(wire.server.app)
    .filter(([method]) => method !== 'HEAD' && method !== 'OPTIONS')
    .map(([method, path]) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`)
    // Fastify prints the documents of the page, `/about/*`, without their folder.
    .filter(route => !/^GET \/(\*|assets\/\{file\}|inspect(\/.*)?)?$/.test(route))
  t.ok(registered.length > 10)
  t.same(described.sort(), registered.sort())
})

t.test('routes of the application may have JSON Schemas and a document of their own', async t => {
  const wire = await serve(t)
  const server = await createServer({ logger: false })
  t.teardown(() => server.close({ graceMs: 0 }))
  await server.app.register(swagger, { openapi: { info: { title: 'Own', version: '1' } } })
  const querystring = { type: 'object', properties: { n: { type: 'integer' } } }
  server.app.get<{ Querystring: { n: number } }>('/own', { schema: { querystring } }, async request => ({
    n: request.query.n,
  }))
  const url = await server.listen({ port: 0 })
  t.same(await (await fetch(`${url}/own?n=7`)).json(), { n: 7 })
  t.same(await documentOf({ server, url }), await documentOf(wire))
  t.same(Object.keys(server.app.swagger().paths ?? {}), ['/own'])
})

t.test('every operation has a name, a summary, parameters, bodies, answers and refusals', async t => {
  const document = await documentOf(await serve(t, { inspector: true }))
  const named = operations(document)
  for (const { method, path, operation } of named)
    t.match(operation.operationId, /^[a-z][A-Za-z]+$/, `${method} ${path}`)
  t.equal(new Set(named.map(({ operation }) => operation.operationId)).size, named.length, 'each name once')
  const all = named.filter(({ operation }) => !isForeign(operation))
  for (const { method, path, operation } of all) {
    const { operationId, summary, tags, parameters = [], requestBody, responses } = operation
    const what = `${method} ${path}`
    t.match(operationId, /^[a-z][A-Za-z]+$/, what)
    t.match(summary, /^[A-Z].{10,}[^.]$/, what)
    t.ok(tags.length > 0, what)
    const inPath = parameters.filter(parameter => parameter.in === 'path').map(({ name }) => name)
    t.same(
      inPath,
      [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
      `${what}: its path`,
    )
    for (const { name, schema } of parameters) t.ok(schema['type'], `${what}: ${name} has a type`)
    t.equal(requestBody !== undefined, ['post', 'patch', 'put'].includes(method), `${what}: a body`)
    const good = Object.entries(responses).filter(([status]) => /^[12]/.test(status))
    t.ok(good.length > 0, what)
    for (const [status, { description, content }] of good) {
      t.not(description, 'Default Response', `${what} ${status}`)
      if (status === '204' || status === '101') t.equal(content, undefined)
      else for (const { schema } of Object.values(content!)) t.ok(Object.keys(schema).length > 0, what)
    }
    const form = path.endsWith('/commands') ? 'NackControl' : 'Error'
    const refusals = Object.entries(responses).filter(([status]) => /^[45]/.test(status))
    for (const [status, { content }] of refusals) {
      t.same(
        content?.['application/json']?.schema,
        { $ref: `#/components/schemas/${form}` },
        `${what} ${status}`,
      )
    }
    const codes = refusals.map(([status]) => status)
    t.ok(codes.includes('403') && codes.includes('500'), `${what}: what every route refuses with`)
    if (requestBody)
      t.ok(
        ['400', '408', '413', '415'].every(code => codes.includes(code)),
        what,
      )
  }
})

t.test('a type tells the schema of every event, command and control message', async t => {
  const { components, paths } = await documentOf(await serve(t))
  const { schemas } = components
  const unions = {
    KnownEvent: Object.keys(eventData),
    KnownEventBody: Object.keys(eventData),
    Control: Object.keys(controlSchemas),
    CommandBody: SessionCommand.options.map(option => option.shape.type.value),
  }
  for (const [name, types] of Object.entries(unions)) {
    const { oneOf = [], discriminator } = schemas[name] ?? {}
    t.equal(discriminator?.propertyName, 'type', name)
    t.same(Object.keys(discriminator?.mapping ?? {}).sort(), types.sort(), name)
    t.same(
      Object.values(discriminator?.mapping ?? {}).sort(),
      oneOf.map(({ $ref }) => $ref).sort(),
      `${name}: each has its schema`,
    )
    for (const [type, ref] of Object.entries(discriminator?.mapping ?? {})) {
      const schema = schemas[ref.split('/').at(-1)!]
      t.equal(schema?.properties?.['type']?.const, type, `${name}: ${ref}`)
    }
  }
  const refs = (name: string) => schemas[name]?.anyOf?.map(({ $ref }) => $ref.split('/').at(-1))
  t.same(refs('Event'), ['KnownEvent', 'CustomEvent'])
  t.same(refs('ServerMessage'), ['Event', 'EphemeralEvent', 'Control'])
  t.notOk(schemas['EphemeralEvent']?.required?.includes('offset'), 'an ephemeral event has no offset')
  t.notOk(schemas['PublishCommandBody']?.required?.includes('sessionId'), 'the path has the session')
  t.ok(schemas['PublishCommand']?.required?.includes('sessionId'), 'over a WebSocket the command has it')
  t.same(paths['/v1/ws']?.['get']?.['x-websocket'], {
    subprotocol: 'twinrail.v1',
    send: { $ref: '#/components/schemas/Command' },
    receive: { $ref: '#/components/schemas/ServerMessage' },
  })
})

/** Checks values against schemas of the document, and that they have no field that it does not describe. */
function checkerOf(document: Document): (schema: object, value: unknown) => string[] {
  const strict = JSON.parse(JSON.stringify(document), (_key, value) =>
    value?.type === 'object' && value.properties && value.additionalProperties === undefined
      ? { ...value, additionalProperties: false }
      : value,
  ) as Document
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true })
  ajv.addSchema(strict, 'document')
  return (schema, value) => {
    const full = JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"document#/'))
    const valid = ajv.validate(full, value)
    return valid ? [] : (ajv.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
  }
}

/** Sends a call and compares its answer with what the document says of that operation. */
function answersAs(document: Document, { url }: { url: string }) {
  const check = checkerOf(document)
  return async (
    t: Test,
    operationId: string,
    { method = 'GET', path, headers = {}, body }: Call,
    status: number,
    code?: string,
  ): Promise<void> => {
    const { operation } = operations(document).find(one => one.operation.operationId === operationId)!
    const answer = await fetch(url + path, { method, headers, ...(body && { body: String(body) }) })
    const what = `${operationId} ${status} ${code ?? ''}`
    t.equal(answer.status, status, what)
    const described = operation.responses[status]
    t.ok(described, `${what} is described`)
    const type = answer.headers.get('content-type')?.split(';')[0] ?? ''
    const text = await answer.text()
    if (!described?.content) return void t.equal(text, '', what)
    t.ok(described.content[type], `${what}: ${type}`)
    const value = type === 'application/json' ? JSON.parse(text) : text
    t.same(check(described.content[type]?.schema ?? {}, value), [], `${what}: its shape`)
    if (code === undefined) return
    t.equal(value.code ?? value.error?.code, code, what)
    t.match(described.description, `\`${code}\``, `${what}: the code is described`)
  }
}

const page = { accept: 'application/json' }
const send = (path: string, body: unknown, headers: Record<string, string> = json): Call => ({
  method: 'POST',
  path,
  headers,
  body: typeof body === 'string' ? body : JSON.stringify(body),
})

t.test('answers are as described', async t => {
  const wire = await serve(t)
  const { url } = wire
  const as = answersAs(await documentOf(wire), wire)
  const s = '/v1/sessions/s'
  await as(t, 'createSession', send('/v1/sessions', { sessionId: 's', metadata: { a: 1 } }), 201)
  await as(t, 'createSession', send('/v1/sessions', { sessionId: 's' }), 200)
  await as(t, 'createSession', { method: 'POST', path: '/v1/sessions' }, 201)
  await startRun(url, 's', 'asking', {
    questions: [{ requestId: 'q', schema: { type: 'string' }, expiresAt: Date.now() + 3_600_000 }],
  })
  await eventually(t, 'it asks', async () => (await state(url, 's')).pendingInputs?.length === 1)
  const events = [
    { type: 'plan.updated', data: { steps: [{ title: 'a', status: 'done' }] } },
    { type: 'text.delta', data: { partId: 'p', delta: 'a' } },
    { type: 'x.own', data: null },
    { type: 'run.started', runId: 'theirs', data: { agent: 'a', input: 1 } },
    { type: 'run.completed', runId: 'theirs', data: { usage: { tokens: 3 } } },
  ]
  await as(t, 'ingestEvents', send(`${s}/events`, events), 200)
  await as(t, 'ingestEvents', send(`${s}/events?producer=p&seq=0`, events[1]), 200)
  await as(t, 'ingestEvents', send(`${s}/events`, JSON.stringify(events[2]), ndjson), 200)
  await as(t, 'listSessions', { path: '/v1/sessions?limit=1' }, 200)
  await as(t, 'getSession', { path: s }, 200)
  const member = { ...send(`${s}/presence`, { memberId: 'm', state: { a: 1 } }), method: 'PUT' }
  await as(t, 'enterSession', member, 200)
  await as(t, 'listMembers', { path: `${s}/presence` }, 200)
  await as(t, 'leaveSession', { path: `${s}/presence?memberId=m`, method: 'DELETE' }, 204)
  await as(t, 'updateSession', { ...send(s, { metadata: { a: null, b: 2 } }), method: 'PATCH' }, 200)
  await as(t, 'getEvents', { path: `${s}/events`, headers: page }, 200)
  await as(t, 'getEvents', { path: `${s}/events?run=theirs&after=9-9`, headers: page }, 200)
  const { head } = await state(url, 's')
  await as(t, 'getEvents', { path: `${s}/events?run=theirs&after=${head}` }, 204)
  const publish = { id: 'c', type: 'publish', sessionId: 's', event: { type: 'x.a', data: 1 } }
  await as(t, 'sendCommand', send(`${s}/commands`, publish), 200)
  await as(t, 'sendCommand', send(`${s}/commands`, { ...publish, ephemeral: true }), 200)
  const start = { id: 'c', type: 'run.start', agent: 'script', input: { events: [] } }
  await as(t, 'sendCommand', send(`${s}/commands`, start), 200)
  await as(t, 'listAgents', { path: '/v1/agents' }, 200)
  await as(t, 'getAdvice', { path: '/v1/guide' }, 200)
  await as(t, 'getAdvice', { path: '/v1/guide?scenario=chat&connections=6' }, 200)
  await as(t, 'getHealth', { path: '/healthz' }, 200)
  await as(t, 'getReadiness', { path: '/readyz' }, 200)
  await as(t, 'getMetrics', { path: '/metrics' }, 200)
  await as(t, 'getOpenApi', { path: '/openapi.json' }, 200)
  await as(t, 'deleteSession', { method: 'DELETE', path: s }, 204)
})

t.test('refusals are as described', async t => {
  const wire = await serve(t, {
    authorize: request => {
      const refuse = request.headers['x-refuse']
      if (typeof refuse === 'string')
        throw new TwinrailError(refuse as 'forbidden', 'no', { retryAfterMs: 10 })
      return { id: 'ann' }
    },
  })
  const { url, server } = wire
  const document = await documentOf(wire)
  const as = answersAs(document, wire)
  const s = '/v1/sessions/s'
  const command = (body: object) => send(`${s}/commands`, { id: 'c', ...body })
  const steer = command({ type: 'input.steer', runId: 'none', text: 'a' })
  await as(t, 'sendCommand', steer, 404, 'session-not-found')
  const run = await startRun(url, 's', 'script', { events: [] })
  await terminalOf(url, 's', run)
  await as(t, 'sendCommand', steer, 404, 'run-not-found')
  await as(t, 'sendCommand', command({ type: 'run.start', agent: 'none', input: 1 }), 404, 'agent-not-found')
  const answer = { type: 'input.answer', requestId: 'q', value: 1 }
  await as(t, 'sendCommand', command(answer), 404, 'input-not-found')
  await as(t, 'sendCommand', command({ type: 'run.cancel', runId: run }), 409, 'run-ended')
  const again = { type: 'run.start', runId: run, agent: 'script', input: 2 }
  await as(t, 'sendCommand', command(again), 409, 'conflict')
  await as(t, 'sendCommand', command({ type: 'none' }), 400, 'bad-request')
  await as(t, 'sendCommand', send(`${s}/commands`, 'x'.repeat(2 ** 21)), 413, 'too-large')
  await as(t, 'sendCommand', send(`${s}/commands`, '', {}), 400, 'bad-request')
  await as(t, 'sendCommand', send(`${s}/commands`, 'a', ndjson), 415, 'unsupported-media-type')
  await as(t, 'ingestEvents', send(`${s}/events`, { type: 'none' }), 400, 'bad-request')
  await as(t, 'ingestEvents', send(`${s}/events`, '{}\n', ndjson), 400, 'bad-request')
  const hole = send(`${s}/events?producer=p&seq=9`, { type: 'x.a', data: 1 })
  await as(t, 'ingestEvents', send(`${s}/events?producer=p&seq=0`, { type: 'x.a', data: 1 }), 200)
  await as(t, 'ingestEvents', hole, 409, 'conflict')
  await as(t, 'ingestEvents', send(`${s}/events`, '{', json), 400, 'bad-request')
  await as(t, 'getEvents', { path: `${s}/events?run=none`, headers: page }, 404, 'run-not-found')
  await as(t, 'getEvents', { path: '/v1/sessions/none/events' }, 404, 'session-not-found')
  await as(t, 'getEvents', { path: `${s}/events?limit=1001`, headers: page }, 400, 'bad-request')
  await as(t, 'getSession', { path: '/v1/sessions/none' }, 404, 'session-not-found')
  await as(t, 'createSession', send('/v1/sessions', { metadata: [] }), 400, 'bad-request')
  const patch = (metadata: unknown) => ({ ...send(s, { metadata }), method: 'PATCH' })
  await as(t, 'updateSession', patch([]), 400, 'bad-request')
  await as(t, 'updateSession', { ...patch({}), path: '/v1/sessions/none' }, 404, 'session-not-found')
  await as(t, 'updateSession', patch({ a: 'x'.repeat(10_000) }), 200)
  await as(t, 'updateSession', patch({ b: 'x'.repeat(10_000) }), 413, 'too-large')
  await as(t, 'getAdvice', { path: '/v1/guide?connections=many' }, 400, 'bad-request')
  await as(t, 'connect', { path: '/v1/ws' }, 400, 'bad-request')

  const calls: Record<string, Call> = {
    createSession: send('/v1/sessions', {}),
    listSessions: { path: '/v1/sessions' },
    getSession: { path: s },
    updateSession: patch({}),
    listMembers: { path: `${s}/presence` },
    enterSession: { ...send(`${s}/presence`, { memberId: 'm' }), method: 'PUT' },
    leaveSession: { path: `${s}/presence?memberId=m`, method: 'DELETE' },
    deleteSession: { path: s, method: 'DELETE' },
    sendCommand: command({ type: 'publish', event: { type: 'x.a', data: 1 } }),
    getEvents: { path: `${s}/events`, headers: page },
    ingestEvents: send(`${s}/events`, { type: 'x.a', data: 1 }),
    listAgents: { path: '/v1/agents' },
  }
  for (const [operationId, call] of Object.entries(calls)) {
    for (const [code, status] of [
      ['unauthorized', 401],
      ['forbidden', 403],
      ['rate-limited', 429],
    ] as const) {
      const refused = { ...call, headers: { ...call.headers, 'x-refuse': code } }
      await as(t, operationId, refused, status, code)
    }
  }
  for (const { method, path, operation } of operations(document)) {
    if (isForeign(operation)) continue
    const call = { ...calls[operation.operationId], path: path.replace('{sessionId}', 's') }
    const foreign = { ...call, headers: { ...call.headers, origin: 'https://evil.example' } }
    await as(t, operation.operationId, { ...foreign, method: method.toUpperCase() }, 403, 'forbidden')
  }

  const closed = server.close({ drainMs: 5000 })
  await as(t, 'getReadiness', { path: '/readyz' }, 503, 'restart').catch(() => t.fail('it drains'))
  void closed
})

t.test('messages of streams and sockets are as described', async t => {
  const wire = await serve(t)
  const { url, server } = wire
  const check = checkerOf(await documentOf(wire))
  const message = { $ref: '#/components/schemas/ServerMessage' }
  await server.sessions.create('s')
  const samples = [
    { type: 'text.start', data: { partId: 'p', role: 'assistant' } },
    { type: 'text.delta', data: { partId: 'p', delta: 'a' } },
    { type: 'text.delta', data: { partId: 'p', delta: 'b' } },
    { type: 'text.end', data: { partId: 'p' } },
    { type: 'x.own', data: { any: ['thing'] } },
  ]
  for (const transport of ['sse', 'websocket'] as const) {
    const stream = await follow(t, transport, url, 's', { after: '9-9', replay: 'compact' })
    await server.sessions.execute(
      { id: 'c', type: 'publish', sessionId: 's', ephemeral: true, event: { type: 'x.typing', data: 1 } },
      { id: 'ann' },
    )
    await fetch(`${url}/v1/sessions/s/events`, {
      method: 'POST',
      headers: json,
      body: JSON.stringify(samples),
    })
    const got = await stream.until('x.own')
    const seen = new Set(got.map(({ message }) => message.type))
    for (const type of ['hello', 'subscribed', 'reset', 'text.delta', 'x.own']) t.ok(seen.has(type), type)
    for (const { json } of got) t.same(check(message, JSON.parse(json)), [], json)
    stream.close()
  }
  t.not(check(message, { type: 'text.delta', sessionId: 's', data: {} }).length, 0, 'the check can fail')
  t.not(check(message, { type: 'ping', time: 1, more: 1 }).length, 0)
})
