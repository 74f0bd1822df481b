/** `cluster`: appends over a Redis Cluster of three masters, compared with one of a single master. */
import type { Progress } from '../progress.ts'
import { seeded, shuffled } from '../random.ts'
import { noRedis, type RedisCluster, startRedis, startRedisCluster } from '../redis.ts'
import { aimFigures, quartiles, type Result } from '../report.ts'
import type { handlers as Server } from '../server/log.ts'
import { type Group, ratio, spread } from '../stats.ts'
import { startWorker, type Worker } from '../worker.ts'
import type { Scenario, Settings } from './scenario.ts'

const MASTERS = [1, 3] as const

export interface ClusterSizes {
  /** Processes that append, each with sessions of its own. */
  readonly writers: number
  readonly sessions: number
  /** Events of each session in a round, and of each call. */
  readonly events: number
  readonly perCall: number
  /** Concurrent calls of each process. */
  readonly inFlight: number
}

const full: ClusterSizes = { writers: 2, sessions: 12, events: 8000, perCall: 10, inFlight: 256 }
const quickSizes: ClusterSizes = { ...full, events: 500 }

/** How many times the appends of one master three have: what the masters of a machine with a core for each would have. */
const AIM = 2.2

interface Started {
  readonly masters: number
  readonly cluster: RedisCluster
  readonly writers: readonly Worker<typeof Server>[]
}

export const cluster: Scenario = (settings, progress) =>
  measureCluster(settings.quick ? quickSizes : full, settings, progress)

/** The scenario with sizes of its own. */
export async function measureCluster(
  sizes: ClusterSizes,
  { quick, rounds = quick ? 2 : 9 }: Settings,
  progress: Progress,
): Promise<Result> {
  await using there = await startRedis()
  if (!there) throw new Error(noRedis)
  const started: Started[] = []
  const rates: Group[] = []
  const redisCpu: Group[] = []
  const writersCpu: Group[] = []
  const complete = new Map<number, boolean>(MASTERS.map(masters => [masters, true]))
  try {
    for (const masters of MASTERS) started.push(await start(masters, sizes))
    const random = seeded(1)
    // The first round warms up.
    for (let round = 0; round <= rounds; round++) {
      const found = {
        rate: {} as Record<string, number>,
        redis: {} as Record<string, number>,
        writers: {} as Record<string, number>,
      }
      for (const one of shuffled(started, random)) {
        const measured = await fill(one, sizes, round)
        found.rate[one.masters] = measured.rate
        found.redis[one.masters] = measured.redisUs
        found.writers[one.masters] = measured.writersUs
        if (!measured.complete) complete.set(one.masters, false)
      }
      progress.at((round + 1) / (rounds + 1))
      if (round === 0) continue
      rates.push(found.rate)
      redisCpu.push(found.redis)
      writersCpu.push(found.writers)
    }
    for (const { writers } of started) await Promise.all(writers.map(writer => writer.call.close()))
  } finally {
    for (const { writers, cluster } of started) {
      await Promise.all(writers.map(writer => writer.stop()))
      await cluster[Symbol.asyncDispose]()
    }
  }
  const of = (groups: readonly Group[], masters: number) =>
    spread(groups.map(group => group[masters] as number))
  const gain = ratio(rates, '3', '1')
  return {
    scenario: 'cluster',
    settings: { ...sizes, rounds },
    tables: [
      {
        title: `Appends of ${sizes.perCall} events by ${sizes.writers} processes, as fast as they go`,
        columns: ['masters', 'events a second', 'quartiles', ': one', 'CPU µs of Redis', 'of the writers'],
        rows: MASTERS.map(masters => {
          const rate = of(rates, masters)
          return [
            String(masters),
            rate.median,
            quartiles(rate),
            masters === 1 ? 1 : gain.median,
            of(redisCpu, masters).median,
            of(writersCpu, masters).median,
          ]
        }),
      },
    ],
    aims: [
      {
        what: 'three masters : one master, events a second',
        atLeast: true,
        limit: AIM,
        ...aimFigures(gain),
      },
    ],
    checks: [...complete].map(([masters, holds]) => ({
      what: `${masters} ${masters === 1 ? 'master' : 'masters'}: each session holds what was written`,
      holds,
    })),
    notes: [
      'both are a Redis Cluster with the same client; a process for each master, all of them and the writers on one machine',
      'CPU: per event, of all masters and of all writers; together they cannot have more than the machine has cores',
    ],
  }
}

async function start(masters: number, { writers }: ClusterSizes): Promise<Started> {
  const cluster = await startRedisCluster(masters)
  const processes = Array.from({ length: writers }, () => startWorker<typeof Server>('server/log'))
  await Promise.all(processes.map(process => process.call.open(['redis cluster'], cluster.url)))
  return { masters, cluster, writers: processes }
}

async function fill({ masters, cluster, writers }: Started, sizes: ClusterSizes, round: number) {
  const { sessions, events, perCall, inFlight } = sizes
  const mine = writers.map((_, w) => Array.from({ length: sessions }, (_, s) => `c-${round}-${w}-${s}`))
  const before = cluster.cpuUs()
  const filled = await Promise.all(
    writers.map((writer, w) =>
      writer.call.fillAll('redis cluster', mine[w] as string[], { events, perCall, inFlight }),
    ),
  )
  const redis = cluster.cpuUs() - before
  let complete = true
  for (const [w, writer] of writers.entries()) {
    for (const sessionId of mine[w] as string[]) {
      if ((await writer.call.count('redis cluster', sessionId)) !== events) complete = false
      await writer.call.forget('redis cluster', sessionId)
    }
  }
  const all = events * sessions * writers.length
  return {
    masters,
    rate: all / Math.max(...filled.map(({ seconds }) => seconds)),
    redisUs: redis / all,
    writersUs: filled.reduce((sum, { cpu }) => sum + cpu, 0) / all,
    complete,
  }
}
