/** `log`: the cost of writing events to each driver, of delivering them, and of replaying them. */
import { noRedis, startRedis } from '../redis.ts'
import { type Aim, aimFigures, quartiles, type Table } from '../report.ts'
import type { handlers as Server } from '../server/log.ts'
import type { StoreName } from '../server/stores.ts'
import { ratio, spread } from '../stats.ts'
import { startWorker } from '../worker.ts'
import { compareNodes } from './log-nodes.ts'
import { replayAll } from './log-replay.ts'
import { type Delays, type LogSizes, type Measured, perCalls, write } from './log-write.ts'
import { nodeFlags, type Scenario } from './scenario.ts'

/** The bare library that a driver is compared with. */
const bareOf = { lmdb: 'bare lmdb', redis: 'bare redis' } as const

/** Target part of the bare library's rate, by events per call. */
const rateAims = { lmdb: { 1: 0.8, 10: 0.8 }, redis: { 1: 0.5, 10: 0.7 } } as const

const ADDED_AIM_MS = 1

export const log: Scenario = async (settings, progress) => {
  const { quick, rounds = quick ? 3 : 11 } = settings
  const sizes: LogSizes = quick
    ? { events: 5000, inFlight: 256, paced: 200, perSecond: 400, replayed: 10_000 }
    : { events: 50_000, inFlight: 256, paced: 1000, perSecond: 500, replayed: 100_000 }
  await using redis = await startRedis()
  const names: StoreName[] = [
    'memory',
    'lmdb',
    'bare lmdb',
    ...(redis ? (['redis', 'bare redis'] as const) : []),
  ]
  await using server = startWorker<typeof Server>('server/log', nodeFlags(settings))
  const ports = await server.call.open(names, redis?.url)
  progress.at(0, 'writing')
  const found = await write(server, names, ports, sizes, rounds, part => progress.at(part * 0.6, 'writing'))
  progress.at(0.6, 'replaying')
  const replayed = await replayAll(server, ports, sizes.replayed, rounds)
  const nodes = redis
    ? await compareNodes(redis.url, sizes, rounds, part => progress.at(0.7 + part * 0.3, 'nodes'))
    : undefined
  await server.call.close()
  return {
    scenario: 'log',
    settings: { ...sizes, rounds },
    tables: [
      ratesTable(names, found.measured),
      delaysTable(names, found.measured),
      replayed.table,
      ...(nodes ? [nodes.table] : []),
    ],
    aims: aimsOf(names, found.measured),
    checks: [...found.checks, ...replayed.checks, ...(nodes?.checks ?? [])],
    notes: [
      `as fast as possible: ${sizes.inFlight} concurrent calls, into a session without subscribers`,
      'bare lmdb: puts under ordered keys of the same length; bare redis: XADD, what one turn asks for in one pipeline; both the same texts, libraries and durability as the driver beside them',
      'accepted and delivered: from the call of append, one event each, until it resolves and until a bare SSE subscriber in another process has it',
      'Redis keeps everything in memory here: what its disk costs is its own setting',
      ...(redis ? [] : [noRedis]),
    ],
  }
}

function ratesTable(names: readonly StoreName[], { rates, cpu }: Measured): Table {
  return {
    title: 'Writing as fast as it goes, events a second',
    columns: ['', 'one by one', 'quartiles', 'CPU µs', 'ten a call', 'quartiles', 'CPU µs'],
    rows: names.map(name => [
      name,
      ...perCalls.flatMap(perCall => {
        const rate = spread(rates[perCall].map(group => group[name] as number))
        return [rate.median, quartiles(rate), spread(cpu[perCall].map(group => group[name] as number)).median]
      }),
    ]),
  }
}

function delaysTable(names: readonly StoreName[], { accepted, delivered }: Measured): Table {
  const over = (all: readonly Delays[], name: StoreName, index: 0 | 1) =>
    all[0]?.[name]
      ? spread(all.map(delays => (delays[name] as readonly number[])[index] as number)).median
      : ''
  return {
    title: 'One event at a time, at a pace: ms from the call',
    columns: ['', 'accepted p50', 'p99', 'delivered p50', 'p99'],
    rows: names.map(name => [
      name,
      over(accepted, name, 0),
      over(accepted, name, 1),
      over(delivered, name, 0),
      over(delivered, name, 1),
    ]),
  }
}

function aimsOf(names: readonly StoreName[], { rates, accepted, delivered }: Measured): Aim[] {
  return (['lmdb', 'redis'] as const)
    .filter(name => names.includes(name))
    .flatMap(name => {
      const bare = bareOf[name]
      const ofRate = perCalls.map((perCall): Aim => {
        const what = `${name} : ${bare}, events a second, ${perCall === 1 ? 'one by one' : 'ten a call'}`
        return {
          what,
          atLeast: true,
          limit: rateAims[name][perCall],
          ...aimFigures(ratio(rates[perCall], name, bare)),
        }
      })
      const added = spread(delivered.map((delays, i) => p50(delays, name) - p50(accepted[i] as Delays, bare)))
      return [
        ...ofRate,
        {
          what: `${name}: p50 until delivered, beyond ${bare} until accepted`,
          limit: ADDED_AIM_MS,
          ...aimFigures(added),
          unit: ' ms',
        },
      ]
    })
}

const p50 = (delays: Delays, name: StoreName) => delays[name]?.[0] ?? Number.NaN
