/** The composition root: puts log, bus, sessions and transports together into one server. */
import type { AddressInfo } from 'node:net'
import fastifyCors from '@fastify/cors'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { FastifySSEPlugin } from 'fastify-sse-v2'
import type { Agent } from './agents/agent.ts'
import { type Authorize, allowLocal } from './auth.ts'
import { Bus, type BusOptions } from './bus/bus.ts'
import type { EventLog } from './log/log.ts'
import { createMemoryLog } from './log/memory.ts'
import { createMetrics } from './metrics.ts'
import { isLoopback, Origins } from './origins.ts'
import { HEARTBEAT_MS, limits } from './protocol/index.ts'
import { commandRoutes } from './routes/commands.ts'
import { answerUnroutable, errorHandling, unreadableRequest } from './routes/errors.ts'
import { eventRoutes, ndjsonBodies } from './routes/events.ts'
import { metaRoutes } from './routes/meta.ts'
import { pageRoutes } from './routes/page.ts'
import { sessionRoutes } from './routes/sessions.ts'
import { websocketRoutes } from './routes/websocket.ts'
import type { RetentionLimits } from './sessions/retention.ts'
import { Sessions } from './sessions/sessions.ts'
import { stderrLog } from './stderr-log.ts'
import { cutter, type Tls, tlsOptions } from './tls.ts'
import { Connections } from './transports/connections.ts'
import type { TransportContext } from './transports/context.ts'
import { Heartbeats } from './transports/heartbeat.ts'

/** How long a connection may take to read its farewell, in ms. */
const FAREWELL_MS = 1000

export interface ServerOptions {
  /** What runs can be started of. @default none */
  agents?: readonly Agent[]
  /** Where sessions live. The server closes it when it is closed. @default memory */
  log?: EventLog
  /** Who may do what. @default everybody may do everything; only allowed on loopback */
  authorize?: Authorize
  /** Listens beyond loopback without an `authorize` hook. @default false */
  insecure?: boolean
  /** Speaks HTTPS, with HTTP/2 and HTTP/1.1 on one port. @default plain HTTP/1.1, for a proxy that does it */
  tls?: Tls | undefined
  /**
   * Origins of foreign pages that may use this server, such as `https://app.example.com`; each gets CORS. A list, even
   * an empty one, allows nothing beside it but the server's own pages.
   * @default on loopback every loopback origin, such as the page of Vite on http://localhost:5173; elsewhere none
   */
  origins?: readonly string[]
  /** Silence after which a connection is pinged unless the client asks otherwise, in ms. @default 15 s */
  heartbeatMs?: number
  /** A write that waits longer ends its connection, in ms. @default 30 s */
  stallMs?: number
  /**
   * Compresses streams for clients that ask for it. All subscribers of a session share one dictionary, so where secrets
   * and foreign text mix in a session the length of its messages tells of them: leave it off there. @default false
   */
  compression?: boolean
  /** Sizes of what a followed session keeps at hand, how far subscribers may lag, how long they hold producers. */
  delivery?: Omit<BusOptions, 'observer'>
  /** What an `EventSource` waits before it reconnects, in ms. @default 2 s */
  retryMs?: number
  /** Over how long clients are told to spread their reconnects when the server stops, in ms. @default 5 s */
  spreadMs?: number
  /** The longest that a run may work, without time spent waiting for its users, in ms. @default 1 h */
  maxRunMs?: number
  /** How long after its process's death a run is given up, in ms. @default 15 s */
  leaseMs?: number
  /** How long a run opened by ingest lives without another event, in ms. @default 60 s */
  producerLeaseMs?: number
  /** How much of each session is kept; what goes is told by `gap`. @default everything */
  retention?: RetentionLimits
  /** How often that is seen to, in ms. @default 5 s */
  retentionEveryMs?: number
  /**
   * Where the server writes what goes wrong: `false` for nowhere, settings for Fastify's logger, or a pino logger of
   * one's own. Entries have stack traces of agents and ids of runs and requests, never the content of events.
   * @default warnings and errors as plain text on stderr
   */
  logger?: FastifyServerOptions['logger'] | FastifyBaseLogger
}

export interface TwinrailServer {
  /** The Fastify instance, to add routes of one's own before `listen`. */
  readonly app: FastifyInstance
  readonly bus: Bus
  readonly sessions: Sessions
  /**
   * Begins to listen; resolves with the address, such as `http://127.0.0.1:8787`.
   * @throws Error when the host is not loopback and there is neither an `authorize` hook nor `insecure`
   */
  listen(options?: { host?: string; port?: number }): Promise<string>
  /**
   * Stops: takes nothing new, gives runs `graceMs` to end, tells every subscriber to come back later, frees
   * everything. Idempotent.
   * @param graceMs default 10 s
   */
  close(options?: { graceMs?: number }): Promise<void>
}

