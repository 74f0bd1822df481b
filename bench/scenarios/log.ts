/** `log`: what it costs to write events to each driver, to bring them to a subscriber, and to read them again. */
import type { handlers as Crowds } from '../load/crowds.ts'
import { dialTwinrail, SESSION } from '../peers/dial-twinrail.ts'
import { seeded, shuffled } from '../random.ts'
import { noRedis, startRedis } from '../redis.ts'
import type { Aim, Check, Table } from '../report.ts'
import type { handlers as Server } from '../server/log.ts'
import type { StoreName } from '../server/stores.ts'
import { type Group, ratio, type Spread, spread } from '../stats.ts'
import { startWorker, type Worker } from '../worker.ts'
import { compareNodes } from './log-nodes.ts'
import { replayAll } from './log-replay.ts'
import { nodeFlags, type Scenario } from './scenario.ts'

/** How much is done in one round. */
export interface LogSizes {
  /** Events that a session is filled with, as fast as the store takes them. */
  readonly events: number
  /** Calls under way at the same time. */
  readonly inFlight: number
  /** Events appended one by one at a pace, and how many a second. */
  readonly paced: number
  readonly perSecond: number
  /** Events of the session that is replayed. */
  readonly replayed: number
}

const perCalls = [1, 10] as const

/** The bare library that stands beside a driver. */
const beside = { lmdb: 'bare lmdb', redis: 'bare redis' } as const

/** Part of the bare rate that is aimed at, by events a call. */
const rateAims = { lmdb: { 1: 0.7, 10: 0.7 }, redis: { 1: 0.3, 10: 0.7 } } as const

const ADDED_AIM_MS = 1

/** What was measured, one value a round. */
interface Measured {
  /** Events per second, by events a call. */
  readonly rates: Record<(typeof perCalls)[number], Group[]>
  /** Of the process, µs per event. */
  readonly cpu: Record<(typeof perCalls)[number], Group[]>
  readonly accepted: Delays[]
  readonly delivered: Delays[]
}

/** p50 and p99 in ms, by store. */
type Delays = Partial<Record<StoreName, readonly [p50: number, p99: number]>>

export const log: Scenario = async (settings, progress) => {
  const { quick, rounds = quick ? 3 : 11 } = settings
  const sizes: LogSizes = quick
    ? { events: 5000, inFlight: 256, paced: 200, perSecond: 400, replayed: 10_000 }
    : { events: 50_000, inFlight: 256, paced: 1000, perSecond: 500, replayed: 100_000 }
  const redis = await startRedis()
  const names: StoreName[] = [
    'memory',
    'lmdb',
    'bare lmdb',
    ...(redis ? (['redis', 'bare redis'] as const) : []),
  ]
  const server = startWorker<typeof Server>('server/log', nodeFlags(settings))
  try {
    const ports = await server.call.open(names, redis?.url)
    progress.at(0, 'writing')
    const found = await write(server, names, ports, sizes, rounds, part => progress.at(part * 0.6, 'writing'))
    progress.at(0.6, 'replaying')
    const replayed = await replayAll(server, ports, sizes.replayed, rounds)
    const nodes = redis
      ? await compareNodes(redis.url, sizes, rounds, part => progress.at(0.7 + part * 0.3, 'nodes'))
      : { tables: [], checks: [] }
    await server.call.close()
    return {
      scenario: 'log',
      settings: { ...sizes, rounds },
      tables: [
        ratesTable(names, found.measured),
        delaysTable(names, found.measured),
        replayed.table,
        ...nodes.tables,
      ],
      aims: aimsOf(names, found.measured),
      checks: [...found.checks, ...replayed.checks, ...nodes.checks],
      notes: [
        `as fast as they go: ${sizes.inFlight} calls under way at a time, into a session that nobody follows`,
        'bare lmdb: puts under ordered keys of the same length; bare redis: XADD, what one turn asks for in one pipeline; both the same texts, libraries and durability as the driver beside them',
        'accepted and delivered: from the call of append, one event each, until it resolves and until a bare SSE subscriber in another process has it',
        'Redis keeps everything in memory here: what its disk costs is its own setting',
        ...(redis ? [] : [noRedis]),
      ],
    }
  } finally {
    await server.stop()
    await redis?.stop()
  }
}

