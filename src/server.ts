/** Builds a server from its parts: log, bus, sessions, transports and routes. */
import type { AddressInfo, Server } from 'node:net'
import fastifyCors from '@fastify/cors'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { FastifySSEPlugin } from 'fastify-sse-v2'
import type { Agent } from './agents/agent.ts'
import { type Authorize, allowLocal } from './auth/authorize.ts'
import { Door } from './auth/door.ts'
import { type PrincipalLimits, principalDefaults } from './auth/limits.ts'
import { isLoopback, Origins } from './auth/origins.ts'
import type { Target } from './auth/revocations.ts'
import { takeTicket } from './auth/tickets.ts'
import { Bus, type BusOptions } from './bus/bus.ts'
import { Journal } from './bus/journal.ts'
import type { OpenLimits } from './bus/open-limits.ts'
import { type DialectName, dialectNames } from './dialects/names.ts'
import { dialectPaths } from './dialects/openapi.ts'
import { registerDialects } from './dialects/register.ts'
import { Addresses } from './http/address.ts'
import { Answers } from './http/answers.ts'
import { Arriving } from './http/arriving.ts'
import { withoutEndlessBodies } from './http/bodies.ts'
import { type ConnectionLimits, connectionDefaults } from './http/limits.ts'
import { answerUnreadable, createHttpServer, listenBeside, type Tls } from './http/server.ts'
import { Sockets } from './http/sockets.ts'
import { Turnstile } from './http/turnstile.ts'
import type { EventLog } from './log/log.ts'
import { createMemoryLog } from './log/memory.ts'
import { createMetrics } from './metrics.ts'
import { Members } from './presence/members.ts'
import { Presence } from './presence/presence.ts'
import { HEARTBEAT_MS, limits as wireLimits } from './protocol/index.ts'
import { sleep } from './protocol/timers.ts'
import { type RouteAction, requireActions } from './routes/actions.ts'
import { authRoutes } from './routes/auth.ts'
import { answersInPieces, jsonBodies, ndjsonBodies } from './routes/bodies.ts'
import { commandRoutes } from './routes/commands.ts'
import { answerUnroutable, authorizedFirst, errorHandling } from './routes/errors.ts'
import { eventRoutes } from './routes/events.ts'
import { metaRoutes, type OptionalRoute } from './routes/meta.ts'
import { describeRoutes } from './routes/openapi.ts'
import { pageRoutes } from './routes/page.ts'
import { presenceRoutes } from './routes/presence.ts'
import { withZodSchemas } from './routes/schemas.ts'
import { sessionRoutes } from './routes/sessions.ts'
import { acceptWebSockets, websocketRoute } from './routes/websocket.ts'
import { releaseUpgrade } from './routes/websocket-bridge.ts'
import type { RetentionLimits } from './sessions/retention.ts'
import { Sessions } from './sessions/sessions.ts'
import { stderrLog } from './stderr-log.ts'
import { Connections } from './transports/connections.ts'
import type { TransportContext } from './transports/context.ts'
import { Heartbeats } from './transports/heartbeat.ts'
import { SharedPages } from './transports/shared-pages.ts'

/** How long a stopping server waits for connections to read their last message, in ms. */
const FAREWELL_MS = 1000

