/** Measurements of a client's streams. An application can display them or adapt to them. */
import type { Route } from './connection/route.ts'
import type { FollowStatus } from './connection/status.ts'
import type { SessionEvent } from './events.ts'
import type { Transport } from './guide.ts'
import { type EphemeralEvent, parseOffset, type TwinrailEvent } from './protocol.ts'

/** The measurements of a client at one moment. Counts are totals since the client was created. */
export interface QualitySnapshot {
  /** `idle` without a stream, `closed` after `close()`; otherwise the worst state of all streams. */
  state: 'idle' | 'connecting' | 'open' | 'waiting' | 'closed'
  /** The transport that new connections use. */
  transport: Transport
  /** The reasons for this transport, a sentence each. */
  because: readonly string[]
  /** Median round trip of the last 31 requests and pings, in ms; `undefined` before the first. */
  roundTripMs: number | undefined
  /** Median age of the last 31 live events on arrival, by the server's clock, in ms; `undefined` before the first. */
  delayMs: number | undefined
  /** Time since the last event, in ms; `undefined` before the first. */
  lastEventAgeMs: number | undefined
  /** Number of connections that were replaced after a failure. */
  reconnects: number
  /** Number of events that arrived folded into others, or that a queue folded. */
  folded: number
  /** Number of missing events: ephemeral events that a queue dropped, and events that a `gap` reported. */
  dropped: number
  /** Number of received bytes, counted after decompression. */
  bytes: number
  /** Number of received events; a folded event counts as one. */
  events: number
  /** The error that ended the last lost connection; `undefined` when none was lost. */
  error: Error | undefined
}

/** Least time between two notifications of listeners, in ms. */
const NOTIFY_MS = 100

/** Listeners are notified this often even if nothing changed, since ages grow, in ms. */
const TICK_MS = 1000

/** Number of recent measurements that a median is made of. */
const SAMPLES = 31

const worst = ['waiting', 'connecting', 'open'] as const

/**
 * Collects the measurements of a client's streams and commands. Read {@link current}, or {@link subscribe} to changes.
 */
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

  /** The current measurements. The object stays the same until a measurement changes. */
  get current(): QualitySnapshot {
    this.#snapshot ??= this.#make()
    return this.#snapshot
  }

  /**
   * Calls `listener` when {@link current} has changed: at most ten times a second, and at least once a second, since
   * ages grow. Returns the function that removes the listener.
   */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    if (!this.#closed) this.#ticking ??= setInterval(() => this.#changed(), TICK_MS)
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size === 0) this.#stop()
    }
  }

  /** Records a change of a stream's status. For the client's own streams. */
  status(stream: object, status: FollowStatus): void {
    const before = this.#streams.get(stream)
    this.#counts.bytes += status.bytes - (before?.bytes ?? 0)
    if (before && status.attempts > before.attempts) this.#counts.reconnects += 1
    if (status.state === 'waiting') this.#error = status.error
    if (status.state === 'closed') this.#streams.delete(stream)
    else this.#streams.set(stream, status)
    this.#changed()
  }

  /** Records that the server's clock showed `serverTime` between `sentAt` and now. For the client's own streams. */
  clock(sentAt: number, serverTime: number): void {
    const now = Date.now()
    const roundTripMs = now - sentAt
    this.roundTrip(roundTripMs)
    if (this.#clock && this.#clock.roundTripMs < roundTripMs) return
    this.#clock = { aheadMs: serverTime - (sentAt + now) / 2, roundTripMs }
  }

  /** Records the round trip of a request or a ping. For the client's own streams and commands. */
  roundTrip(ms: number): void {
    sample(this.#roundTrips, ms)
    this.#changed()
  }

  /**
   * Records an event or a `gap`. For the client's own streams.
   * @param live whether the event was delivered when it happened; false for events of the backlog
   */
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

  /** Adds the numbers of events that a queue of this client folded and dropped. */
  queued(counts: { folded: number; dropped: number }): void {
    this.#counts.folded += counts.folded
    this.#counts.dropped += counts.dropped
    this.#changed()
  }

  /** Sets the state to `closed` and stops the timer. For `Client.close`. */
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
