/** The subscribers of one variant: all are checked, some are timed; and subscribers that stay only for a moment. */
import { micros } from '../clock.ts'
import type { Dial } from '../peers/peer.ts'
import { DelayRound } from './delays.ts'
import { SequenceCheck } from './event-scanner.ts'
import { RawStream } from './raw-stream.ts'

/** Connections that are opened at a time. */
const OPENING = 50

/** The turns that a variant is about to publish. */
export interface Expected {
  /** Events in each. */
  perTurn: number
  turns: number
}

/** What the subscribers of a group have received. */
export interface Seen {
  /** Bytes of all subscribers since the last `expect`, with framing. */
  bytes: number
  /** Events that came twice, out of order or after a hole, and connections that were lost. */
  faults: number
  /** Turns that every subscriber has received since the last `expect`. */
  complete: number
}

class Subscriber {
  readonly check = new SequenceCheck()
  readonly stream: RawStream
  /** When each turn was complete, µs; only for timed subscribers. */
  times: Float64Array | undefined
  turn = 0
  /** Number of the event that ends the turn. */
  mark = Infinity

  constructor(dial: Dial, onTurns: (subscriber: Subscriber) => void, onClose: () => void) {
    this.stream = new RawStream({
      dial,
      onBody: bytes => {
        this.check.push(bytes)
        if (this.check.seq >= this.mark) onTurns(this)
      },
      onClose,
    })
  }
}

export class SubscriberGroup {
  /** Delays from append to receipt. */
  readonly delays = new DelayRound()
  readonly #dial: Dial
  readonly #timedEvery: number
  readonly #onTurn: () => void
  readonly #subscribers: Subscriber[] = []
  #expected: Expected = { perTurn: 1, turns: 0 }
  /** How many subscribers have received each turn. */
  #counts = new Uint32Array()
  #complete = 0
  #lost = 0
  #bytesBefore = 0

  /**
   * @param timedEvery every how many subscribers one is timed, so that they are spread evenly over the order of writes
   * @param onTurn called when every subscriber has received a turn
   */
  constructor(dial: Dial, timedEvery: number, onTurn: () => void) {
    this.#dial = dial
    this.#timedEvery = timedEvery
    this.#onTurn = onTurn
  }

  /** Opens connections until there are `count`; resolves when all are subscribed. @returns whether all are compressed */
  async grow(count: number): Promise<boolean> {
    while (this.#subscribers.length < count) {
      const wanted = Math.min(OPENING, count - this.#subscribers.length)
      const opened = Array.from({ length: wanted }, () => this.#open())
      this.#subscribers.push(...opened)
      await Promise.all(opened.map(({ stream }) => stream.ready))
    }
    return this.#subscribers.every(({ stream }) => stream.compressed)
  }

  /** Prepares for the turns that come next. */
  expect(expected: Expected): void {
    this.#expected = expected
    this.#counts = new Uint32Array(expected.turns)
    this.#complete = 0
    this.#bytesBefore = this.#bytes()
    for (const [index, subscriber] of this.#subscribers.entries()) {
      subscriber.turn = 0
      subscriber.mark = Math.max(0, subscriber.check.seq) + expected.perTurn
      const timed = index % this.#timedEvery === 0
      subscriber.times = timed ? new Float64Array(expected.turns) : undefined
    }
  }

  seen(): Seen {
    const checks = this.#subscribers.map(({ check }) => check)
    return {
      bytes: this.#bytes() - this.#bytesBefore,
      faults: checks.reduce((sum, { faults }) => sum + faults, this.#lost),
      complete: this.#complete,
    }
  }

  /** Records the delays of the expected turns. @param appended when each was appended, µs on the machine's clock */
  recordDelays(appended: Float64Array): void {
    for (const { times } of this.#subscribers) {
      times?.forEach((time, turn) => {
        if (time > 0) this.delays.record(time - (appended[turn] as number))
      })
    }
  }

  /** Sends a pong on every WebSocket. */
  pong(): void {
    for (const { stream } of this.#subscribers) stream.pong()
  }

  #open(): Subscriber {
    return new Subscriber(
      this.#dial,
      subscriber => this.#passed(subscriber),
      () => {
        this.#lost++
      },
    )
  }

  #passed(subscriber: Subscriber): void {
    const now = subscriber.times ? micros() : 0
    const { perTurn, turns } = this.#expected
    while (subscriber.check.seq >= subscriber.mark && subscriber.turn < turns) {
      const turn = subscriber.turn++
      subscriber.mark += perTurn
      if (subscriber.times) subscriber.times[turn] = now
      if (++this.#counts[turn]! === this.#subscribers.length) {
        this.#complete++
        this.#onTurn()
      }
    }
  }

  #bytes(): number {
    return this.#subscribers.reduce((sum, { stream }) => sum + stream.received, 0)
  }
}

/** Subscribers that come one after the other: each leaves when the next one comes. @returns ends the last one */
export function startShortLived(dial: Dial, everyMs: number): () => { joins: number; faults: number } {
  let joins = 0
  let faults = 0
  let leave = () => {}
  const timer = setInterval(() => {
    leave()
    joins++
    const check = new SequenceCheck()
    const stream = new RawStream({ dial, onBody: bytes => check.push(bytes) })
    leave = () => {
      faults += check.faults
      stream.close()
    }
  }, everyMs)
  return () => {
    clearInterval(timer)
    leave()
    return { joins, faults }
  }
}
