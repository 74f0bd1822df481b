/** Settings of `twinrail serve`: each is a flag and an environment variable, all checked by one schema. */
import { z } from 'zod'
import { LogFolderError, openLmdbLog } from '../log/lmdb.ts'
import type { EventLog } from '../log/log.ts'
import { createMemoryLog } from '../log/memory.ts'
import { createRedisLog, RedisUnfit } from '../log/redis.ts'
import { isOrigin } from '../origins.ts'

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

const LogName = z
  .string()
  .refine(
    name => name === 'memory' || /^(lmdb:|rediss?:\/\/)./.test(name),
    'expected lmdb:folder, memory or redis://host:port',
  )

/** One setting: how it is named on the command line, and what it takes. */
interface Setting {
  readonly flag: string
  readonly about: string
  readonly schema: z.ZodType
}

export const serveSettings = {
  host: {
    flag: '--host <name>',
    about:
      'where to listen; anything but loopback needs --insecure, or a server of your own with an authorize hook',
    schema: z.string().min(1).default('127.0.0.1'),
  },
  port: {
    flag: '--port <number>',
    about: '0 takes any free one',
    schema: z.coerce.number().int().min(0).max(65_535).default(8787),
  },
  log: {
    flag: '--log <driver>',
    about:
      'where sessions live: lmdb:<folder>, memory, or redis://[:password@]host:port for several nodes (rediss:// for TLS)',
    schema: LogName.default('lmdb:./.twinrail'),
  },
  corpus: {
    flag: '--corpus <dir...>',
    about: 'folders that the agent deepsearch answers from (default: Twinrail’s own documentation)',
    schema: list.optional(),
  },
  origin: {
    flag: '--origin <origin...>',
    about:
      'pages of other origins that may use this server, and no others (default: on loopback, pages of every loopback origin)',
    schema: list.pipe(z.array(Origin)).optional(),
  },
  insecure: {
    flag: '--insecure',
    about: 'listen beyond loopback although everybody may then do everything',
    schema: flag.default(false),
  },
  tlsCert: {
    flag: '--tls-cert <file>',
    about: 'speak HTTPS with this certificate chain (PEM): HTTP/2, and HTTP/1.1 on the same port',
    schema: z.string().min(1).optional(),
  },
  tlsKey: {
    flag: '--tls-key <file>',
    about: 'its private key (PEM)',
    schema: z.string().min(1).optional(),
  },
  leaseMs: {
    flag: '--lease-ms <ms>',
    about: 'how long after its process died a run is given up, or taken over',
    schema: milliseconds(600_000).pipe(z.number().min(300)).default(15_000),
  },
  retainEvents: {
    flag: '--retain-events <count>',
    about: 'keep so many of each session’s newest events (default: all)',
    schema: z.coerce.number().int().min(1).optional(),
  },
  retainBytes: {
    flag: '--retain-bytes <bytes>',
    about: 'keep so many bytes of each session’s newest events (default: all)',
    schema: z.coerce.number().int().min(1).optional(),
  },
  retainAgeMs: {
    flag: '--retain-age-ms <ms>',
    about: 'keep events for so long (default: for ever)',
    schema: z.coerce.number().int().min(1).optional(),
  },
  heartbeatMs: {
    flag: '--heartbeat-ms <ms>',
    about: 'silence after which a connection is pinged',
    schema: milliseconds(60_000).pipe(z.number().min(1000)).default(15_000),
  },
  maxRunMs: {
    flag: '--max-run-ms <ms>',
    about: 'the longest that a run may work',
    schema: milliseconds(2 ** 31 - 1).default(60 * 60 * 1000),
  },
  graceMs: {
    flag: '--grace-ms <ms>',
    about: 'how long runs may go on when the server is told to stop',
    schema: milliseconds(3_600_000).default(10_000),
  },
  spreadMs: {
    flag: '--spread-ms <ms>',
    about: 'over how long clients spread their reconnects when the server stops',
    schema: milliseconds(600_000).default(5000),
  },
  compression: {
    flag: '--compression',
    about: 'compress streams for clients that ask; off where secrets and foreign text mix in a session',
    schema: flag.default(false),
  },
  logLevel: {
    flag: '--log-level <level>',
    about:
      'what the server writes about itself, as text on a terminal and as JSON elsewhere: fatal, error, warn, info, debug, trace or silent',
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

/** A setting that cannot be used; the message says which, what was expected and how to give it. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError'
}

/** Checks settings and fills in the defaults. @throws SettingsError */
export function parseSettings(given: Record<string, unknown>): ServeSettings {
  const result = z.object(shape).safeParse(given)
  if (result.success) return result.data
  const lines = result.error.issues.map(({ path, message }) => {
    const setting = String(path[0])
    return `${flagOf(setting)} (or ${variableOf(setting)}): ${message}`
  })
  throw new SettingsError(lines.join('\n'))
}

/** Variables that look like settings but are none, with the one that was probably meant. */
export function unknownVariables(env: NodeJS.ProcessEnv): string[] {
  const known = new Set([...Object.keys(serveSettings).map(variableOf), 'TWINRAIL_URL', 'TWINRAIL_TRANSPORT'])
  return Object.keys(env).filter(name => name.startsWith('TWINRAIL_') && !known.has(name))
}

/** Opens the log that a setting names. @param warn gets what an operator should know @throws SettingsError */
export async function openLog(
  driver: ServeSettings['log'],
  warn: (message: string) => void,
): Promise<EventLog> {
  if (driver === 'memory') return createMemoryLog()
  if (driver.startsWith('lmdb:')) {
    return openLmdbLog({ folder: driver.slice('lmdb:'.length) }).catch(error => {
      throw error instanceof LogFolderError ? new SettingsError(`--log: ${error.message}`) : error
    })
  }
  return createRedisLog({ url: driver, warn }).catch(error => {
    throw error instanceof RedisUnfit ? new SettingsError(`--log: ${error.message}`) : error
  })
}