/** The options of {@link createServer}. All are optional. */
export interface ServerOptions {
  /** Agents that runs can be started with. @default none */
  agents?: readonly Agent[]
  /** The log that stores the sessions. The server owns it and closes it. @default a log in memory */
  log?: EventLog
  /** Authorizes every action. @default every action is allowed, and `listen` accepts loopback addresses only */
  authorize?: Authorize
  /** Bounds for each principal of a server with an `authorize` hook. Each has a default. */
  principalLimits?: Partial<PrincipalLimits>
  /**
   * What the clients of one address may do together, as a multiple of what one principal may: commands, bytes,
   * connections, subscriptions and new sessions. Also without an `authorize` hook. IPv6 addresses count by their first 64
   * bits. Addresses that are not public count only with `trustedProxies`: they may be those of a proxy.
   * @default 10
   */
  perAddress?: number
  /**
   * Addresses and networks of the proxies in front of the server, such as `loopback` or `10.0.0.0/8`; `loopback`,
   * `linklocal` and `uniquelocal` are names of networks. Their `X-Forwarded-For` says which client a request comes from.
   * @default none
   */
  trustedProxies?: readonly string[]
  /**
   * How often an open stream is authorized again, in ms. It is also authorized when its principal's `expiresAt` has
   * passed, and after `reauthorize` and revocations.
   * @default 60 s
   */
  recheckMs?: number
  /** Routes that the server does not have: `page` (the playground), `guide`, `metrics`, `openapi`. @default none */
  disable?: readonly OptionalRoute[]
  /** Allows listening beyond loopback without an `authorize` hook. @default false */
  insecure?: boolean
  /** Serves HTTPS, with HTTP/2 and HTTP/1.1 on one port. @default plain HTTP/1.1, for a proxy that terminates TLS */
  tls?: Tls | undefined
  /**
   * Other origins whose pages may use this server, such as `https://app.example.com`; each gets CORS. With a list, even
   * an empty one, only the listed origins and the server's own are allowed.
   * @default on loopback every loopback origin, such as that of Vite, http://localhost:5173; elsewhere none
   */
  origins?: readonly string[]
  /**
   * Names by which the server is reached, without ports, such as `app.example.com` behind a proxy. Requests for others are
   * refused, which prevents DNS rebinding.
   * @default on loopback loopback names only; elsewhere any name, but without an `authorize` hook only IP addresses and
   * names without a dot
   */
  hosts?: readonly string[]
  /** Idle time after which the server sends a ping, unless the client asks for another, in ms. @default 15 s */
  heartbeatMs?: number
  /**
   * A connection whose write waits longer than this is closed, in ms: event streams and every other answer.
   * @default 30 s
   */
  stallMs?: number
  /** Limits on the runs and questions that may be open in each session. Each has a default. */
  open?: Partial<OpenLimits>
  /** Bounds on connections, their unread answers, and the bodies that they send. Each has a default. */
  connections?: Partial<ConnectionLimits>
  /**
   * Compresses streams for clients that ask for it. All subscribers of a session share one compression history. Leave
   * it off when sessions hold both secrets and text from untrusted people: the length of messages then reveals the
   * secrets (CRIME, BREACH).
   * @default false
   */
  compression?: boolean
  /**
   * Memory per followed session, limits of lag, and how long subscribers may hold producers; see {@link BusOptions}.
   */
  delivery?: Omit<BusOptions, 'observer' | 'peers'>
  /**
   * Mean time that an `EventSource` waits before it reconnects, in ms; each connection gets 0.5 to 1.5 times this.
   * @default 2 s
   */
  retryMs?: number
  /** Time over which clients spread their reconnects when the server stops, in ms. @default 5 s */
  spreadMs?: number
  /**
   * Maximum duration of a run in ms, without the time that it waits for its users; `Infinity` for no limit.
   * @default 1 h
   */
  maxRunMs?: number
  /** Time after the death of its process until a run is failed or taken over, in ms. @default 15 s */
  leaseMs?: number
  /** Time without an ingest after which a run opened by ingest is failed, in ms. @default 60 s */
  producerLeaseMs?: number
  /** How long a run of a worker's agent waits for a worker with a free slot, in ms. @default 60 s */
  queueMs?: number
  /** How many events of each session are kept. Clients see deleted ones as `gap`. @default all */
  retention?: RetentionLimits
  /** How often retention is applied, in ms. @default 5 s */
  retentionEveryMs?: number
  /**
   * Maximum time for one check of a question's schema, or of an answer against it, in ms. A check that takes longer is
   * stopped and refused as `bad-request`.
   * @default 100
   */
  schemaMs?: number
  /** The foreign clients that the server speaks with; see docs/clients/. @default all */
  dialects?: readonly DialectName[]
  /**
   * The server's diagnostic output: `false` for none, settings for Fastify's logger, or a pino logger. Entries have stack
   * traces of agents and ids of runs and requests, never the content of events.
   * @default warnings and errors as plain text on stderr
   */
  logger?: FastifyServerOptions['logger'] | FastifyBaseLogger
}

/** A server. Its `journal`, `bus` and `sessions` do not ask `authorize`: do not pass them on to untrusted code. */
export interface TwinrailServer {
  /** The Fastify instance, for routes of your own. Add them before `listen`. */
  readonly app: FastifyInstance
  /** The server's own routes, each with the action that it authorizes. */
  readonly routes: readonly RouteAction[]
  /** Appends to sessions and reads them. */
  readonly journal: Journal
  /** Subscribes to sessions in this process. */
  readonly bus: Bus
  /** Executes commands and ingest, and reads the state of sessions. */
  readonly sessions: Sessions
  /**
   * Starts to listen. Resolves with the address, such as `http://127.0.0.1:8787`.
   * @throws Error when the host is not loopback and there is neither an `authorize` hook nor `insecure`
   */
  listen(options?: { host?: string; port?: number }): Promise<string>
  /**
   * Authorizes what is open again, on all nodes of the log: the streams and waiting requests of a principal, of a session,
   * or all of them. Call it when rights have changed. Resolves once all nodes were told.
   * @throws TwinrailError `unavailable`
   */
  reauthorize(target?: Target): Promise<void>
  /**
   * Stops the server. It works as before for `drainMs` while `/readyz` answers 503. Then it refuses new requests, gives
   * runs `graceMs` to end, sends every subscriber the time to reconnect after, and closes the log. Later calls wait for
   * the first.
   * @param options.drainMs default 0
   * @param options.graceMs default 10 s
   */
  close(options?: { graceMs?: number; drainMs?: number }): Promise<void>
}

