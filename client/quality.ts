/** Measurements of a client's streams, to display or to adapt to. */
import type { Route } from './connection/route.ts'
import type { FollowStatus } from './connection/status.ts'
import type { SessionEvent } from './events.ts'
import type { Transport } from './guide.ts'
import { type EphemeralEvent, parseOffset, type TwinrailEvent } from './protocol.ts'

export interface QualitySnapshot {
  /** `idle` without a stream; otherwise the worst state of all streams. */
  state: 'idle' | 'connecting' | 'open' | 'waiting' | 'closed'
  transport: Transport
  /** The reasons for this transport, a sentence each. */
  because: readonly string[]
  /** Median round trip of recent requests and pings, in ms. */
  roundTripMs: number | undefined
  /** Median age of recent live events on arrival, by the server's clock, in ms. */
  delayMs: number | undefined
  /** ms since the last event. */
  lastEventAgeMs: number | undefined
  reconnects: number
  /** Events that arrived folded into others, or that a queue folded. */
  folded: number
  /** Events that are missing: ephemeral ones that a queue dropped, and those that a `gap` reported. */
  dropped: number
  bytes: number
  events: number
  /** The error that ended the last lost connection. */
  error: Error | undefined
}

/** Least time between two notifications of listeners, in ms. */
const NOTIFY_MS = 100

/** Listeners are notified this often even if nothing changed, since ages grow, in ms. */
const TICK_MS = 1000

const SAMPLES = 31

const worst = ['waiting', 'connecting', 'open'] as const

export class Quality {
  readonly #route: Route
  readonly #listeners = new Set<() => void>()
  readonly #streams = new Map<object, FollowStatus>()
  readonly #roundTrips: number[] = []
  readonly #delays: number[] = []
  /** The server's clock minus this one's, measured in the shortest round trip so far. */
  #clock: { aheadMs: number; roundTripMs: number } | undefined
  #counts = { reconnects: 0, folded: 0, dropped: 0, bytes: 0, events: 0 }
  #lastEventAt: number | undefined
  #error: Error | undefined
  #closed = false
  #snapshot: QualitySnapshot | undefined
  #notifying: ReturnType<typeof setTimeout> | undefined
  #ticking: ReturnType<typeof setInterval> | undefined

  constructor(route: Route) {
    this.#route = route
    route.onChange(() => this.#changed())
  }

  /** The same object until something changes. */
  get current(): QualitySnapshot {
    this.#snapshot ??= this.#make()
    return this.#snapshot
  }

  /** Calls `listener` when {@link current} has changed, at most ten times a second. Returns the function that removes it. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    if (!this.#closed) this.#ticking ??= setInterval(() => this.#changed(), TICK_MS)
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size === 0) this.#stop()
    }
  }

  status(stream: object, status: FollowStatus): void {
    const before = this.#streams.get(stream)
    this.#counts.bytes += status.bytes - (before?.bytes ?? 0)
    if (before && status.attempts > before.attempts) this.#counts.reconnects += 1
    if (status.state === 'waiting') this.#error = status.error
    if (status.state === 'closed') this.#streams.delete(stream)
    else this.#streams.set(stream, status)
    this.#changed()
  }

  clock(sentAt: number, serverTime: number): void {
    const now = Date.now()
    const roundTripMs = now - sentAt
    this.roundTrip(roundTripMs)
    if (this.#clock && this.#clock.roundTripMs < roundTripMs) return
    this.#clock = { aheadMs: serverTime - (sentAt + now) / 2, roundTripMs }
  }

  roundTrip(ms: number): void {
    sample(this.#roundTrips, ms)
    this.#changed()
  }

  /** @param live whether it was delivered as it happened, not from the backlog */
  event(event: SessionEvent, live: boolean): void {
    const now = Date.now()
    if (event.type === 'gap') this.#counts.dropped += span(event.from, event.to)
    if (!isEvent(event)) return
    this.#counts.events += 1
    this.#lastEventAt = now
    if ('from' in event && event.from) this.#counts.folded += span(event.from, event.offset) - 1
    if (live) sample(this.#delays, Math.max(0, now + (this.#clock?.aheadMs ?? 0) - event.time))
    this.#changed()
  }

  /** Adds what a queue of this client folded and dropped. */
  queued(counts: { folded: number; dropped: number }): void {
    this.#counts.folded += counts.folded
    this.#counts.dropped += counts.dropped
    this.#changed()
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#ticking)
    this.#changed()
  }

  #make(): QualitySnapshot {
    const { transport, because } = this.#route.choice
    const states = new Set([...this.#streams.values()].map(({ state }) => state))
    return {
      state: this.#closed ? 'closed' : (worst.find(state => states.has(state)) ?? 'idle'),
      transport,
      because,
      roundTripMs: median(this.#roundTrips),
      delayMs: median(this.#delays),
      lastEventAgeMs: this.#lastEventAt === undefined ? undefined : Date.now() - this.#lastEventAt,
      error: this.#error,
      ...this.#counts,
    }
  }

  #changed(): void {
    this.#snapshot = undefined
    if (this.#listeners.size === 0) return
    this.#notifying ??= setTimeout(() => {
      this.#notifying = undefined
      this.#snapshot = undefined
      for (const listener of [...this.#listeners]) listener()
    }, NOTIFY_MS)
  }

  #stop(): void {
    clearInterval(this.#ticking)
    clearTimeout(this.#notifying)
    this.#ticking = this.#notifying = undefined
  }
}

function isEvent(event: SessionEvent): event is TwinrailEvent | EphemeralEvent {
  return event.type.includes('.')
}

function sample(samples: number[], value: number): void {
  samples.push(value)
  if (samples.length > SAMPLES) samples.shift()
}

function median(samples: readonly number[]): number | undefined {
  return [...samples].sort((a, b) => a - b)[samples.length >> 1]
}

/** Number of offsets from one to another, both included. */
function span(from: string, to: string): number {
  return (parseOffset(to)?.seq ?? 0) - (parseOffset(from)?.seq ?? 0) + 1
}
