/** `soak`: ten minutes of all kinds of traffic at fixed rates, and what the server still holds afterwards. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { handlers as Load } from '../load/soak-process.ts'
import { noRedis, startRedis } from '../redis.ts'
import type { Check, Result } from '../report.ts'
import type { Held, Memory, handlers as Server } from '../server/soak.ts'
import { median, slope } from '../stats.ts'
import { startWorker } from '../worker.ts'
import { nodeFlags, type Scenario } from './scenario.ts'

const MB = 1e6
const SEED = 1
const CLIENTS = 60
const SESSIONS = Array.from({ length: 10 }, (_, i) => `soak-${i}`)

/** Interval of the memory samples, ms. */
const SAMPLE_MS = 1000

/** Rest before resources are counted, ms: leases, keep-alive connections and trims end. */
const REST_MS = 8000

/**
 * Growth of memory that counts as flat, MB. Uncollected garbage makes ± 5 MB of resident memory; a leak of 20 bytes per event
 * would be 12 MB in ten minutes.
 */
const FLAT = { resident: 8, heap: 3 }

const soakOn = (driver: 'lmdb' | 'redis'): Scenario => {
  const scenario = driver === 'lmdb' ? 'soak' : 'soak-redis'
  return async (settings, progress) => {
    const seconds = settings.quick ? 20 : 600
    const warmUp = settings.quick ? 5 : 30
    const redis = driver === 'redis' ? await startRedis() : undefined
    if (driver === 'redis' && !redis) return { ...emptyResult(scenario), notes: [noRedis] }
    const server = startWorker<typeof Server>('server/soak', nodeFlags(settings, '--expose-gc'))
    let load = startWorker<typeof Load>('load/soak-process')
    const client = redis && new Redis(redis.url)
    try {
      const port = await server.call.open(redis?.url)
      const count = async () => ({ ...(await server.call.held()), ...(client && (await heldIn(client))) })
      // Ends all clients with their process.
      const rest = async () => {
        await load.stop()
        await sleep(REST_MS)
        await server.call.collect()
        return { held: await count(), memory: await server.call.memory() }
      }
      // The warm-up allocates what is allocated once per process.
      progress.at(0, 'warming up')
      await load.call.begin(port, SESSIONS, CLIENTS, SEED)
      await sleep(warmUp * 1000)
      await load.call.end()
      const before = await rest()

      load = startWorker<typeof Load>('load/soak-process')
      await load.call.begin(port, SESSIONS, CLIENTS, SEED + 2)
      const samples: Memory[] = []
      const begun = performance.now()
      let during: Held = {}
      for (let i = 1; i * SAMPLE_MS <= seconds * 1000; i++) {
        await sleep(begun + i * SAMPLE_MS - performance.now())
        samples.push(await server.call.memory())
        if (i === Math.ceil(seconds / 2)) during = await count()
        progress.at((i * SAMPLE_MS) / (seconds * 1000), 'soaking')
      }
      const { produced, subscribed, runs } = await load.call.end()
      const after = await rest()
      await server.call.close()

      const half = samples.slice(Math.floor(samples.length / 2))
      const perSample = slope(half.map(({ own }, x) => ({ x, y: own / MB })))
      const rise = perSample * half.length
      const heapGrowth = (after.memory.heap - before.memory.heap) / MB
      const failures = [...produced.failures, ...subscribed.failures]
      return {
        scenario,
        settings: { driver, seconds, clients: CLIENTS, sessions: SESSIONS.length, seed: SEED },
        tables: [
          memoryTable(samples, before.memory, after.memory),
          {
            title: 'Held by the server, without clients before and after',
            columns: ['', 'before', 'half-way', 'after'],
            rows: Object.keys(after.held).map(name => [
              name,
              before.held[name] ?? 0,
              during[name] ?? 0,
              after.held[name] ?? 0,
            ]),
          },
          {
            title: 'Traffic',
            columns: ['', 'count'],
            rows: [
              ...Object.entries(subscribed.counts).map(([transport, count]) => [
                `subscriptions on ${transport}`,
                String(count),
              ]),
              ['events received', String(subscribed.events)],
              ['events ingested', String(produced.ingested)],
              ['runs started', String(produced.runs)],
              ['runs cancelled', String(produced.cancelled)],
              ['sessions deleted under their followers', String(produced.deleted)],
            ],
          },
        ],
        aims: [],
        checks: [
          {
            what: `memory is flat: over the second half it rises by at most ${FLAT.resident} MB`,
            holds: rise <= FLAT.resident,
            detail: `${rise.toFixed(1)} MB, ${((perSample * 3600_000) / SAMPLE_MS).toFixed(0)} MB an hour`,
          },
          {
            what: `and the heap, collected, is at most ${FLAT.heap} MB larger than before`,
            holds: heapGrowth <= FLAT.heap,
            detail: `${heapGrowth.toFixed(2)} MB`,
          },
          ...Object.keys(after.held).map((name): Check => {
            const [was, is] = [before.held[name] ?? 0, after.held[name] ?? 0]
            return { what: `no more ${name} than before`, holds: is <= was, detail: `${was}, then ${is}` }
          }),
          {
            what: 'every subscriber got every event once, in order',
            holds: subscribed.faults === 0 && subscribed.events > 0,
          },
          {
            what: 'every run ended, none by failing',
            holds: !runs['running'] && !runs['failed'],
            detail: JSON.stringify(runs),
          },
          {
            what: 'nothing was refused',
            holds: failures.length === 0,
            ...(failures[0] && { detail: `${failures.length}, such as ${failures[0].slice(0, 200)}` }),
          },
        ],
        notes: [
          'own memory: resident without the pages of files, which LMDB maps and the kernel takes back when it wants to',
          'sessions keep 2000 events, so the log does not grow; the session’s last 100 runs are looked at',
        ],
      }
    } finally {
      client?.disconnect()
      await Promise.all([load, server].map(worker => worker.stop()))
      await redis?.stop()
    }
  }
}

export const soak = soakOn('lmdb')
export const soakRedis = soakOn('redis')

const emptyResult = (scenario: string): Result => ({
  scenario,
  settings: {},
  tables: [],
  aims: [],
  checks: [],
  notes: [],
})

/** The driver's keys and connections in Redis, without expiring keys: a deleted session is remembered for an hour. */
async function heldIn(client: Redis): Promise<Held> {
  const [, keys, passing] = /keys=(\d+),expires=(\d+)/.exec(await client.info('keyspace')) ?? [0, 0, 0]
  const connections = (await client.client('LIST')) as string
  return {
    'keys in Redis': Number(keys) - Number(passing),
    'connections of Redis': connections.trim().split('\n').length,
  }
}

function memoryTable(samples: readonly Memory[], before: Memory, after: Memory): Result['tables'][number] {
  const tenth = Math.ceil(samples.length / 10)
  const row = (name: string, { own, resident, heap }: Memory) => [name, own / MB, resident / MB, heap / MB]
  const parts = Array.from({ length: Math.ceil(samples.length / tenth) }, (_, i) =>
    samples.slice(i * tenth, (i + 1) * tenth),
  )
  return {
    title: 'Memory of the server, MB; medians of what was seen every second',
    columns: ['', 'own', 'resident', 'heap'],
    rows: [
      row('before, collected', before),
      ...parts.map((part, i) => {
        const of = (what: keyof Memory) => median(part.map(sample => sample[what]))
        return row(`until ${Math.min((i + 1) * tenth, samples.length)} s`, {
          own: of('own'),
          resident: of('resident'),
          heap: of('heap'),
        })
      }),
      row('after, collected', after),
    ],
  }
}