/** Creates a server. It does not listen yet. */
export async function createServer(options: ServerOptions = {}): Promise<TwinrailServer> {
  const log = options.log ?? createMemoryLog()
  const journal = new Journal(log, options.open)
  const limits = { ...connectionDefaults, ...options.connections }
  const stallMs = options.stallMs ?? 30_000
  const addresses = new Addresses(options.trustedProxies)
  const turnstile = new Turnstile()
  const answers = new Answers({ ...limits, stallMs }, turnstile)
  const sockets = new Sockets(limits)
  const app = Fastify({
    ...(options.tls && { http2: true }),
    serverFactory(handle) {
      const listener = answers.listener(
        withoutEndlessBodies((request, response) => {
          takeTicket(request)
          handle(request, response)
        }, limits.bodyMs),
      )
      const server = createHttpServer(listener, limits, options.tls)
      sockets.guard(server)
      return server
    },
    ...loggerOptions(options.logger),
    bodyLimit: wireLimits.messageBytes,
    forceCloseConnections: 'idle',
    // An id has up to 128 characters, each of which may take three in a URL. Longer ones are refused by the schema.
    routerOptions: { maxParamLength: 512 },
    frameworkErrors: answerUnroutable,
    clientErrorHandler: answerUnreadable,
  } as FastifyServerOptions)
  const metrics = createMetrics()
  const presence = new Presence(journal)
  const members = new Members(journal)
  const bus = new Bus(journal, { ...options.delivery, observer: metrics.observer, peers: presence })
  const sessions: Sessions = new Sessions({
    openRun: (principal, how) => door.openRun(principal, how),
    journal,
    bus,
    presence,
    agents: options.agents ?? [],
    ...pick(options, [
      'maxRunMs',
      'leaseMs',
      'producerLeaseMs',
      'queueMs',
      'retention',
      'retentionEveryMs',
      'schemaMs',
    ]),
    onError: (error, about) =>
      app.log.error(
        { err: error, ...about },
        'agent' in about ? 'an agent failed' : 'background work failed',
      ),
  })
  const door = new Door({
    authorize: options.authorize ?? allowLocal,
    // A journal of its own: what the server keeps for itself is no session with a state and retention.
    journal: new Journal(log),
    limits: { ...principalDefaults, ...options.principalLimits },
    perAddress: options.perAddress ?? 10,
    addresses,
    onLimited: metrics.limited,
    recheckMs: options.recheckMs ?? 60_000,
    onError: error => app.log.error({ err: error }, 'the authorize hook failed'),
    audit: entry => {
      app.log.info(entry, `audit: ${entry.what}`)
      metrics.audited(entry)
    },
  })
  const context: TransportContext = {
    journal,
    bus,
    members,
    presence,
    sessions,
    door,
    heartbeats: new Heartbeats(),
    connections: new Connections(options.spreadMs ?? 5000),
    heartbeatMs: options.heartbeatMs ?? HEARTBEAT_MS,
    stallMs,
    limits,
    answers,
    pages: new SharedPages(),
    arriving: new Arriving(limits.arrivingBytes),
    retryMs: options.retryMs ?? 2000,
    compression: options.compression ?? false,
    onLost: metrics.lost,
    onMissedHeartbeat: metrics.missedHeartbeat,
  }

  app.removeContentTypeParser('text/plain')
  jsonBodies(app, limits.bodyMs, { turnstile, arriving: context.arriving })
  answersInPieces(app, answers)
  errorHandling(app, door)
  const guarded = requireActions(app)
  // Before any hook that may refuse: the plugin's hook closes the socket of a refused upgrade.
  await acceptWebSockets(app, context)
  const hosts = { listed: options.hosts ?? [], isInsecure: context.door.isOpen }
  const origins = new Origins(options.origins, hosts, (kind, refused) =>
    app.log.warn(kind === 'origin' ? refusedPage(refused) : refusedHost(refused)),
  )
  app.addHook('onRequest', async request => origins.check(request))
  await app.register(fastifyCors, {
    // Whoever gets here is allowed, or a page of the server's own, or no page at all: the last two need no CORS.
    origin: (origin, callback) => callback(null, origin !== undefined && origins.allows(origin)),
    credentials: true,
    methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: ['retry-after', 'x-workflow-run-id', 'x-workflow-stream-tail-index'],
  })
  await app.register(FastifySSEPlugin)
  const disabled = new Set(options.disable)
  const dialects = options.dialects ?? dialectNames
  // In a scope of its own: routes of the application may have schemas of another kind, and are not described.
  await app.register(async scope => {
    await describeRoutes(scope, dialectPaths(dialects))
    const api = withZodSchemas(scope)
    sessionRoutes(api, context)
    presenceRoutes(api, context)
    commandRoutes(api, context)
    authRoutes(api, context)
    // In a scope of its own, since only these routes accept NDJSON.
    await api.register(async scope => {
      ndjsonBodies(scope)
      eventRoutes(scope, context)
    })
    websocketRoute(api, context)
    metaRoutes(api, context, metrics, disabled)
  })
  await registerDialects(app, context, dialects, {
    authorizedFirst: (error, request) => authorizedFirst(door, error, request),
    releaseUpgrade,
    acceptJsonAs: (scope, type) =>
      jsonBodies(scope, limits.bodyMs, { turnstile, arriving: context.arriving }, type),
  })
  metrics.measure(context)
  if (!disabled.has('page')) pageRoutes(app, context, pageFolder, packageFolder)
  guarded.end()

  let beside: Server[] = []
  let closing: Promise<void> | undefined
  async function stop(graceMs: number, drainMs: number): Promise<void> {
    context.connections.drain()
    if (drainMs > 0) await sleep(drainMs)
    context.connections.stop()
    // Subscribers see the end of runs that end in time.
    await sessions.close(graceMs)
    await new Promise(resolve => setImmediate(resolve))
    context.connections.closeAll()
    context.door.close()
    context.members.close()
    context.heartbeats.close()
    // Connections that do not read their last message in time are destroyed.
    const cut = setTimeout(() => {
      sockets.cutAll()
    }, FAREWELL_MS)
    for (const listener of beside) listener.close()
    await app.close()
    clearTimeout(cut)
    await journal.close()
  }

  return {
    app,
    routes: guarded.routes,
    journal,
    bus,
    sessions,
    async listen({ host = '127.0.0.1', port = 8787 } = {}) {
      origins.onLoopback = isLoopback(host)
      if (!origins.onLoopback && !options.authorize && !options.insecure) {
        throw new Error(
          `refusing to listen on ${host}: anybody who reaches it could start runs. Listen on 127.0.0.1, pass an authorize hook (--auth jwt or --api-key), or set insecure (--insecure)`,
        )
      }
      await app.listen({ host, port })
      if (host === 'localhost') beside = await listenBeside(app.server, host)
      const address = app.server.address() as AddressInfo
      const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
      return `${options.tls ? 'https' : 'http'}://${name}:${address.port}`
    },
    reauthorize: (target = {}) => context.door.revoke(target, { voids: false }),
    close({ graceMs = 10_000, drainMs = 0 } = {}) {
      closing ??= stop(graceMs, drainMs)
      return closing
    },
  }
}

