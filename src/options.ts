/** The options of a server, alone or mounted in another app. */
import type { FastifyBaseLogger, FastifyServerOptions } from 'fastify'
import type { Agent } from './agents/agent.ts'
import type { Authorize } from './auth/authorize.ts'
import type { PrincipalLimits } from './auth/limits.ts'
import type { BusOptions } from './bus/bus.ts'
import type { OpenLimits } from './bus/open-limits.ts'
import type { DialectName } from './dialects/names.ts'
import type { ConnectionLimits } from './http/limits.ts'
import type { Tls } from './http/server.ts'
import type { EventLog } from './log/log.ts'
import type { EventSchemas } from './sessions/own-events.ts'
import type { RetentionLimits } from './sessions/retention.ts'
import type { TracerSource } from './tracing.ts'

/** The options of a server and of one that is mounted in another app. All are optional. */
export interface CommonOptions<
  Agents extends readonly Agent[] = readonly Agent[],
  Events extends EventSchemas = EventSchemas,
> {
  /** Agents that runs can be started with. @default none */
  agents?: Agents
  /**
   * Schemas for the `data` of the application's own events, by type, such as `{ 'x.note': z.object({ text: z.string() }) }`.
   * An event whose data does not match is refused as `bad-request`, whoever appends or publishes it; of an agent it fails
   * the run. The log has what the schema returned. Types without a schema take any JSON.
   * @default none
   */
  events?: Events
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
  /** Whether there is the page at `/`, with the documents below `/about/`. @default true */
  page?: boolean
  /** Whether there is `GET /v1/guide`. @default true */
  guide?: boolean
  /** Whether there is `GET /metrics`. @default true */
  metrics?: boolean
  /** Whether there is `GET /openapi.json`. @default true */
  openapi?: boolean
  /** Serves others than this machine without an `authorize` hook. @default false */
  insecure?: boolean
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
   * Makes OpenTelemetry spans of commands and runs: by the `TracerProvider` that is registered globally (`true`), or by
   * this one. It needs the package `@opentelemetry/api`. Spans have ids, types and counts, never content. @default false
   */
  tracing?: boolean | TracerSource
  /**
   * The server's diagnostic output: `false` for none, settings for Fastify's logger, or a pino logger. Entries have stack
   * traces of agents and ids of runs and requests, never the content of events.
   * @default warnings and errors as plain text on stderr
   */
  logger?: FastifyServerOptions['logger'] | FastifyBaseLogger
}

/** The options of {@link createServer}. All are optional. */
export interface ServerOptions<
  Agents extends readonly Agent[] = readonly Agent[],
  Events extends EventSchemas = EventSchemas,
> extends CommonOptions<Agents, Events> {
  /** Serves HTTPS, with HTTP/2 and HTTP/1.1 on one port. @default plain HTTP/1.1, for a proxy that terminates TLS */
  tls?: Tls | undefined
  /** Bounds on connections, their unread answers, and the bodies that they send. Each has a default. */
  connections?: Partial<ConnectionLimits>
}

/** The bounds that the HTTP server enforces, before a request is anybody's. An app that has a server sets them itself. */
type BoundsOfServer = 'connections' | 'connectionsPerAddress' | 'headersMs' | 'idleMs'

/** The options of {@link createHandler} and of the Fastify plugin {@link twinrail}. */
export interface MountOptions<
  Agents extends readonly Agent[] = readonly Agent[],
  Events extends EventSchemas = EventSchemas,
> extends CommonOptions<Agents, Events> {
  /**
   * The path below which the app's clients reach the server, such as `/rt`; for an app that is mounted itself, the whole
   * path. For the plugin it is joined to the prefix of the instance that it is registered on.
   */
  prefix: string
  /** Bounds on unread answers and on the bodies of requests. The app's HTTP server has the others. Each has a default. */
  connections?: Partial<Omit<ConnectionLimits, BoundsOfServer>>
}
