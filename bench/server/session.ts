/** The measured process of scenarios about our server alone: one session and its producer. */
import { createHash } from 'node:crypto'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { micros } from '../clock.ts'
import type { ServerOptions } from '../package/server.ts'
import { SESSION } from '../peers/dial-twinrail.ts'
import type { Body } from '../peers/peer.ts'
import { startServer } from '../peers/twinrail.ts'
import { collectGarbage, serveWorker } from '../serve.ts'
import { messages } from '../text.ts'

/** What is published. */
export interface Publishing {
  events: number
  /** Messages that the events are spread over. */
  messages: number
  /** Events appended in one event-loop turn. */
  perTurn: number
  /** Events per second; 0: as fast as possible. */
  perSecond: number
  /** Waits while slow `wait` subscribers hold producers back, as agents and ingest do. @default false */
  waits?: boolean
}

export interface Published {
  /** When each turn was due, µs on the machine's clock; lateness counts as delay. */
  due: Float64Array
  seconds: number
  /** How long producers were held back, s. */
  heldSeconds: number
  /** Peak of resident bytes. */
  peak: number
  /** SHA-1 of all deltas. */
  text: string
  /** Number of the last event. */
  head: number
}

/** Number of turns between two samples of resident memory. */
const PEAK_EVERY = 50

let server: Awaited<ReturnType<typeof startServer>>['server']
let head = 0

export const handlers = {
  /** Starts the server. @returns its port */
  async open(options: ServerOptions): Promise<number> {
    const started = await startServer(options)
    server = started.server
    return started.port
  },

  async publish({ events, messages: count, perTurn, perSecond, waits }: Publishing): Promise<Published> {
    const bodies = messages(events, count)
    const text = createHash('sha1')
    const due = new Float64Array(Math.ceil(events / perTurn))
    let peak = 0
    let held = 0
    const begun = micros()
    for (let turn = 0; turn < due.length; turn++) {
      const at = perSecond === 0 ? micros() : begun + held + (turn * perTurn * 1e6) / perSecond
      while (micros() < at) await sleep(1)
      due[turn] = at
      append(bodies, Math.min(perTurn, events - turn * perTurn), text)
      await nextTurn()
      if (turn % PEAK_EVERY === 0) peak = Math.max(peak, process.memoryUsage.rss())
      const admitted = waits ? server.bus.admitted(SESSION) : undefined
      if (admitted) {
        const since = micros()
        await admitted
        held += micros() - since
      }
    }
    const seconds = (micros() - begun) / 1e6
    return { due, seconds, heldSeconds: held / 1e6, peak, text: text.digest('hex'), head }
  },

  /** UTF-8 bytes of the JSON of all events. */
  async jsonBytes(): Promise<number> {
    let bytes = 0
    for (let after = 0; after < head; after += 1000) {
      const page = await server.journal.read(SESSION, after, { events: 1000, bytes: Number.MAX_SAFE_INTEGER })
      for (const event of page?.events ?? []) bytes += event.bytes
    }
    return bytes
  },

  /** Events appended so far. */
  appended: (): number => head,

  /** User and system time of this process so far, µs. */
  cpu(): number {
    const { user, system } = process.cpuUsage()
    return user + system
  },

  /** Resident bytes after garbage collection. */
  async resident(): Promise<number> {
    await collectGarbage()
    return process.memoryUsage.rss()
  },
}

function append(bodies: Iterator<Body, void>, count: number, text: ReturnType<typeof createHash>): void {
  for (let i = 0; i < count; i++) {
    const { value: body } = bodies.next()
    if (!body) return
    const { delta } = body.data
    if (typeof delta === 'string') text.update(delta)
    head++
    void server.journal.append(SESSION, [body])
  }
}

serveWorker(handlers)
