/** Traces of OpenTelemetry. The package `@opentelemetry/api` is loaded only by a server that traces. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Context, Span, SpanContext, Tracer, TracerProvider } from '@opentelemetry/api'
import type { BusObserver } from './bus/observer.ts'
import type { RunTrace, Tracing } from './bus/tracing.ts'
import { TwinrailError } from './protocol/index.ts'

/** Whoever makes tracers: a `TracerProvider` of OpenTelemetry. */
export interface TracerSource {
  /** Returns the tracer of a library. */
  getTracer(name: string, version?: string): object
}

/** Shortest time between two spans of appends, and of deliveries, of one run, in ms. */
const SAMPLE_MS = 1000

/** A run with a span that is recorded. */
interface TracedRun {
  readonly span: Span
  readonly context: Context
  appendAt: number
  deliverAt: number
}

/**
 * Makes the traces of a server.
 * @param source makes the spans; `true` for the provider that is registered globally
 * @throws Error when `@opentelemetry/api` is not installed
 */
export async function createTracing(source: true | TracerSource): Promise<Tracing> {
  const api = await import('@opentelemetry/api').catch(cause => {
    throw new Error('tracing needs the package @opentelemetry/api: npm install @opentelemetry/api', { cause })
  })
  const { context, SpanKind, SpanStatusCode, trace, TraceFlags } = api
  const provider = source === true ? trace : (source as TracerProvider)
  const tracer = provider.getTracer('twinrail') as Tracer
  /** The span of the command under way. OpenTelemetry's own context may have no manager. */
  const commands = new AsyncLocalStorage<Span>()
  /** Only runs whose spans are recorded. */
  const runs = new Map<string, TracedRun>()

  /** The context whose span is the one that `traceparent` names; else the active one. */
  function parentOf(traceparent: string | undefined): Context {
    const remote = traceparent === undefined ? undefined : parseTraceparent(traceparent)
    return remote ? trace.setSpanContext(context.active(), remote) : context.active()
  }

  function fail(span: Span, code: string): void {
    span.setAttribute('error.type', code)
    span.setStatus({ code: SpanStatusCode.ERROR })
  }

  const codeOf = (error: unknown) => (error instanceof TwinrailError ? error.code : 'internal')

  async function settle<T>(span: Span, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      // Its message may repeat what a client sent.
      fail(span, codeOf(error))
      throw error
    } finally {
      span.end()
    }
  }

  /** Whether it is time for another span of this kind. */
  function isDue(run: TracedRun, kind: 'appendAt' | 'deliverAt'): boolean {
    const now = performance.now()
    if (now - run[kind] < SAMPLE_MS) return false
    run[kind] = now
    return true
  }

  return {
    command({ type, sessionId, runId, agent, traceparent }, work) {
      const parent = parentOf(traceparent)
      const span = tracer.startSpan(`command ${type}`, { kind: SpanKind.SERVER }, parent)
      if (span.isRecording()) {
        span.setAttributes({
          'twinrail.command.type': type,
          'twinrail.session.id': sessionId,
          ...(runId !== undefined && { 'twinrail.run.id': runId }),
          ...(agent !== undefined && { 'twinrail.agent': agent }),
        })
      } else if (!trace.isSpanContextValid(span.spanContext())) return work()
      return commands.run(span, () => context.with(trace.setSpan(parent, span), () => settle(span, work)))
    },

    traceparent() {
      const found = commands.getStore()?.spanContext()
      return found && trace.isSpanContextValid(found) ? formatTraceparent(found) : undefined
    },

    run({ sessionId, runId, agent, isResumed, traceparent }): RunTrace {
      const key = keyOf(sessionId, runId)
      const parent = parentOf(traceparent)
      const span = tracer.startSpan(`run ${agent}`, { kind: SpanKind.INTERNAL }, parent)
      const own = trace.setSpan(parent, span)
      if (span.isRecording()) {
        span.setAttributes({
          'twinrail.session.id': sessionId,
          'twinrail.run.id': runId,
          'twinrail.agent': agent,
          ...(isResumed && { 'twinrail.run.resumed': true }),
        })
        runs.set(key, { span, context: own, appendAt: -Infinity, deliverAt: -Infinity })
      }
      return {
        // What the run causes is not the command's any more.
        within: work => commands.exit(() => context.with(own, work)),
        end(terminal) {
          if (runs.get(key)?.span === span) runs.delete(key)
          if (terminal) {
            span.setAttribute('twinrail.run.outcome', terminal.type.slice('run.'.length))
            if (terminal.type === 'run.failed') fail(span, terminal.code ?? 'agent-error')
          }
          span.end()
        },
      }
    },

    append({ sessionId, runId, events }, work) {
      const run = runId === undefined ? undefined : runs.get(keyOf(sessionId, runId))
      const command = run ? undefined : commands.getStore()
      const isTraced = run ? isDue(run, 'appendAt') : (command?.isRecording() ?? false)
      if (!isTraced) return work()
      const parent = run ? run.context : trace.setSpan(context.active(), command as Span)
      const attributes = { 'twinrail.session.id': sessionId, 'twinrail.events': events }
      return settle(tracer.startSpan('append', { attributes }, parent), work)
    },

    delivered({ sessionId, runId, events, receivers, delayMs }) {
      const run = runs.get(keyOf(sessionId, runId))
      if (!run || !isDue(run, 'deliverAt')) return
      const attributes = {
        'twinrail.session.id': sessionId,
        'twinrail.events': events,
        'twinrail.receivers': receivers,
      }
      const startTime = Date.now() - delayMs
      tracer.startSpan('deliver', { startTime, attributes }, run.context).end()
    },
  }

  /** The span that a `traceparent` of W3C Trace Context names; `undefined` when it is malformed. */
  function parseTraceparent(text: string): SpanContext | undefined {
    const [, version, traceId = '', spanId = '', flags = ''] =
      /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(?:-.*)?$/.exec(text.trim()) ?? []
    if (version === undefined || version === 'ff' || (version === '00' && text.trim().length !== 55)) return
    const found = {
      traceId,
      spanId,
      traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED,
      isRemote: true,
    }
    return trace.isSpanContextValid(found) ? found : undefined
  }
}

function formatTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
}

/** Ids contain no spaces. */
const keyOf = (sessionId: string, runId: string) => `${sessionId} ${runId}`

/** An observer of the bus that traces deliveries, too. */
export function withDeliveries(observer: BusObserver, tracing: Tracing): BusObserver {
  return {
    ...observer,
    batch(events, receivers, delayMs, last) {
      observer.batch(events, receivers, delayMs, last)
      if (last?.runId === undefined) return
      const { runId } = last
      tracing.delivered({ sessionId: sessionIn(last.json), runId, events, receivers, delayMs })
    },
  }
}

const SESSION = '"sessionId":"'

/** The session of an event's JSON, whose ids have no characters that JSON escapes. */
function sessionIn(json: string): string {
  const start = json.indexOf(SESSION) + SESSION.length
  return json.slice(start, json.indexOf('"', start))
}