/** Fills sessions of all stores by turns, and follows what is appended at a pace. */
async function write(
  server: Worker<typeof Server>,
  names: readonly StoreName[],
  ports: Partial<Record<StoreName, number>>,
  sizes: LogSizes,
  rounds: number,
  show: (part: number) => void,
): Promise<{ measured: Measured; checks: Check[] }> {
  const load = startWorker<typeof Crowds>('load/crowds')
  const measured: Measured = { rates: { 1: [], 10: [] }, cpu: { 1: [], 10: [] }, accepted: [], delivered: [] }
  const followed = names.filter(name => ports[name] !== undefined)
  const incomplete = new Set<StoreName>()
  try {
    await load.call.open(
      followed.map(name => dialTwinrail('sse', ports[name] as number, { replay: 'none' })),
      1,
    )
    for (const index of followed.keys()) await load.call.grow(index, 1)
    // The round before the first warms up: code is compiled, files and buffers grow.
    for (let round = -1; round < rounds; round++) {
      const order = shuffled(names, seeded(round))
      for (const perCall of perCalls) {
        const rates: Record<string, number> = {}
        const cpu: Record<string, number> = {}
        for (const name of order) {
          const sessionId = `fill-${round}-${perCall}`
          const { events, inFlight } = sizes
          const filled = await server.call.fill(name, { sessionId, events, perCall, inFlight })
          rates[name] = events / filled.seconds
          cpu[name] = filled.cpu / events
          if ((await server.call.count(name, sessionId)) !== events) incomplete.add(name)
          await server.call.forget(name, sessionId)
        }
        if (round < 0) continue
        measured.rates[perCall].push(rates)
        measured.cpu[perCall].push(cpu)
      }
      const accepted: Delays = {}
      await load.call.expect({ perTurn: 1, turns: sizes.paced })
      const appended: Partial<Record<StoreName, Float64Array>> = {}
      for (const name of order) {
        const paced = await server.call.pace(name, {
          sessionId: SESSION,
          events: sizes.paced,
          perSecond: sizes.perSecond,
        })
        accepted[name] = [paced.p50Ms, paced.p99Ms]
        appended[name] = paced.appended
      }
      const seen = await arrived(load, sizes.paced)
      for (const [index, name] of followed.entries()) if (!seen[index]) incomplete.add(name)
      await load.call.book(followed.map(name => appended[name]))
      const delays = (await load.call.delays([50, 99])) as [number, number][]
      await load.call.forgetDelays()
      show((round + 1) / rounds)
      if (round < 0) continue
      measured.accepted.push(accepted)
      measured.delivered.push(
        Object.fromEntries(followed.map((name, index) => [name, delays[index] as [number, number]])),
      )
    }
  } finally {
    await load.stop()
  }
  const checks = names.map(name => ({
    what: `${name}: holds what was written${ports[name] === undefined ? '' : ', and its subscriber got every event once, in order'}`,
    holds: !incomplete.has(name),
  }))
  return { measured, checks }
}

/** How long the last event may be on its way, in ms. */
const ARRIVAL_MS = 5000

/** Waits until every crowd has had all its turns. @returns of each whether it has, each event once, in order */
export async function arrived(load: Worker<typeof Crowds>, turns: number): Promise<boolean[]> {
  for (const until = performance.now() + ARRIVAL_MS; ; ) {
    const seen = (await load.call.seen()).map(({ faults, complete }) => faults === 0 && complete === turns)
    if (seen.every(Boolean) || performance.now() > until) return seen
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

const quartiles = ({ low, high }: Spread): [number, number] => [low, high]

const range = (spread: Spread, digits = 0) => `${spread.low.toFixed(digits)}–${spread.high.toFixed(digits)}`

function ratesTable(names: readonly StoreName[], { rates, cpu }: Measured): Table {
  return {
    title: 'Writing as fast as it goes, events a second',
    columns: ['', 'one by one', 'quartiles', 'CPU µs', 'ten a call', 'quartiles', 'CPU µs'],
    rows: names.map(name => [
      name,
      ...perCalls.flatMap(perCall => {
        const rate = spread(rates[perCall].map(group => group[name] as number))
        return [rate.median, range(rate), spread(cpu[perCall].map(group => group[name] as number)).median]
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
      const bare = beside[name]
      const ofRate = perCalls.map((perCall): Aim => {
        const measured = ratio(rates[perCall], name, bare)
        const what = `${name} : ${bare}, events a second, ${perCall === 1 ? 'one by one' : 'ten a call'}`
        return {
          what,
          atLeast: true,
          limit: rateAims[name][perCall],
          measured: measured.median,
          quartiles: quartiles(measured),
        }
      })
      const added = spread(delivered.map((delays, i) => p50(delays, name) - p50(accepted[i] as Delays, bare)))
      return [
        ...ofRate,
        {
          what: `${name}: p50 until delivered, beyond ${bare} until accepted`,
          limit: ADDED_AIM_MS,
          measured: added.median,
          quartiles: quartiles(added),
          unit: ' ms',
        },
      ]
    })
}

const p50 = (delays: Delays, name: StoreName) => delays[name]?.[0] ?? Number.NaN
