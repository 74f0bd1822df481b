/** Settings of `twinrail serve`. Each is a flag and an environment variable, checked by one schema. */
import { z } from 'zod'
import { isRight, rights } from '../auth/actions.ts'
import type { ApiKey } from '../auth/api-keys.ts'
import { isOrigin } from '../auth/origins.ts'
import { dialectNames } from '../dialects/names.ts'
import { upstreamDialects } from '../upstream/dialects/names.ts'

/** The server that the other commands use by default. */
export const DEFAULT_URL = 'http://127.0.0.1:8787'

const list = z
  .union([z.array(z.string()), z.string().transform(text => text.split(','))])
  .transform(parts => parts.map(part => part.trim()).filter(part => part !== ''))

const milliseconds = (max: number) => z.coerce.number().int().min(0).max(max)

const flag = z.union([
  z.boolean(),
  z.enum(['true', 'false', '1', '0']).transform(on => on === 'true' || on === '1'),
])

const Origin = z
  .string()
  .refine(isOrigin, 'expected an origin such as https://app.example.com, without a path')

/** `name=sha256:hash`, and after another colon the rights, joined by `+`. */
const ApiKeySetting = z.string().transform((text, context): ApiKey => {
  const [, name, sha256, allow] = /^([^=\s]{1,256})=sha256:([0-9a-f]{64})(?::(\S+))?$/i.exec(text) ?? []
  const given = allow?.split('+')
  const unknown = given?.find(right => !isRight(right))
  if (name === undefined || sha256 === undefined) {
    // The text may be a key that was given instead of its hash, so it is not repeated.
    context.addIssue({ code: 'custom', message: 'expected name=sha256:<64 hexadecimal digits>' })
    return z.NEVER
  }
  if (unknown !== undefined) {
    context.addIssue({
      code: 'custom',
      message: `expected rights of ${rights.join(', ')} and work:<agent>, got ${unknown}`,
    })
    return z.NEVER
  }
  return { name, sha256, ...(given && { allow: given.filter(isRight) }) }
})

/** `name=dialect:url`. */
const AgentSetting = z.string().transform((text, context) => {
  const [, name, dialect, url] = /^([^=\s]{1,256})=([a-z-]+):(https?:\/\/\S+)$/.exec(text) ?? []
  if (name === undefined || dialect === undefined || url === undefined || !URL.canParse(url)) {
    // The url may contain a key, so it is not repeated.
    context.addIssue({
      code: 'custom',
      message: 'expected name=dialect:url, such as support=ag-ui:http://localhost:8000/agent',
    })
    return z.NEVER
  }
  if (!isOneOf(upstreamDialects, dialect)) {
    const message = `expected a dialect of ${upstreamDialects.join(', ')}, got ${dialect}`
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }
  return { name, dialect, url }
})

const isOneOf = <T extends string>(all: readonly T[], text: string): text is T =>
  (all as readonly string[]).includes(text)

const LogName = z
  .string()
  .refine(
    name => name === 'memory' || /^(lmdb:|rediss?:\/\/)./.test(name),
    'expected lmdb:folder, memory or redis://host:port',
  )

/** One setting: its flag, its help text, and the schema of its value. */
interface Setting {
  readonly flag: string
  readonly about: string
  readonly schema: z.ZodType
}