/** Makes a server that does not listen yet. */
export async function createServer(options: ServerOptions = {}): Promise<TwinrailServer> {
  const log = options.log ?? createMemoryLog()
  const app = Fastify({
    ...(options.tls && tlsOptions(options.tls)),
    ...loggerOptions(options.logger),
    bodyLimit: limits.messageBytes,
    forceCloseConnections: 'idle',
    // A stream may be asked for at any time of a long connection, and an ingest may take hours.
    requestTimeout: 0,
    // Ids have 128 characters; in a URL each may take three. What is longer still gets its answer from the schema.
    routerOptions: { maxParamLength: 512 },
    frameworkErrors: answerUnroutable,
    clientErrorHandler(error, socket) {
      // Nothing is put into an answer that has begun, such as an event stream.
      const { _httpMessage: answer } = socket as { _httpMessage?: { headersSent: boolean } }
      if (error.code === 'ECONNRESET' || !socket.writable || answer?.headersSent) socket.destroy()
      else socket.end(unreadableRequest)
    },
  })
  const cutAll = cutter(app)
  const metrics = createMetrics()
  const bus = new Bus(log, { ...options.delivery, observer: metrics.observer })
  const sessions = new Sessions({
    bus,
    agents: options.agents ?? [],
    ...pick(options, ['maxRunMs', 'leaseMs', 'producerLeaseMs', 'retention', 'retentionEveryMs']),
    onError: (error, about) =>
      app.log.error(
        { err: error, ...about },
        'agent' in about ? 'an agent failed' : 'background work failed',
      ),
  })
  const context: TransportContext = {
    bus,
    sessions,
    authorize: options.authorize ?? allowLocal,
    heartbeats: new Heartbeats(),
    connections: new Connections(options.spreadMs ?? 5000),
    heartbeatMs: options.heartbeatMs ?? HEARTBEAT_MS,
    stallMs: options.stallMs ?? 30_000,
    retryMs: options.retryMs ?? 2000,
    compression: options.compression ?? false,
    onLost: metrics.lost,
    onMissedHeartbeat: metrics.missedHeartbeat,
  }

  app.removeContentTypeParser('text/plain')
  errorHandling(app)
  // Before any hook that may refuse: the plugin's own sees to it that a refused upgrade's socket is closed.
  await websocketRoutes(app, context)
  const origins = new Origins(options.origins, origin => app.log.warn(refusedPage(origin)))
  app.addHook('onRequest', async request => origins.check(request))
  await app.register(fastifyCors, {
    // Whoever gets here is allowed, or a page of the server's own, or no page at all: the last two need no CORS.
    origin: (origin, callback) => callback(null, origin !== undefined && origins.allows(origin)),
    credentials: true,
    methods: ['GET', 'POST', 'DELETE'],
    exposedHeaders: ['retry-after'],
  })
  await app.register(FastifySSEPlugin)
  sessionRoutes(app, context)
  commandRoutes(app, context)
  // In a scope of its own: only events are taken as NDJSON.
  await app.register(async scope => {
    ndjsonBodies(scope)
    eventRoutes(scope, context)
  })
  metrics.measure(context)
  metaRoutes(app, context, metrics)
  pageRoutes(app, pageFolder)

  let closing: Promise<void> | undefined
  async function stop(graceMs: number): Promise<void> {
    context.connections.stop()
    // Runs that end within their grace are seen to end by who watches them.
    await sessions.close(graceMs)
    await new Promise(resolve => setImmediate(resolve))
    context.connections.closeAll()
    context.heartbeats.close()
    // Who does not take the farewell in time is cut off.
    const cut = setTimeout(() => {
      cutAll()
    }, FAREWELL_MS)
    await app.close()
    clearTimeout(cut)
    await log.close()
  }

  return {
    app,
    bus,
    sessions,
    async listen({ host = '127.0.0.1', port = 8787 } = {}) {
      origins.onLoopback = isLoopback(host)
      if (!origins.onLoopback && !options.authorize && !options.insecure) {
        throw new Error(
          `refusing to listen on ${host}: anybody who reaches it could start runs. Listen on 127.0.0.1, give an authorize hook, or say insecure`,
        )
      }
      await app.listen({ host, port })
      const address = app.server.address() as AddressInfo
      const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
      return `${options.tls ? 'https' : 'http'}://${name}:${address.port}`
    },
    close({ graceMs = 10_000 } = {}) {
      closing ??= stop(graceMs)
      return closing
    },
  }
}

/** Built files stand in dist/, sources do not; the page is the same for both. */
const pageFolder = new URL(
  import.meta.url.includes('/dist/src/') ? '../../client/page/' : '../client/page/',
  import.meta.url,
)

/** What the terminal says of a page that was refused. */
function refusedPage(origin: string): string {
  return origin === 'null'
    ? 'refused a page that has no origin: a file:// page, or a sandboxed frame. Serve it over HTTP instead'
    : `refused a page of ${origin}; to allow it, start the server with --origin ${origin} (createServer: origins: ['${origin}'])`
}

/** The logger as Fastify takes it: settings and loggers go by different names there. */
function loggerOptions(
  logger: ServerOptions['logger'],
): Pick<FastifyServerOptions, 'logger' | 'loggerInstance'> {
  if (logger === undefined) return { logger: stderrLog('warn') }
  return typeof logger === 'object' && 'child' in logger ? { loggerInstance: logger } : { logger }
}

/** The options that were given, of these. */
function pick<T extends object, K extends keyof T>(options: T, names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(
    names.filter(name => options[name] !== undefined).map(name => [name, options[name]]),
  ) as Pick<T, K>
}
