/** The subscribers of one variant: all are checked, some are timed. */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { micros } from '../clock.ts'
import type { Dial } from '../peers/peer.ts'
import { Connection } from './connection.ts'
import { Scanner } from './scanner.ts'

/** Connections that are opened at a time. */
const OPENING = 50

/** Turns that are expected of a variant. */
export interface Expected {
  /** Events in each. */
  perTurn: number
  turns: number
}

/** What a crowd has seen. */
export interface Seen {
  subscribers: number
  /** Bytes that all of them got since the last `expect`, framing included. */
  bytes: number
  /** Events that came twice, out of order or after a hole, and connections that were lost. */
  faults: number
  /** Events that stood for several, at subscribers that read at full speed. */
  folds: number
  /** Turns that every subscriber has had since the last `expect`. */
  complete: number
}

class Subscriber {
  readonly scanner = new Scanner()
  readonly connection: Connection
  /** When each turn was whole, µs; only where it is timed. */
  times: Float64Array | undefined
  turn = 0
  /** Number of the event that ends the turn. */
  mark = Infinity

  constructor(dial: Dial, onTurns: (subscriber: Subscriber) => void, onClose: () => void) {
    this.connection = new Connection({
      dial,
      onBody: bytes => {
        this.scanner.push(bytes)
        if (this.scanner.seq >= this.mark) onTurns(this)
      },
      onClose,
    })
  }
}

export class Crowd {
  /** Delays from append to receipt, ns. */
  readonly delays: RecordableHistogram = createHistogram({ lowest: 1, highest: 60e9, figures: 3 })
  readonly #dial: Dial
  readonly #timedEvery: number
  readonly #onTurn: () => void
  readonly #subscribers: Subscriber[] = []
  #expected: Expected = { perTurn: 1, turns: 0 }
  /** How many subscribers have had each turn. */
  #counts = new Uint32Array()
  #complete = 0
  #lost = 0
  #bytesBefore = 0
  #closing = false

  /**
   * @param timedEvery one of so many subscribers is timed, spread evenly over the order in which they are written to
   * @param onTurn called when every subscriber has a turn
   */
  constructor(dial: Dial, timedEvery: number, onTurn: () => void) {
    this.#dial = dial
    this.#timedEvery = timedEvery
    this.#onTurn = onTurn
  }

  /** Opens connections until there are so many; resolves when all are subscribed. @returns whether all compress */
  async grow(count: number): Promise<boolean> {
    while (this.#subscribers.length < count) {
      const wanted = Math.min(OPENING, count - this.#subscribers.length)
      const opened = Array.from({ length: wanted }, () => this.#open())
      this.#subscribers.push(...opened)
      await Promise.all(opened.map(({ connection }) => connection.ready))
    }
    return this.#subscribers.every(({ connection }) => connection.compressed)
  }

  /** From now on so many turns come. */
  expect(expected: Expected): void {
    this.#expected = expected
    this.#counts = new Uint32Array(expected.turns)
    this.#complete = 0
    this.#bytesBefore = this.#bytes()
    for (const [index, subscriber] of this.#subscribers.entries()) {
      subscriber.turn = 0
      subscriber.mark = Math.max(0, subscriber.scanner.seq) + expected.perTurn
      const timed = index % this.#timedEvery === 0
      subscriber.times = timed ? new Float64Array(expected.turns) : undefined
    }
  }

  seen(): Seen {
    const scanners = this.#subscribers.map(({ scanner }) => scanner)
    return {
      subscribers: this.#subscribers.length,
      bytes: this.#bytes() - this.#bytesBefore,
      faults: scanners.reduce((sum, { faults }) => sum + faults, this.#lost),
      folds: scanners.reduce((sum, { folds }) => sum + folds, 0),
      complete: this.#complete,
    }
  }

  /** Books the delays of the expected turns. @param appended when each was appended, µs on the machine's clock */
  book(appended: Float64Array): void {
    for (const { times } of this.#subscribers) {
      times?.forEach((time, turn) => {
        if (time > 0) this.delays.record(Math.max(1, Math.round((time - (appended[turn] as number)) * 1000)))
      })
    }
  }

  /** Every subscriber shows that it is alive. */
  pong(): void {
    for (const { connection } of this.#subscribers) connection.pong()
  }

  close(): void {
    this.#closing = true
    for (const { connection } of this.#subscribers) connection.close()
  }

  #open(): Subscriber {
    return new Subscriber(
      this.#dial,
      subscriber => this.#passed(subscriber),
      () => {
        if (!this.#closing) this.#lost++
      },
    )
  }

  #passed(subscriber: Subscriber): void {
    const now = subscriber.times ? micros() : 0
    const { perTurn, turns } = this.#expected
    while (subscriber.scanner.seq >= subscriber.mark && subscriber.turn < turns) {
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
    return this.#subscribers.reduce((sum, { connection }) => sum + connection.received, 0)
  }
}
