/** The part of `log` about writing: as fast as possible, and at a pace with a subscriber. */
import type { handlers as Subscribers } from '../load/subscriber-process.ts'
import { dialTwinrail, SESSION } from '../peers/dial-twinrail.ts'
import { seeded, shuffled } from '../random.ts'
import type { Check } from '../report.ts'
import type { handlers as Server } from '../server/log.ts'
import type { StoreName } from '../server/stores.ts'
import type { Group } from '../stats.ts'
import { startWorker, type Worker } from '../worker.ts'

/** Sizes of one round. */
export interface LogSizes {
  /** Events written as fast as possible. */
  readonly events: number
  /** Concurrent calls. */
  readonly inFlight: number
  /** Events appended one by one at a pace, and the pace per second. */
  readonly paced: number
  readonly perSecond: number
  /** Events of the session that is replayed. */
  readonly replayed: number
}

/** Events in one call. */
export const perCalls = [1, 10] as const

/** Measurements, one value per round. */
export interface Measured {
  /** Events per second, by events per call. */
  readonly rates: Record<(typeof perCalls)[number], Group[]>
  /** CPU of the process, µs per event. */
  readonly cpu: Record<(typeof perCalls)[number], Group[]>
  readonly accepted: Delays[]
  readonly delivered: Delays[]
}

/** p50 and p99 in ms, by store. */
export type Delays = Partial<Record<StoreName, readonly [p50: number, p99: number]>>

/** Fills sessions of all stores in turn, and times the delivery of events appended at a pace. */
export async function write(
  server: Worker<typeof Server>,
  names: readonly StoreName[],
  ports: Partial<Record<StoreName, number>>,
  sizes: LogSizes,
  rounds: number,
  show: (part: number) => void,
): Promise<{ measured: Measured; checks: Check[] }> {
  const load = startWorker<typeof Subscribers>('load/subscriber-process')
  const measured: Measured = { rates: { 1: [], 10: [] }, cpu: { 1: [], 10: [] }, accepted: [], delivered: [] }
  const followed = names.filter(name => ports[name] !== undefined)
  const incomplete = new Set<StoreName>()
  try {
    await load.call.open(
      followed.map(name => dialTwinrail('sse', ports[name] as number, { replay: 'none' })),
      1,
    )
    for (const index of followed.keys()) await load.call.grow(index, 1)
    // Round -1 warms up: code is compiled, files and buffers grow.
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
      await load.call.recordDelays(followed.map(name => appended[name]))
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

/** Longest wait for the last event, ms. */
const ARRIVAL_MS = 30_000

/** Waits for all turns. @returns for each group whether it has every event once, in order */
export async function arrived(load: Worker<typeof Subscribers>, turns: number): Promise<boolean[]> {
  for (const until = performance.now() + ARRIVAL_MS; ; ) {
    const seen = (await load.call.seen()).map(({ faults, complete }) => faults === 0 && complete === turns)
    if (seen.every(Boolean) || performance.now() > until) return seen
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
