/** A server with one way of tracing, which says what its events cost. */
import { context } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { BatchSpanProcessor, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace'
import { createServer } from '../package/server.ts'
import { serveWorker } from '../serve.ts'
import { executor } from './executor.ts'
import { measuredAgents } from './measured-agents.ts'

/** `off`: no `tracing`; `api`: `tracing: true` and no SDK; `sdk`: an SDK whose exporter drops all spans. */
export type TracingVariant = 'off' | 'api' | 'sdk'

let spans = 0

const dropping: SpanExporter = {
  export(finished, done) {
    spans += finished.length
    done({ code: 0 })
  },
  async shutdown() {},
  async forceFlush() {},
}

let execute: ReturnType<typeof executor>

export type TracingHandlers = typeof handlers

const handlers = {
  async open(variant: TracingVariant): Promise<void> {
    const options = { agents: measuredAgents('inside'), logger: false } as const
    if (variant === 'off') {
      execute = executor(await createServer(options))
    } else if (variant === 'api') {
      execute = executor(await createServer({ ...options, tracing: true }))
    } else {
      context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
      const provider = new TracerProvider({
        spanProcessors: [new BatchSpanProcessor({ exporter: dropping })],
      })
      execute = executor(await createServer({ ...options, tracing: provider }))
    }
  },
  /** CPU of this process in µs for each event of runs of `events` deltas, one run after the other. */
  async runs(count: number, events: number): Promise<number> {
    const before = process.cpuUsage()
    for (let i = 0; i < count; i++) await execute('inside-burst', { events })
    const { user, system } = process.cpuUsage(before)
    return (user + system) / (count * events)
  },
  /** Spans that were exported so far. */
  spans: () => spans,
}

serveWorker(handlers)