export const serveSettings = {
  host: {
    flag: '--host <name>',
    about: 'address to listen on; any address but loopback needs --auth, --api-key or --insecure',
    schema: z.string().min(1).default('127.0.0.1'),
  },
  port: {
    flag: '--port <number>',
    about: 'port to listen on; 0 takes any free port',
    schema: z.coerce.number().int().min(0).max(65_535).default(8787),
  },
  log: {
    flag: '--log <driver>',
    about:
      'where sessions are stored: lmdb:<folder>, memory, or redis://[:password@]host:port for several nodes (rediss:// for TLS)',
    schema: LogName.default('lmdb:./.twinrail'),
  },
  reserveBytes: {
    flag: '--reserve-bytes <bytes>',
    about:
      'free bytes that a log on disk leaves on it: with fewer, appends are refused and deleting goes on (default: 64 MiB)',
    schema: z.coerce
      .number()
      .int()
      .min(0)
      .max(Number.MAX_SAFE_INTEGER)
      .default(64 * 1024 * 1024),
  },
  maxLogBytes: {
    flag: '--max-log-bytes <bytes>',
    about:
      'size of the log from which on appends and new sessions are refused, while runs can still end and sessions be deleted (default: no limit)',
    schema: z.coerce
      .number()
      .int()
      .min(1024 * 1024)
      .max(Number.MAX_SAFE_INTEGER)
      .optional(),
  },
  redisPrefix: {
    flag: '--redis-prefix <text>',
    about:
      'what the names of all keys and channels in Redis begin with, for several deployments in one Redis',
    schema: z
      .string()
      .regex(/^[^{}\s]{1,100}$/, 'expected 1 to 100 characters without blanks, { and }')
      .default('twinrail:'),
  },
  agent: {
    flag: '--agent <agent...>',
    about: `agents that are HTTP endpoints, each as name=dialect:url; dialects are ${upstreamDialects.join(', ')}`,
    schema: list.pipe(z.array(AgentSetting)).optional(),
  },
  agentHeaders: {
    flag: '--agent-headers <file>',
    about:
      'JSON file with the headers of requests to these agents by name, such as {"support": {"authorization": "Bearer $SUPPORT_KEY"}}; $NAME is replaced by the environment variable',
    schema: z.string().min(1).optional(),
  },
  corpus: {
    flag: '--corpus <dir...>',
    about: 'folders of documents that the agent deepsearch searches (default: Twinrail’s documentation)',
    schema: list.optional(),
  },
  corpusMaxFileBytes: {
    flag: '--corpus-max-file-bytes <bytes>',
    about: 'largest file that deepsearch reads; larger files are left out (default: 4 MiB)',
    schema: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
  },
  corpusMaxFiles: {
    flag: '--corpus-max-files <count>',
    about: 'files that deepsearch reads; further files are left out (default: 10 000)',
    schema: z.coerce.number().int().min(1).max(10_000_000).optional(),
  },
  corpusMaxBytes: {
    flag: '--corpus-max-bytes <bytes>',
    about: 'bytes after which deepsearch reads no further file (default: 64 MiB)',
    schema: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
  },
  corpusCache: {
    flag: '--corpus-cache <dir>',
    about:
      'folder in which deepsearch stores its index between starts, or none (default: twinrail in the user’s cache folder)',
    schema: z.string().min(1, 'expected a folder, or none').optional(),
  },
  origin: {
    flag: '--origin <origin...>',
    about:
      'origins whose pages may use this server, beside its own (default: every loopback origin while it listens on loopback)',
    schema: list.pipe(z.array(Origin)).optional(),
  },
  allowHost: {
    flag: '--allow-host <name...>',
    about:
      'names by which the server is reached, such as that of a proxy in front of it (default: on loopback loopback names; elsewhere any, with --insecure only addresses and names without a dot)',
    schema: list
      .pipe(
        z.array(
          z.string().regex(/^[A-Za-z0-9.-]+$|^\[[0-9a-fA-F:.]+\]$/, 'expected a host name without a port'),
        ),
      )
      .optional(),
  },
  auth: {
    flag: '--auth <kind>',
    about:
      'who may use the server: jwt for principals with a JSON Web Token, none for everybody (docs/authorization.md)',
    schema: z.enum(['none', 'jwt']).default('none'),
  },
  jwtSecret: {
    flag: '--jwt-secret <text>',
    about:
      'secret of tokens signed with HS256, at least 32 bytes; better given as the variable, since other users of the machine see flags',
    schema: z
      .string()
      .refine(secret => Buffer.byteLength(secret) >= 32, 'expected at least 32 bytes')
      .optional(),
  },
  jwtPublicKey: {
    flag: '--jwt-public-key <file>',
    about: 'public key or certificate (PEM) of tokens signed with RSA, EC or Ed25519',
    schema: z.string().min(1).optional(),
  },
  jwksUrl: {
    flag: '--jwks-url <url>',
    about:
      'where the issuer of the tokens publishes its keys; they are cached and read again when they change',
    schema: z
      .string()
      .refine(
        url => URL.canParse(url) && /^https?:$/.test(new URL(url).protocol),
        'expected an http or https URL',
      )
      .optional(),
  },
  jwtIssuer: {
    flag: '--jwt-issuer <text>',
    about: 'iss that tokens must have (default: any)',
    schema: z.string().min(1).optional(),
  },
  jwtAudience: {
    flag: '--jwt-audience <text>',
    about: 'aud that tokens must have (default: any)',
    schema: z.string().min(1).optional(),
  },
  apiKey: {
    flag: '--api-key <key...>',
    about:
      'API keys of producers and servers, each as name=sha256:<hash>, with its rights after another colon, such as :produce+read (default: read+write+produce+manage)',
    schema: list.pipe(z.array(ApiKeySetting)).optional(),
  },
  commandsPerSecond: {
    flag: '--commands-per-second <count>',
    about:
      'commands that each principal may send per second in the long run, beyond a burst of five times as many',
    schema: z.coerce.number().int().min(1).max(1_000_000).default(100),
  },
  bytesPerSecond: {
    flag: '--bytes-per-second <bytes>',
    about:
      'bytes of commands and ingest that each principal may send per second in the long run, beyond a burst of eight times as many',
    schema: z.coerce
      .number()
      .int()
      .min(1024)
      .max(1e12)
      .default(8 * 1024 * 1024),
  },
  connectionsPerPrincipal: {
    flag: '--connections-per-principal <count>',
    about: 'WebSockets, event streams, uploads and waiting long-polls that each principal may have open',
    schema: z.coerce.number().int().min(1).max(10_000_000).default(500),
  },
  subscriptionsPerPrincipal: {
    flag: '--subscriptions-per-principal <count>',
    about: 'event streams and subscriptions of WebSockets that each principal may have open',
    schema: z.coerce.number().int().min(1).max(10_000_000).default(2000),
  },
  sessionsPerHour: {
    flag: '--sessions-per-hour <count>',
    about: 'sessions that each principal may create per hour in the long run, and at once after a pause',
    schema: z.coerce.number().int().min(1).max(1_000_000_000).default(1000),
  },
  sessionsPerPrincipal: {
    flag: '--sessions-per-principal <count>',
    about: 'sessions of its own that each principal may keep',
    schema: z.coerce.number().int().min(1).max(1_000_000_000).default(10_000),
  },
  runsPerPrincipal: {
    flag: '--runs-per-principal <count>',
    about: 'runs that each principal may have open',
    schema: z.coerce.number().int().min(1).max(10_000_000).default(200),
  },
  perAddress: {
    flag: '--per-address <times>',
    about: 'how many times as much as one principal the clients of one address may do together',
    schema: z.coerce.number().min(1).max(1_000_000).default(10),
  },
  trustProxy: {
    flag: '--trust-proxy <address...>',
    about:
      'addresses and networks of the proxies in front, whose X-Forwarded-For names the client: loopback, uniquelocal, 10.0.0.0/8, … (default: none)',
    schema: list.optional(),
  },
  recheckMs: {
    flag: '--recheck-ms <ms>',
    about: 'how often open streams are authorized again, beside when their token expires',
    schema: milliseconds(86_400_000).pipe(z.number().min(100)).default(60_000),
  },
  disable: {
    flag: '--disable <route...>',
    about:
      'routes that the server does not have: page, inspector, guide, metrics, openapi (default: none; the inspector with --insecure)',
    schema: list.pipe(z.array(z.enum(['page', 'inspector', 'guide', 'metrics', 'openapi']))).default([]),
  },
  dialects: {
    flag: '--dialects <name...>',
    about: `foreign clients that the server speaks with: ${dialectNames.join(', ')}, or none (default: all)`,
    schema: list
      .transform(names => names.filter(name => name !== 'none'))
      .pipe(z.array(z.enum(dialectNames)))
      .default([...dialectNames]),
  },
  insecure: {
    flag: '--insecure',
    about:
      'allow listening beyond loopback without authorization: everybody who reaches the server may do everything',
    schema: flag.default(false),
  },
  tlsCert: {
    flag: '--tls-cert <file>',
    about: 'serve HTTPS (HTTP/2 and HTTP/1.1 on one port) with this certificate chain (PEM)',
    schema: z.string().min(1).optional(),
  },
  tlsKey: {
    flag: '--tls-key <file>',
    about: 'private key of the certificate (PEM)',
    schema: z.string().min(1).optional(),
  },
  leaseMs: {
    flag: '--lease-ms <ms>',
    about: 'time after the death of its process until a run is failed or taken over',
    schema: milliseconds(600_000).pipe(z.number().min(300)).default(15_000),
  },
  retainEvents: {
    flag: '--retain-events <count>',
    about: 'number of newest events to keep per session (default: all)',
    schema: z.coerce.number().int().min(1).optional(),
  },
  retainBytes: {
    flag: '--retain-bytes <bytes>',
    about: 'bytes of newest events to keep per session (default: all)',
    schema: z.coerce.number().int().min(1).optional(),
  },
  retainAgeMs: {
    flag: '--retain-age-ms <ms>',
    about: 'age at which events are deleted (default: never)',
    schema: z.coerce.number().int().min(1).optional(),
  },
  heartbeatMs: {
    flag: '--heartbeat-ms <ms>',
    about: 'idle time after which the server sends a ping',
    schema: milliseconds(60_000).pipe(z.number().min(1000)).default(15_000),
  },
  maxRunMs: {
    flag: '--max-run-ms <ms>',
    about: 'maximum duration of a run, without the time that it waits for its users',
    schema: milliseconds(2 ** 31 - 1).default(60 * 60 * 1000),
  },
  queueMs: {
    flag: '--queue-ms <ms>',
    about: 'time that a run of a worker’s agent waits for a worker with a free slot',
    schema: milliseconds(86_400_000).default(60_000),
  },
  processes: {
    flag: '--processes <n>',
    about:
      'processes that share the port, so that the server uses as many cores; they need --log redis://…. SIGUSR2 replaces one after the other',
    schema: z.coerce.number().int().min(1).max(64).default(1),
  },
  drainMs: {
    flag: '--drain-ms <ms>',
    about:
      'time for which the server still serves when it is told to stop, while /readyz says 503, so that load balancers stop sending to it first',
    schema: milliseconds(600_000).default(0),
  },
  graceMs: {
    flag: '--grace-ms <ms>',
    about: 'time that runs get to end when the server stops',
    schema: milliseconds(3_600_000).default(10_000),
  },
  spreadMs: {
    flag: '--spread-ms <ms>',
    about: 'time over which clients spread their reconnects when the server stops',
    schema: milliseconds(600_000).default(5000),
  },
  maxConnections: {
    flag: '--max-connections <count>',
    about: 'connections that may be open at a time; one more is closed without an answer',
    schema: z.coerce.number().int().min(1).max(10_000_000).default(10_000),
  },
  maxConnectionsPerAddress: {
    flag: '--max-connections-per-address <count>',
    about: 'connections from one address; behind a proxy all come from the proxy (default: no limit)',
    schema: z.coerce.number().int().min(1).max(10_000_000).optional(),
  },
  compression: {
    flag: '--compression',
    about:
      'compress streams for clients that ask; leave it off where a session mixes secrets with text of strangers',
    schema: flag.default(false),
  },
  otel: {
    flag: '--otel',
    about:
      'make OpenTelemetry spans of commands and runs, by the SDK that NODE_OPTIONS loads; needs the package @opentelemetry/api',
    schema: flag.default(false),
  },
  logLevel: {
    flag: '--log-level <level>',
    about:
      'least severe level of the diagnostic output on stderr, as text on a terminal and otherwise as JSON: fatal, error, warn, info, debug, trace or silent',
    schema: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('warn'),
  },
} as const satisfies Record<string, Setting>

