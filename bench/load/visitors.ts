/** Clients that come, stay for a while and go, on every transport. */
import { setTimeout as sleep } from 'node:timers/promises'
import { dialTwinrail } from '../peers/dial-twinrail.ts'
import { Connection } from './connection.ts'
import { Scanner } from './scanner.ts'

const RAILS = ['sse', 'websocket', 'long-poll'] as const

/** How long a visitor stays, in ms. */
const STAY = { least: 100, most: 4000 }

/** One in so many reads slowly, at this pace in bytes a second. */
const SLOW_ONE_IN = 10
const SLOW_PACE = 2048

/** What visitors saw. */
export interface Visits {
  /** How many came, by transport. */
  readonly came: Record<(typeof RAILS)[number], number>
  events: number
  /** Events that came twice, out of order or after a hole. */
  faults: number
  /** Visits that failed, in words. */
  readonly failures: string[]
}

interface PollPage {
  events: { offset: string; from?: string }[]
  controls: unknown[]
  next: string
}

const seqOf = (offset: string) => Number(offset.slice(offset.indexOf('-') + 1))

export class Visitors {
  readonly visits: Visits = {
    came: { sse: 0, websocket: 0, 'long-poll': 0 },
    events: 0,
    faults: 0,
    failures: [],
  }
  readonly #port: number
  readonly #sessions: readonly string[]
  readonly #random: () => number
  #isOver = false
  /** What lets those go who are there. */
  readonly #leaving = new Set<AbortController>()
  readonly #places: Promise<void>[]

  /** From now on so many are there at any time: when one goes, another comes. */
  constructor(port: number, sessions: readonly string[], count: number, random: () => number) {
    this.#port = port
    this.#sessions = sessions
    this.#random = random
    this.#places = Array.from({ length: count }, () => this.#keepComing())
  }

  /** All go, and nobody comes any more. */
  async end(): Promise<Visits> {
    this.#isOver = true
    for (const gone of this.#leaving) gone.abort()
    await Promise.all(this.#places)
    return this.visits
  }

  async #keepComing(): Promise<void> {
    while (!this.#isOver) {
      const rail = this.#pick(RAILS)
      const sessionId = this.#pick(this.#sessions)
      const stayMs = STAY.least + this.#random() * (STAY.most - STAY.least)
      this.visits.came[rail]++
      // One for each visit: fetch listens to its signal until that is collected.
      const gone = new AbortController()
      this.#leaving.add(gone)
      try {
        if (rail === 'long-poll') await this.#poll(sessionId, stayMs, gone.signal)
        else await this.#follow(rail, sessionId, stayMs, gone.signal)
      } catch (error) {
        if (this.#isOver) return
        this.visits.failures.push(`${rail}: ${(error as Error).message}`)
        await sleep(STAY.least)
      } finally {
        this.#leaving.delete(gone)
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
    const scanner = new Scanner()
    let first = -1
    const connection = new Connection({
      dial: dialTwinrail(wire, this.#port, { replay, last: 100 }, false, sessionId),
      pace,
      onBody(bytes) {
        scanner.push(bytes)
        if (first < 0) first = scanner.seq
      },
    })
    try {
      await connection.ready
      await sleep(stayMs, undefined, { signal }).catch(() => {})
    } finally {
      connection.close()
    }
    if (first >= 0) this.visits.events += scanner.seq - first + 1
    // Who reads slowly may be told of gaps, which the scanner does not understand.
    if (pace === undefined) this.visits.faults += scanner.faults
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
        if (last >= 0 && seqOf(from) !== last + 1) this.visits.faults++
        last = seqOf(offset)
      }
      this.visits.faults += controls.length
      this.visits.events += events.length
      query = `after=${next}`
    }
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)] as T
  }
}
