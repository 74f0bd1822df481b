/** The measured process of `log`: fills sessions of several stores, as fast as possible or at a pace. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { micros } from '../clock.ts'
import { DelayRound } from '../load/delays.ts'
import type { Body } from '../peers/peer.ts'
import { serveWorker } from '../serve.ts'
import { deltas } from '../text.ts'
import { type Store, type StoreName, stores } from './stores.ts'

/** What is written. */
export interface Filling {
  readonly sessionId: string
  readonly events: number
  /** Events in each call. */
  readonly perCall: number
  /** Concurrent calls. */
  readonly inFlight: number
}

/** How long a filling took, and user and system time of this process, µs. */
export interface Filled {
  readonly seconds: number
  readonly cpu: number
}

export interface Pacing {
  readonly sessionId: string
  readonly events: number
  readonly perSecond: number
}

/** Percentiles of delays, ms. */
export type P50P99 = readonly [p50: number, p99: number]

export interface Paced {
  /** When each event was appended, µs on the machine's clock. */
  readonly appended: Float64Array
  /** From the append until it was accepted. */
  readonly accepted: P50P99
}

const folder = mkdtempSync(join(tmpdir(), 'twinrail-bench-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

const opened = new Map<StoreName, Store>()
const of = (name: StoreName) => opened.get(name) as Store
const bodies = deltas(1)

/** An event as our log stores it: all stores get the same texts. */
const textOf = (sessionId: string, { runId, type, data }: Body) =>
  JSON.stringify({ sessionId, runId, type, time: Date.now(), data })

export const handlers = {
  /** Opens stores. @returns the ports of those that have one */
  async open(names: readonly StoreName[], redis?: string): Promise<Partial<Record<StoreName, number>>> {
    const ports: Partial<Record<StoreName, number>> = {}
    for (const name of names) {
      const store: Store = await stores[name]({ folder, ...(redis && { redis }) })
      opened.set(name, store)
      if (store.port !== undefined) ports[name] = store.port
    }
    return ports
  },

  /** Fills a session. @returns how long that took, and user and system time of this process, µs */
  fill: (name: StoreName, { sessionId, ...sizes }: Filling): Promise<Filled> =>
    fillAll(of(name), [sessionId], sizes),

  /** Fills several sessions by turns, each with so many events. */
  fillAll: (
    name: StoreName,
    sessionIds: readonly string[],
    sizes: Omit<Filling, 'sessionId'>,
  ): Promise<Filled> => fillAll(of(name), sessionIds, sizes),

  /** Appends one by one at a fixed rate. */
  async pace(name: StoreName, { sessionId, events, perSecond }: Pacing): Promise<Paced> {
    const store = of(name)
    const appended = new Float64Array(events)
    const accepted = new DelayRound()
    const pending: Promise<void>[] = []
    const begun = micros()
    for (let i = 0; i < events; i++) {
      const due = begun + (i * 1e6) / perSecond
      while (micros() < due) await sleep(1)
      const text = textOf(sessionId, bodies.next().value)
      const at = micros()
      appended[i] = at
      pending.push(store.append(sessionId, [text]).then(() => accepted.record(micros() - at)))
    }
    await Promise.all(pending)
    return { appended, accepted: [accepted.percentile(50), accepted.percentile(99)] }
  },

  count: (name: StoreName, sessionId: string): Promise<number> => of(name).count(sessionId),

  async forget(name: StoreName, sessionId: string): Promise<void> {
    await of(name).forget(sessionId)
  },

  async close(): Promise<void> {
    for (const store of opened.values()) await store.close()
  },
}

async function fillAll(
  store: Store,
  sessionIds: readonly string[],
  { events, perCall, inFlight }: Omit<Filling, 'sessionId'>,
): Promise<Filled> {
  const calls = Array.from({ length: Math.ceil(events / perCall) }, () =>
    sessionIds.map(sessionId => ({
      sessionId,
      texts: Array.from({ length: perCall }, () => textOf(sessionId, bodies.next().value)),
    })),
  ).flat()
  const before = process.cpuUsage()
  const begun = micros()
  let next = 0
  const writer = async () => {
    for (let call = calls[next++]; call; call = calls[next++]) await store.append(call.sessionId, call.texts)
  }
  await Promise.all(Array.from({ length: inFlight }, writer))
  const { user, system } = process.cpuUsage(before)
  return { seconds: (micros() - begun) / 1e6, cpu: user + system }
}

serveWorker(handlers)
