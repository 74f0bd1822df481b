/** Live subscribers that get the same bytes. */
import { isTerminal } from '../protocol/index.ts'
import { type Cancel, startTimer } from '../protocol/timers.ts'
import type { Encoding, LiveEncoder, WireEvent } from './encoding.ts'
import { fold } from './fold.ts'
import type { Member, Tail } from './tail.ts'

/** Ephemeral events that wait for one flush; more are dropped, as they may be. */
const EPHEMERAL_EVENTS = 1000

/** What the members of one group have in common. */
export interface GroupSpec<B> {
  readonly encoding: Encoding<B>
  /** Only this run's events. */
  readonly run: string | undefined
  /** Events of this stretch of time are sent together, in ms; 0: those of one event-loop turn. */
  readonly coalesceMs: number
  /** Whether neighbouring deltas may be joined. */
  readonly folds: boolean
}

/**
 * Subscribers whose cursor equals `flushed`, for one encoding, run filter and coalescing window. A flush makes one batch
 * of what came since and writes the same bytes to each member that can take them; members whose socket is full fall
 * back to catch-up.
 */
export class LiveGroup<B> {
  readonly #tail: Tail
  readonly #encoding: Encoding<B>
  readonly #live: LiveEncoder<B> | undefined
  readonly #run: string | undefined
  readonly #coalesceMs: number
  readonly #folds: boolean
  readonly #members = new Set<Member<B>>()
  /** Subscriptions that belong here, live or catching up. */
  readonly #attached = new Set<Member<B>>()
  #ephemeral: WireEvent[] = []
  /** Stops the timer of the coalescing window that is open. */
  #cancel: Cancel | undefined
  /** Number of the last event that went out to the members. */
  flushed: number
  /** What the topic had written by then. */
  #written: number

  constructor(tail: Tail, { encoding, run, coalesceMs, folds }: GroupSpec<B>) {
    this.#tail = tail
    this.#encoding = encoding
    this.#live = encoding.live?.()
    this.#run = run
    this.#coalesceMs = coalesceMs
    this.#folds = folds && coalesceMs > 0
    this.flushed = tail.head
    this.#written = tail.written
  }

  /** How many subscriptions belong here. */
  get users(): number {
    return this.#attached.size
  }

  attach(member: Member<B>): void {
    this.#attached.add(member)
  }

  /** Makes a subscription live that has everything up to `flushed`. */
  join(member: Member<B>): void {
    this.#members.add(member)
  }

  remove(member: Member<B>): void {
    this.#members.delete(member)
    this.#attached.delete(member)
  }

  addEphemeral(event: WireEvent, runId: string | undefined): void {
    if (this.#members.size === 0) return
    if (this.#run !== undefined && this.#run !== runId) return
    if (this.#ephemeral.length < EPHEMERAL_EVENTS) this.#ephemeral.push(event)
    else this.#tail.observer.dropped(1)
  }

  /** Something arrived: flushes now, or opens the coalescing window. */
  due(): void {
    if (this.#coalesceMs === 0) return this.flush()
    if (this.flushed === this.#tail.head && this.#ephemeral.length === 0) return
    this.#cancel ??= startTimer(this.#coalesceMs, () => this.flush())
  }

  /** Writes what came since the last flush to every member. */
  flush(): void {
    this.#cancel?.()
    this.#cancel = undefined
    const { head, ring, epoch } = this.#tail
    const before = { cursor: this.flushed, written: this.#written }
    this.flushed = head
    this.#written = this.#tail.written
    const ephemeral = this.#ephemeral
    if (ephemeral.length > 0) this.#ephemeral = []
    if (this.#members.size === 0) return

    // With nothing but ephemeral events the ring is not asked: it may be as empty as when the topic was opened.
    const held = head === before.cursor ? [] : ring.after(before.cursor, head)
    if (!held) {
      // The topic passed over a hole: all members read on from the log.
      for (const member of [...this.#members]) this.#leave(member, before)
      return
    }
    const seen = this.#run === undefined ? held : held.filter(event => event.runId === this.#run)
    const events = this.#folds ? fold(epoch, seen) : seen
    if (events.length + ephemeral.length > 0) {
      const wire: readonly WireEvent[] = ephemeral.length > 0 ? [...events, ...ephemeral] : events
      const takes = ({ sink, window }: Member<B>) => sink.ready() && (!window || window.take(events))
      if (this.#live) {
        // The receivers decide which earlier bytes the batch may refer to, so those who cannot take it leave first.
        for (const member of this.#members) if (!takes(member)) this.#leave(member, before)
        const batch = this.#live.events(wire, this.#continued(this.#live))
        for (const { sink } of this.#members) sink.write(batch, this.#live)
      } else {
        const batch = this.#encoding.events(wire)
        for (const member of this.#members) {
          if (takes(member)) member.sink.write(batch)
          else this.#leave(member, before)
        }
      }
      this.#tail.observer.batch(wire.length, this.#members.size, this.#tail.delayMs, events.at(-1))
    }
    if (this.#run !== undefined && seen.some(event => isTerminal(event.type))) {
      for (const member of [...this.#members]) member.end('run-ended')
    }
  }

  close(): void {
    this.#cancel?.()
  }

  /** Whether the last bytes of every member came from this encoder. */
  #continued(encoder: LiveEncoder<B>): boolean {
    for (const { sink } of this.#members) if (sink.history !== encoder) return false
    return true
  }

  #leave(member: Member<B>, before: { cursor: number; written: number }): void {
    this.#members.delete(member)
    // It misses this batch, and later batches may refer to it.
    member.sink.history = undefined
    member.fallBehind(before.cursor, before.written)
  }
}
