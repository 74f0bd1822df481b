/** The subscribers of `soak`: they subscribe, are cut, come back from their cursor and leave, on every transport. */
import { setTimeout as sleep } from 'node:timers/promises'
import { pick } from '../random.ts'
import { connectTo } from './connections/connect.ts'
import { SequenceCheck } from './event-scanner.ts'

const TRANSPORTS = ['sse', 'websocket', 'long-poll'] as const

/** How long each of a subscriber's two connections lasts, ms. */
const STAY = { least: 50, most: 2000 }

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
  readonly #end = new AbortController()
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
    this.#end.abort()
    await Promise.all(this.#places)
    return this.subscribed
  }

  async #repeat(): Promise<void> {
    while (!this.#end.signal.aborted) {
      const transport = pick(TRANSPORTS, this.#random)
      this.subscribed.counts[transport]++
      await this.#follow(transport).catch(async error => {
        this.subscribed.failures.push(`${transport}: ${(error as Error).message}`)
        await sleep(STAY.least)
      })
    }
  }

  async #follow(transport: (typeof TRANSPORTS)[number]): Promise<void> {
    const sessionIds = [pick(this.#sessions, this.#random)]
    const pace = this.#random() < 1 / SLOW_ONE_IN ? SLOW_PACE : undefined
    const { signal } = this.#end
    const plain = { http: '1.1', tls: false, compressed: false, rechunked: false } as const
    const target = { ...plain, transport, port: this.#port }
    const check = new SequenceCheck()
    for (let times = 0; times < 2 && !signal.aborted; times++) {
      const connection = connectTo(
        target,
        { sessionIds, session: 0, client: 0, pace },
        {
          onBytes: (_, bytes) => check.push(bytes),
          onLost: () => this.subscribed.failures.push(`${transport}: the connection was lost`),
        },
      )
      try {
        await connection.open(() => check.cursor)
        const stayMs = STAY.least + this.#random() * (STAY.most - STAY.least)
        await sleep(stayMs, undefined, { signal }).catch(() => {})
      } finally {
        connection.cut()
      }
      check.endStream()
    }
    if (check.first >= 0) this.subscribed.events += check.seq - check.first + 1
    // A slow reader may get a `gap`, which the check does not know.
    if (pace === undefined || transport === 'long-poll') this.subscribed.faults += check.faults
  }
}
