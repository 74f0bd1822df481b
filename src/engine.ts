/** Puts a server together from its parts: log, bus, sessions, transports and routes. */
import type { RequestListener, Server } from 'node:http'
import fastifyCors from '@fastify/cors'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { FastifySSEPlugin } from 'fastify-sse-v2'
import { allowLocal } from './auth/authorize.ts'
import { Door } from './auth/door.ts'
import { principalDefaults } from './auth/limits.ts'
import { Origins } from './auth/origins.ts'
import { takeTicket } from './auth/tickets.ts'
import { Bus } from './bus/bus.ts'
import { Journal } from './bus/journal.ts'
import { dialectNames } from './dialects/names.ts'
import { dialectPaths } from './dialects/openapi.ts'
import { registerDialects } from './dialects/register.ts'
import { Addresses } from './http/address.ts'
import { Answers } from './http/answers.ts'
import { Arriving } from './http/arriving.ts'
import { withoutEndlessBodies } from './http/bodies.ts'
import { showHostRequests } from './http/host-app.ts'
import type { ConnectionLimits } from './http/limits.ts'
import { answerUnreadable } from './http/server.ts'
import { Turnstile } from './http/turnstile.ts'
import { createMemoryLog } from './log/memory.ts'
import { createMetrics } from './metrics.ts'
import type { CommonOptions } from './options.ts'
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
import { inspectRoutes } from './routes/inspect.ts'
import { metaRoutes, optionalRoutes } from './routes/meta.ts'
import { describeRoutes } from './routes/openapi.ts'
import { inspectorPage, pageRoutes } from './routes/page.ts'
import { presenceRoutes } from './routes/presence.ts'
import { withZodSchemas } from './routes/schemas.ts'
import { sessionRoutes } from './routes/sessions.ts'
import { acceptWebSockets, websocketRoute } from './routes/websocket.ts'
import { releaseUpgrade } from './routes/websocket-bridge.ts'
import { type CloseOptions, createServerApi, type ServerApi } from './server-api.ts'
import { Sessions } from './sessions/sessions.ts'
import { stderrLog } from './stderr-log.ts'
import { createTracing, withDeliveries } from './tracing.ts'
import { Connections } from './transports/connections.ts'
import type { TransportContext } from './transports/context.ts'
import { Heartbeats } from './transports/heartbeat.ts'
import { SharedPages } from './transports/shared-pages.ts'

/** Default time that runs have to end when the server stops, in ms. */
const GRACE_MS = 10_000

/** How long a stopping server waits for connections to read their last message, in ms. */
export const FAREWELL_MS = 1000

/** How the engine is reached: what differs between a server of its own and one that is mounted in another app. */
export interface Surroundings {
  /** The path below which all routes are, such as `/rt`; empty for none. */
  readonly prefix: string
  readonly limits: ConnectionLimits
  /** Makes the HTTP server that hands its requests to `listener`. */
  serverOf(listener: RequestListener): Server
  /** Settings of Fastify that depend on the HTTP server. */
  readonly fastify: FastifyServerOptions
  /** Ends what is open, once every stream was told to reconnect, and closes `app`. */
  end(app: FastifyInstance): Promise<void>
}

/** All of a server, its inside included. */
export interface Engine {
  readonly app: FastifyInstance
  readonly routes: readonly RouteAction[]
  readonly journal: Journal
  readonly bus: Bus
  readonly sessions: Sessions
  readonly origins: Origins
  readonly api: ServerApi
  /** Stops it. Later calls wait for the first. */
  close(options?: CloseOptions): Promise<void>
}