/** The package's folder, for compiled files in dist/ and for sources. It has the built page and the documentation. */
const packageFolder = new URL(import.meta.url.includes('/dist/src/') ? '../../' : '../', import.meta.url)
const pageFolder = new URL('client/page/', packageFolder)

/** The log entry about a refused page. */
function refusedPage(origin: string): string {
  return origin === 'null'
    ? 'refused a page that has no origin: a file:// page, or a sandboxed frame. Serve it over HTTP instead'
    : `refused a page of ${origin}; to allow it, start the server with --origin ${origin} (createServer: origins: ['${origin}'])`
}

/** The log entry about a refused host name. */
function refusedHost(name: string): string {
  return `refused a request for the host ${name}; if it is a name of this server, start it with --allow-host ${name} (createServer: hosts: ['${name}'])`
}

/** The logger as Fastify takes it: settings and loggers go by different names there. */
function loggerOptions(
  logger: ServerOptions['logger'],
): Pick<FastifyServerOptions, 'logger' | 'loggerInstance'> {
  if (logger === undefined) return { logger: stderrLog('warn') }
  return typeof logger === 'object' && 'child' in logger ? { loggerInstance: logger } : { logger }
}

/** The given ones of these options. */
function pick<T extends object, K extends keyof T>(options: T, names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(
    names.filter(name => options[name] !== undefined).map(name => [name, options[name]]),
  ) as Pick<T, K>
}
