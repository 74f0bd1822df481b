/** How well a client's streams do, for whoever shows it to people or adapts to it. */

import type { EphemeralEvent, TwinrailEvent } from '../src/protocol/events.ts'
import type { Transport } from './rail.ts'
import type { Route } from './route.ts'
import type { SessionEvent } from './session.ts'
import type { FollowStatus } from './status.ts'
import { parseOffset } from './wire.ts'

export interface QualitySnapshot {
  /** `idle` without a stream; else the worst of all streams. */
  state: 'idle' | 'connecting' | 'open' | 'waiting' | 'closed'
  transport: Transport
  /** Why this transport, a sentence each. */
  because: readonly string[]
  /** How long the server takes to answer, in ms; the middle one of the last few. */
  roundTripMs: number | undefined
  /** How old live events are on arrival, by the server's clock, in ms; the middle one of the last few. */
  delayMs: number | undefined
  /** ms since the last event. */
  lastEventAgeMs: number | undefined
  reconnects: number
  /** Events that came joined into others. */
  folded: number
  /** Events that were left out: ephemeral ones that a queue had no room for, and what `gap`s told. */
  dropped: number
  bytes: number
  events: number
  /** Why the last connection was lost. */
  error: Error | undefined
}

/** How often listeners are told at the most, in ms. */
const TELL_MS = 100

/** While somebody listens, ages are told so often, in ms. */
const TICK_MS = 1000

const SAMPLES = 31

const worst = ['waiting', 'connecting', 'open'] as const

export class Quality {
  readonly #route: Route
  readonly #listeners = new Set<() => void>()
  readonly #streams = new Map<object, FollowStatus>()
  readonly #roundTrips: number[] = []
  readonly #delays: number[] = []
  /** Server's clock minus this one's, and the round trip that it was measured in: the shortest tells best. */
  #clock: { aheadMs: number; roundTripMs: number } | undefined
  #counts = { reconnects: 0, folded: 0, dropped: 0, bytes: 0, events: 0 }
  #lastEventAt: number | undefined
  #error: Error | undefined
  #closed = false
  #snapshot: QualitySnapshot | undefined
  #telling: ReturnType<typeof setTimeout> | undefined
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

  /** Calls `listener` when {@link current} has changed, some times a second; gives the way to stop. */
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

  /** @param live whether it came as it happened, and not from the backlog */
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

  /** What a queue did on this side. */
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
      roundTripMs: middle(this.#roundTrips),
      delayMs: middle(this.#delays),
      lastEventAgeMs: this.#lastEventAt === undefined ? undefined : Date.now() - this.#lastEventAt,
      error: this.#error,
      ...this.#counts,
    }
  }

  #changed(): void {
    this.#snapshot = undefined
    if (this.#listeners.size === 0) return
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined
      this.#snapshot = undefined
      for (const listener of [...this.#listeners]) listener()
    }, TELL_MS)
  }

  #stop(): void {
    clearInterval(this.#ticking)
    clearTimeout(this.#telling)
    this.#ticking = this.#telling = undefined
  }
}

function isEvent(event: SessionEvent): event is TwinrailEvent | EphemeralEvent {
  return event.type.includes('.')
}

function sample(samples: number[], value: number): void {
  samples.push(value)
  if (samples.length > SAMPLES) samples.shift()
}

function middle(samples: readonly number[]): number | undefined {
  return [...samples].sort((a, b) => a - b)[samples.length >> 1]
}

/** How many offsets there are from one to another, both included. */
function span(from: string, to: string): number {
  return (parseOffset(to)?.seq ?? 0) - (parseOffset(from)?.seq ?? 0) + 1
}