const shape = Object.fromEntries(
  Object.entries(serveSettings).map(([name, { schema }]) => [name, schema]),
) as { [K in keyof typeof serveSettings]: (typeof serveSettings)[K]['schema'] }

export type ServeSettings = z.output<z.ZodObject<typeof shape>>

/** The environment variable of a setting. */
export function variableOf(setting: string): string {
  return `TWINRAIL_${setting.replace(/[A-Z]/g, letter => `_${letter}`).toUpperCase()}`
}

/** The flag of a setting, without its value. */
const flagOf = (setting: string) => serveSettings[setting as keyof typeof serveSettings].flag.split(' ')[0]

/** An invalid setting. The message names its flag and variable, and what was expected. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError'
}

/** Validates settings and adds the defaults. @throws SettingsError */
export function parseSettings(given: Record<string, unknown>): ServeSettings {
  const result = z.object(shape).safeParse(given)
  if (result.success) return result.data
  const lines = result.error.issues.map(({ path, message }) => {
    const setting = String(path[0])
    return `${flagOf(setting)} (or ${variableOf(setting)}): ${message}`
  })
  throw new SettingsError(lines.join('\n'))
}

/** Environment variables that begin with `TWINRAIL_` but are no setting. */
export function unknownVariables(env: NodeJS.ProcessEnv): string[] {
  const known = new Set([
    ...Object.keys(serveSettings).map(variableOf),
    'TWINRAIL_URL',
    'TWINRAIL_TRANSPORT',
    'TWINRAIL_TOKEN',
  ])
  return Object.keys(env).filter(name => name.startsWith('TWINRAIL_') && !known.has(name))
}
