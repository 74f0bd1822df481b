/** The subscribers of `soak`: they subscribe, stay for a while and leave, on every transport. */
import { setTimeout as sleep } from 'node:timers/promises'
import { dialTwinrail } from '../peers/dial-twinrail.ts'
import { SequenceCheck } from './event-scanner.ts'
import { RawStream } from './raw-stream.ts'

const TRANSPORTS = ['sse', 'websocket', 'long-poll'] as const

/** How long a subscriber stays, ms. */
const STAY = { least: 100, most: 4000 }

/** One in ten reads slowly, at this pace in bytes per second. */
const SLOW_ONE_IN = 10
const SLOW_PACE = 2048

/** What the subscribers received. */
export interface Subscribed {
  /** Subscriptions by transport. */
  readonly counts: Record<(typeof TRANSPORTS)[number], number>
  events: number
  /** Events that came twice, out of order or after a hole. */
  faults: number
  /** Messages of subscriptions that failed. */
  readonly failures: string[]
}

interface PollPage {
  events: { offset: string; from?: string }[]
  controls: unknown[]
  next: string
}

const seqOf = (offset: string) => Number(offset.slice(offset.indexOf('-') + 1))

export class SoakSubscribers {
  readonly subscribed: Subscribed = {
    counts: { sse: 0, websocket: 0, 'long-poll': 0 },
    events: 0,
    faults: 0,
    failures: [],
  }
  readonly #port: number
  readonly #sessions: readonly string[]
  readonly #random: () => number
  #isOver = false
  /** Ends the current subscriptions. */
  readonly #ending = new Set<AbortController>()
  readonly #places: Promise<void>[]

  /** Keeps `count` subscribed at any time: when one leaves, another comes. */
  constructor(port: number, sessions: readonly string[], count: number, random: () => number) {
    this.#port = port
    this.#sessions = sessions
    this.#random = random
    this.#places = Array.from({ length: count }, () => this.#repeat())
  }

  /** Ends all of them. */
  async end(): Promise<Subscribed> {
    this.#isOver = true
    for (const end of this.#ending) end.abort()
    await Promise.all(this.#places)
    return this.subscribed
  }

  async #repeat(): Promise<void> {
    while (!this.#isOver) {
      const transport = this.#pick(TRANSPORTS)
      const sessionId = this.#pick(this.#sessions)
      const stayMs = STAY.least + this.#random() * (STAY.most - STAY.least)
      this.subscribed.counts[transport]++
      // One for each subscription: fetch keeps its listener on the signal until the signal is collected.
      const end = new AbortController()
      this.#ending.add(end)
      try {
        if (transport === 'long-poll') await this.#poll(sessionId, stayMs, end.signal)
        else await this.#follow(transport, sessionId, stayMs, end.signal)
      } catch (error) {
        if (this.#isOver) return
        this.subscribed.failures.push(`${transport}: ${(error as Error).message}`)
        await sleep(STAY.least)
      } finally {
        this.#ending.delete(end)
      }
    }
  }

  async #follow(
    wire: 'sse' | 'websocket',
    sessionId: string,
    stayMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    const replay = this.#pick(['none', 'compact', 'full'] as const)
    const pace = this.#random() < 1 / SLOW_ONE_IN ? SLOW_PACE : undefined
    const check = new SequenceCheck()
    const stream = new RawStream({
      dial: dialTwinrail(wire, this.#port, { replay, last: 100 }, false, sessionId),
      pace,
      onBody: bytes => check.push(bytes),
    })
    try {
      await stream.ready
      await sleep(stayMs, undefined, { signal }).catch(() => {})
    } finally {
      stream.close()
    }
    if (check.first >= 0) this.subscribed.events += check.seq - check.first + 1
    // A slow reader may get a `gap`, which the check does not know.
    if (pace === undefined) this.subscribed.faults += check.faults
  }

  async #poll(sessionId: string, stayMs: number, signal: AbortSignal): Promise<void> {
    const until = performance.now() + stayMs
    let query = 'last=10'
    let last = -1
    while (performance.now() < until && !signal.aborted) {
      const url = `http://127.0.0.1:${this.#port}/v1/sessions/${sessionId}/events?wait=1000&${query}`
      const response = await fetch(url, { headers: { accept: 'application/json' }, signal })
      if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
      const { events, controls, next } = (await response.json()) as PollPage
      for (const { offset, from = offset } of events) {
        if (last >= 0 && seqOf(from) !== last + 1) this.subscribed.faults++
        last = seqOf(offset)
      }
      this.subscribed.faults += controls.length
      this.subscribed.events += events.length
      query = `after=${next}`
    }
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)] as T
  }
}
