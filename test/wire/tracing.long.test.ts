/** Traces, seen by a real exporter: parents, names, attributes and errors; and nothing of content. */
import { context, type Span, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import * as sdk from '@opentelemetry/sdk-trace'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { z } from 'zod'
import { defineAgent, RunError } from '../../src/agents/agent.ts'
import type { EventBody } from '../../src/protocol/index.ts'
import { openSse, openWs } from '../fixtures/wire-clients.ts'
import { agents, call, command, eventually, logged, serve, terminalOf } from '../fixtures/wire-server.ts'
import { work } from '../workers/stage.ts'

const SECRET = 'what-no-trace-shows'

/** Makes a span of its own, as the AI SDK does, says something, and fails if it is told to. */
const thinker = defineAgent({
  name: 'thinker',
  description: 'Thinks',
  input: z.object({ text: z.string(), fails: z.boolean().default(false) }),
  async *run({ text, fails }) {
    const delta = (delta: string): EventBody => ({ type: 'text.delta', data: { partId: 'p', delta } })
    yield delta(text)
    await new Promise(resolve => setImmediate(resolve))
    const own: Span = trace.getTracer('ai').startSpan('model call')
    yield delta(text)
    own.end()
    if (fails) throw new RunError('model-down', SECRET)
  },
})

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())

function tracer() {
  const exporter = new sdk.InMemorySpanExporter()
  const provider = new sdk.TracerProvider({ spanProcessors: [new sdk.SimpleSpanProcessor({ exporter })] })
  return { exporter, provider }
}

type Finished = ReturnType<sdk.InMemorySpanExporter['getFinishedSpans']>[number]

const { exporter, provider } = tracer()
trace.setGlobalTracerProvider(provider)

async function spansOf(t: Test, count: number): Promise<Finished[]> {
  await eventually(t, `${count} spans`, async () => exporter.getFinishedSpans().length >= count)
  return exporter.getFinishedSpans()
}

const named = (spans: Finished[], name: string) => spans.filter(span => span.name === name)
const idOf = (span: Finished | undefined) => span?.spanContext().spanId
const parentOf = (span: Finished | undefined) => span?.parentSpanContext?.spanId

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const REMOTE = `00-${TRACE}-00f067aa0ba902b7-01`
const start = { type: 'run.start', agent: 'thinker', runId: 'r', input: { text: SECRET } }

t.beforeEach(() => exporter.reset())

