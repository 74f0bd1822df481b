/** Stores of events: each driver under our server, and its bare library for comparison. */
import { Cluster, Redis } from 'ioredis'
import { open } from 'lmdb'
import {
  createMemoryLog,
  createRedisLog,
  type EventLog,
  openLmdbLog,
  type RedisClient,
} from '../package/server.ts'
import { startServer } from '../peers/twinrail.ts'

export interface Store {
  /** Port for subscribers; bare stores have none. */
  readonly port?: number
  /** Appends to a session in one call; resolves when it is accepted. */
  append(sessionId: string, texts: readonly string[]): Promise<unknown>
  /** Number of events in the session. */
  count(sessionId: string): Promise<number>
  forget(sessionId: string): Promise<unknown>
  close(): Promise<unknown>
}

/** Where stores keep their data. */
export interface Places {
  /** A folder of the run's own. */
  readonly folder: string
  readonly redis?: string
}

export const stores = {
  memory: () => twinrailStore(createMemoryLog()),
  lmdb: async ({ folder }) => twinrailStore(await openLmdbLog({ folder: `${folder}/log` })),
  redis: async ({ redis = '' }) => twinrailStore(await createRedisLog({ url: redis, warn() {} })),
  'redis cluster': async ({ redis = '' }) =>
    twinrailStore(
      await createRedisLog({
        connect: redisOptions =>
          new Cluster([redis], {
            redisOptions: redisOptions as object,
            lazyConnect: true,
            enableOfflineQueue: false,
          }) as unknown as RedisClient,
        warn() {},
      }),
    ),
  'bare lmdb': async ({ folder }) => bareLmdb(`${folder}/bare`),
  'bare redis': async ({ redis = '' }) => bareRedis(redis),
} as const satisfies Record<string, (places: Places) => Promise<Store>>

export type StoreName = keyof typeof stores

async function twinrailStore(log: EventLog): Promise<Store> {
  const { server, port } = await startServer({ log })
  return {
    port,
    append: (sessionId, texts) => log.append(sessionId, texts, { create: true }),
    count: async sessionId => (await log.session(sessionId))?.head ?? 0,
    forget: sessionId => log.delete(sessionId),
    close: () => server.close({ graceMs: 0 }),
  }
}

/** Puts under ordered keys of equal length. A put resolves when it is on disk; the puts of a turn share a commit. */
async function bareLmdb(path: string): Promise<Store> {
  const root = open({ path, noSubdir: true, maxDbs: 16, overlappingSync: false })
  const tables = new Map<string, ReturnType<typeof table>>()
  const table = (name: string) => {
    const db = root.openDB<string, Buffer>(name, { encoding: 'string', keyEncoding: 'binary' })
    return { db, head: 0 }
  }
  const of = (sessionId: string) => {
    const known = tables.get(sessionId) ?? table(sessionId)
    tables.set(sessionId, known)
    return known
  }
  return {
    append(sessionId, texts) {
      const place = of(sessionId)
      return Promise.all(
        texts.map(text => {
          const key = Buffer.alloc(16)
          key.writeBigUInt64BE(BigInt(++place.head), 8)
          return place.db.put(key, text)
        }),
      )
    },
    count: async sessionId => of(sessionId).db.getCount(),
    forget(sessionId) {
      const { db } = of(sessionId)
      tables.delete(sessionId)
      return db.drop()
    },
    close: () => root.close(),
  }
}

/** `XADD` with the same client library; the commands of a turn go out in one pipeline. */
async function bareRedis(url: string): Promise<Store> {
  const client = new Redis(url, { enableAutoPipelining: true })
  return {
    append: (sessionId, texts) => Promise.all(texts.map(text => client.xadd(sessionId, '*', 'e', text))),
    count: sessionId => client.xlen(sessionId),
    forget: sessionId => client.del(sessionId),
    close: () => client.quit(),
  }
}