/** Creates the parts of a server, and the Fastify instance that answers its requests. */
export async function createEngine(options: CommonOptions, surroundings: Surroundings): Promise<Engine> {
  const { limits, prefix } = surroundings
  const log = options.log ?? createMemoryLog()
  const tracing = options.tracing ? await createTracing(options.tracing) : undefined
  const journal = new Journal(log, options.open, tracing)
  const stallMs = options.stallMs ?? 30_000
  const addresses = new Addresses(options.trustedProxies)
  const turnstile = new Turnstile()
  const arriving = new Arriving(limits.arrivingBytes)
  const answers = new Answers({ ...limits, stallMs }, turnstile, arriving)
  const app = Fastify({
    serverFactory: handle =>
      surroundings.serverOf(
        answers.listener(
          withoutEndlessBodies((request, response) => {
            takeTicket(request)
            handle(request, response)
          }, limits.bodyMs),
        ),
      ),
    ...loggerOptions(options.logger),
    bodyLimit: wireLimits.messageBytes,
    forceCloseConnections: 'idle',
    // Requests that come while the server closes are answered as others are, or refused with `restart`.
    return503OnClosing: false,
    // An id has up to 128 characters, each of which may take three in a URL. Longer ones are refused by the schema.
    routerOptions: { maxParamLength: 512 },
    frameworkErrors: answerUnroutable,
    clientErrorHandler: answerUnreadable,
    ...surroundings.fastify,
  } as FastifyServerOptions)
  showHostRequests(app)
  const metrics = createMetrics()
  const presence = new Presence(journal)
  const members = new Members(journal)
  const observer = tracing ? withDeliveries(metrics.observer, tracing) : metrics.observer
  const bus = new Bus(journal, { ...options.delivery, observer, peers: presence })
  const sessions: Sessions = new Sessions({
    openRun: (principal, how) => door.openRun(principal, how),
    journal,
    bus,
    presence,
    agents: options.agents ?? [],
    observer: metrics.runs,
    tracing,
    ...pick(options, [
      'maxRunMs',
      'leaseMs',
      'producerLeaseMs',
      'queueMs',
      'retention',
      'retentionEveryMs',
      'schemaMs',
      'events',
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
    // A node that is only slow must not lose its counts as early as its runs.
    toldMs: 4 * (options.leaseMs ?? 15_000),
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
    arriving,
    retryMs: options.retryMs ?? 2000,
    compression: options.compression ?? false,
    onLost: metrics.lost,
    onMissedHeartbeat: metrics.missedHeartbeat,
  }

  app.removeContentTypeParser('text/plain')
  jsonBodies(app, limits.bodyMs, { turnstile, arriving })
  answersInPieces(app, answers)
  errorHandling(app, door, prefix)
  const guarded = requireActions(app)
  // Before any hook that may refuse: the plugin's hook closes the socket of a refused upgrade.
  await acceptWebSockets(app, context, prefix)
  const hosts = { listed: options.hosts ?? [], isOpen: door.isOpen, isInsecure: options.insecure ?? false }
  const origins = new Origins(options.origins, hosts, (kind, refused) =>
    app.log.warn(kind === 'origin' ? refusedPage(refused) : refusedHost(refused)),
  )
  // The application's server may go on after a handler is closed.
  let isOver = false
  app.addHook('onRequest', (_request, _reply, done) =>
    done(isOver ? context.connections.restart() : undefined),
  )
  app.addHook('onRequest', async request => origins.check(request, addresses.forwardedHost(request.raw)))
  await app.register(fastifyCors, {
    // Whoever gets here is allowed, or a page of the server's own, or no page at all: the last two need no CORS.
    origin: (origin, callback) => callback(null, origin !== undefined && origins.needsCors(origin)),
    credentials: true,
    methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: ['retry-after', 'x-workflow-run-id', 'x-workflow-stream-tail-index'],
  })
  await app.register(FastifySSEPlugin)
  const disabled = new Set(optionalRoutes.filter(name => !(options[name] ?? name !== 'inspector')))
  const dialects = options.dialects ?? dialectNames
  // In a scope of its own: routes of the application may have schemas of another kind, and are not described.
  await app.register(async scope => {
    await describeRoutes(scope, prefix, await dialectPaths(dialects))
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
    if (!disabled.has('inspector')) inspectRoutes(api, context, metrics)
  })
  await registerDialects(app, context, dialects, {
    authorizedFirst: (error, request) => authorizedFirst(door, error, request),
    releaseUpgrade,
    acceptJsonAs: (scope, type) => jsonBodies(scope, limits.bodyMs, { turnstile, arriving }, type),
  })
  metrics.measure(context)
  if (!disabled.has('page')) pageRoutes(app, context, { page: pageFolder, documents: packageFolder }, prefix)
  if (!disabled.has('inspector')) inspectorPage(app, pageFolder)
  guarded.end()

  const api = createServerApi(context)
  let closing: Promise<void> | undefined
  async function stop({ graceMs = GRACE_MS, drainMs = 0 }: CloseOptions): Promise<void> {
    context.connections.drain()
    if (drainMs > 0) await sleep(drainMs)
    context.connections.stop()
    // Subscribers see the end of runs that end in time.
    await sessions.close(graceMs)
    await new Promise(resolve => setImmediate(resolve))
    context.connections.closeAll()
    door.close()
    members.close()
    context.heartbeats.close()
    await surroundings.end(app)
    isOver = true
    await journal.close()
  }

  return {
    app,
    routes: guarded.routes,
    journal,
    bus,
    sessions,
    origins,
    api,
    close(how = {}) {
      closing ??= stop(how)
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
  logger: CommonOptions['logger'],
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
