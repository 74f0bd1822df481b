/** The part of `log` about writing: as fast as possible, and at a pace with a subscriber. */
import type { handlers as Subscribers } from '../load/subscriber-process.ts'
import { dialTwinrail, SESSION } from '../peers/dial-twinrail.ts'
import { seeded, shuffled } from '../random.ts'
import type { Check } from '../report.ts'
import type { P50P99, handlers as Server } from '../server/log.ts'
import type { StoreName } from '../server/stores.ts'
import type { Group } from '../stats.ts'
import { startWorker, type Worker } from '../worker.ts'
import { timeDelivery } from './delivery.ts'

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

export type Delays = Partial<Record<StoreName, P50P99>>

/** Fills sessions of all stores in turn, and times the delivery of events appended at a pace. */
export async function write(
  server: Worker<typeof Server>,
  names: readonly StoreName[],
  ports: Partial<Record<StoreName, number>>,
  sizes: LogSizes,
  rounds: number,
  show: (part: number) => void,
): Promise<{ measured: Measured; checks: Check[] }> {
  await using load = startWorker<typeof Subscribers>('load/subscriber-process')
  const measured: Measured = { rates: { 1: [], 10: [] }, cpu: { 1: [], 10: [] }, accepted: [], delivered: [] }
  const followed = names.filter(name => ports[name] !== undefined)
  const incomplete = new Set<StoreName>()
  const dials = followed.map(name => dialTwinrail('sse', ports[name] as number, { replay: 'none' }))
  await load.call.open(dials, 1, 1)
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
    const { paced: events, perSecond } = sizes
    const deliveries = await timeDelivery(load, { perTurn: 1, turns: events }, async () => {
      const appended: Partial<Record<StoreName, Float64Array>> = {}
      for (const name of order) {
        const paced = await server.call.pace(name, { sessionId: SESSION, events, perSecond })
        accepted[name] = paced.accepted
        appended[name] = paced.appended
      }
      return followed.map(name => appended[name])
    })
    const delivered: Delays = {}
    for (const [index, { complete, delays }] of deliveries.entries()) {
      const name = followed[index] as StoreName
      if (!complete) incomplete.add(name)
      delivered[name] = delays
    }
    show((round + 1) / rounds)
    if (round < 0) continue
    measured.accepted.push(accepted)
    measured.delivered.push(delivered)
  }
  const checks = names.map(name => ({
    what: `${name}: holds what was written${ports[name] === undefined ? '' : ', and its subscriber got every event once, in order'}`,
    holds: !incomplete.has(name),
  }))
  return { measured, checks }
}