for (const way of ['header', 'field', 'websocket'] as const) {
  t.test(`a run is a child of its command, and that of the caller's traceparent: ${way}`, async t => {
    const wire = await serve(t, { agents: [...agents, thinker], tracing: true })
    const { url } = wire
    await call(`${url}/v1/sessions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"sessionId":"s"}',
    })
    const stream = await openSse(t, `${url}/v1/sessions/s/events`)
    await stream.until('caught-up')
    if (way === 'websocket') {
      const socket = await openWs(t, url)
      await socket.nextOf('hello')
      t.match(await socket.command({ ...start, sessionId: 's', traceparent: REMOTE }), { type: 'ack' })
    } else {
      const body = JSON.stringify({ id: '1', ...start, ...(way === 'field' && { traceparent: REMOTE }) })
      const headers = { 'content-type': 'application/json', ...(way === 'header' && { traceparent: REMOTE }) }
      t.match(await call(`${url}/v1/sessions/s/commands`, { method: 'POST', headers, body }), { status: 200 })
    }
    await stream.until('run.completed')
    const spans = await spansOf(t, 6)
    const [sent] = named(spans, 'command run.start')
    const [run] = named(spans, 'run thinker')
    const [own] = named(spans, 'model call')
    const appends = named(spans, 'append')
    const [delivered] = named(spans, 'deliver')
    t.ok(
      spans.every(span => span.spanContext().traceId === TRACE),
      'one trace',
    )
    t.equal(parentOf(sent), '00f067aa0ba902b7')
    t.equal(parentOf(run), idOf(sent))
    t.equal(parentOf(own), idOf(run), 'a span of the agent')
    t.equal(parentOf(delivered), idOf(run))
    t.ok(
      appends.some(span => parentOf(span) === idOf(sent)),
      'the append of run.started',
    )
    t.ok(
      appends.some(span => parentOf(span) === idOf(run)),
      'an append of the run',
    )
    t.match(sent?.attributes, {
      'twinrail.command.type': 'run.start',
      'twinrail.session.id': 's',
      'twinrail.run.id': 'r',
      'twinrail.agent': 'thinker',
    })
    t.match(run?.attributes, {
      'twinrail.session.id': 's',
      'twinrail.run.id': 'r',
      'twinrail.agent': 'thinker',
      'twinrail.run.outcome': 'completed',
    })
    t.match(delivered?.attributes, { 'twinrail.receivers': 1 })
    t.equal(run?.status.code, 0)
    const shown = JSON.stringify(
      spans.map(({ name, attributes, events, status }) => [name, attributes, events, status]),
    )
    t.notMatch(shown, SECRET)
    const [started] = (await logged(wire, 's')).map(json => JSON.parse(json))
    t.equal(started.data.traceparent, `00-${TRACE}-${idOf(sent)}-01`, 'run.started has it')
  })
}

t.test('failures have their code and no text', async t => {
  const { url } = await serve(t, { agents: [...agents, thinker], tracing: provider })
  await command(url, 's', { ...start, input: { text: SECRET, fails: true } })
  await terminalOf(url, 's', 'r')
  const refused = await command(url, 's', { type: 'run.start', agent: SECRET, input: {} })
  t.match(refused.body, { code: 'agent-not-found' })
  await eventually(
    t,
    'the run has ended',
    async () => named(exporter.getFinishedSpans(), 'run thinker').length > 0,
  )
  const spans = exporter.getFinishedSpans()
  const [run] = named(spans, 'run thinker')
  t.match(run, {
    status: { code: 2 },
    attributes: { 'error.type': 'model-down', 'twinrail.run.outcome': 'failed' },
  })
  const failed = named(spans, 'command run.start').find(({ status }) => status.code === 2)
  t.match(failed?.attributes, { 'error.type': 'agent-not-found', 'twinrail.agent': 'other' })
  const shown = JSON.stringify(
    spans.map(({ name, attributes, events, status }) => [name, attributes, events, status]),
  )
  t.notMatch(shown, SECRET)
})

t.test('a cancelled run ends its span; a malformed traceparent is ignored', async t => {
  const { url } = await serve(t, { tracing: true })
  const begin = { type: 'run.start', agent: 'idle', runId: 'r', input: {}, traceparent: 'not one' }
  t.match(await command(url, 's', begin), { status: 200 })
  await command(url, 's', { type: 'run.cancel', runId: 'r' })
  await eventually(t, 'it has ended', async () => named(exporter.getFinishedSpans(), 'run idle').length > 0)
  const [run] = named(exporter.getFinishedSpans(), 'run idle')
  t.match(run, { attributes: { 'twinrail.run.outcome': 'cancelled' }, status: { code: 0 } })
  const [sent] = named(exporter.getFinishedSpans(), 'command run.start')
  t.equal(parentOf(sent), undefined)
})

t.test('appends and deliveries of a run are sampled', async t => {
  const { url } = await serve(t, { tracing: true })
  const stream = await openSse(t, `${url}/v1/sessions/s/events?create=1`)
  await stream.until('caught-up')
  await command(url, 's', {
    type: 'run.start',
    agent: 'playback',
    runId: 'r',
    input: { count: 60, rate: 100 },
  })
  await stream.until('run.completed')
  await eventually(
    t,
    'it has ended',
    async () => named(exporter.getFinishedSpans(), 'run playback').length > 0,
  )
  const spans = exporter.getFinishedSpans()
  const [run] = named(spans, 'run playback')
  const seconds = (run?.duration[0] ?? 0) + 2
  const ofRun = (name: string) => named(spans, name).filter(span => parentOf(span) === idOf(run)).length
  t.ok(ofRun('append') >= 1 && ofRun('append') <= seconds, `${ofRun('append')} appends`)
  t.ok(ofRun('deliver') >= 1 && ofRun('deliver') <= seconds, `${ofRun('deliver')} deliveries`)
})

/** Does the same as `thinker`, elsewhere: there is no active span, so its span has the parent that the context names. */
const remoteThinker = defineAgent({
  name: 'remote',
  description: 'Thinks elsewhere',
  input: z.object({ text: z.string(), does: z.enum(['ends', 'fails', 'waits']).default('ends') }),
  async *run({ text, does }, { traceparent, steering }) {
    yield { type: 'text.delta', data: { partId: 'p', delta: text } }
    yield { type: 'x.trace', data: { traceparent: traceparent ?? 'none' } }
    if (does === 'fails') throw new RunError('model-down', SECRET)
    // Without end: what is heard is told in `input.applied`.
    if (does === 'waits') for await (const _ of steering);
  },
})

const ofWorkers = { type: 'run.start', agent: 'remote', runId: 'r' }

t.test('a run of a worker has a span as one inside has, and the worker gets the trace context', async t => {
  const wire = await serve(t, { tracing: true })
  const { url } = wire
  await work(t, url, { agents: [remoteThinker] })
  const stream = await openSse(t, `${url}/v1/sessions/s/events?create=1`)
  await stream.until('caught-up')
  await command(url, 's', { ...ofWorkers, input: { text: SECRET }, traceparent: REMOTE })
  await stream.until('run.completed')
  await eventually(t, 'it has ended', async () => named(exporter.getFinishedSpans(), 'run remote').length > 0)
  const spans = exporter.getFinishedSpans()
  const [sent] = named(spans, 'command run.start')
  const [run, ...others] = named(spans, 'run remote')
  t.same(others, [], 'one')
  t.equal(run?.spanContext().traceId, TRACE)
  t.equal(parentOf(run), idOf(sent))
  t.same(run?.attributes, {
    'twinrail.session.id': 's',
    'twinrail.run.id': 'r',
    'twinrail.agent': 'remote',
    'twinrail.run.outcome': 'completed',
  })
  t.equal(run?.status.code, 0)
  t.ok(
    named(spans, 'append').some(span => parentOf(span) === idOf(run)),
    'an append of its events',
  )
  const events = (await logged(wire, 's')).map(json => JSON.parse(json))
  const expected = `00-${TRACE}-${idOf(sent)}-01`
  t.equal(events.find(({ type }) => type === 'x.trace').data.traceparent, expected, 'the agent’s context')
  const shown = JSON.stringify(spans.map(({ name, attributes, status }) => [name, attributes, status]))
  t.notMatch(shown, SECRET)
})

t.test('runs of workers that fail or are cancelled end their span so', async t => {
  const { url } = await serve(t, { tracing: true })
  await work(t, url, { agents: [remoteThinker], slots: 2 })
  await command(url, 's', { ...ofWorkers, runId: 'failing', input: { text: '', does: 'fails' } })
  await terminalOf(url, 's', 'failing')
  const stream = await openSse(t, `${url}/v1/sessions/s/events?replay=none`)
  await stream.until('caught-up')
  await command(url, 's', { ...ofWorkers, runId: 'waiting', input: { text: '', does: 'waits' } })
  await stream.until('x.trace')
  await command(url, 's', { type: 'run.cancel', runId: 'waiting' })
  await eventually(
    t,
    'both have ended',
    async () => named(exporter.getFinishedSpans(), 'run remote').length === 2,
  )
  const of = (runId: string) =>
    named(exporter.getFinishedSpans(), 'run remote').find(
      ({ attributes }) => attributes['twinrail.run.id'] === runId,
    )
  t.match(of('failing'), {
    status: { code: 2 },
    attributes: { 'error.type': 'model-down', 'twinrail.run.outcome': 'failed' },
  })
  t.match(of('waiting'), { status: { code: 0 }, attributes: { 'twinrail.run.outcome': 'cancelled' } })
  t.ok(
    named(exporter.getFinishedSpans(), 'deliver').some(span => parentOf(span) === idOf(of('waiting'))),
    'a delivery of its events',
  )
})

t.test('a worker that comes back goes on with the run in another span of the same trace', async t => {
  const { url } = await serve(t, { tracing: true })
  const sockets: WebSocket[] = []
  class Noted extends WebSocket {
    constructor(...given: ConstructorParameters<typeof WebSocket>) {
      super(...given)
      sockets.push(this)
    }
  }
  await work(t, url, { agents: [remoteThinker], WebSocket: Noted as never })
  await command(url, 's', { ...ofWorkers, input: { text: '', does: 'waits' }, traceparent: REMOTE })
  const stream = await openSse(t, `${url}/v1/sessions/s/events`)
  await stream.until('x.trace')
  sockets[0]?.terminate()
  const runs = () => named(exporter.getFinishedSpans(), 'run remote')
  await eventually(t, 'the connection’s span has ended', async () => runs().length === 1)
  await command(url, 's', { type: 'input.steer', runId: 'r', text: SECRET })
  await stream.until('input.applied')
  await command(url, 's', { type: 'run.cancel', runId: 'r' })
  await eventually(t, 'the other one has ended', async () => runs().length === 2)
  const [first, second] = runs()
  t.notOk(first?.attributes['twinrail.run.outcome'])
  t.match(second?.attributes, { 'twinrail.run.resumed': true, 'twinrail.run.outcome': 'cancelled' })
  t.equal(second?.spanContext().traceId, TRACE)
  t.equal(parentOf(second), parentOf(first))
})

t.test('without tracing nothing is made, and run.started has no traceparent', async t => {
  const wire = await serve(t, { agents: [...agents, thinker] })
  await command(wire.url, 's', { ...start, traceparent: REMOTE })
  await terminalOf(wire.url, 's', 'r')
  t.same(
    exporter.getFinishedSpans().map(({ name }) => name),
    ['model call'],
    'the agent’s own',
  )
  t.notMatch((await logged(wire, 's'))[0], /traceparent/)
})
