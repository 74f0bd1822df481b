/** Calls back at times on the machine's clock. A thread sleeps until then, since a timer may be more than 1 ms late. */
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { micros } from '../clock.ts'

interface Entry {
  readonly due: number
  call(): void
}

export class Alarm {
  /** Rising by time; entries of the same time stay in the order in which they came. */
  readonly #entries: Entry[] = []
  readonly #turn = new Int32Array(new SharedArrayBuffer(4))
  readonly #due = new Float64Array(new SharedArrayBuffer(8)).fill(Number.POSITIVE_INFINITY)

  constructor() {
    const workerData = { turn: this.#turn, due: this.#due }
    const file = fileURLToPath(new URL('./alarm-thread.js', import.meta.url))
    new Worker(file, { workerData }).on('message', () => this.#ring()).unref()
  }

  /** @param due µs; never called before */
  at(due: number, call: () => void): void {
    let low = 0
    for (let high = this.#entries.length; low < high; ) {
      const middle = (low + high) >> 1
      if ((this.#entries[middle] as Entry).due <= due) low = middle + 1
      else high = middle
    }
    this.#entries.splice(low, 0, { due, call })
    if (low === 0) this.#set()
  }

  #ring(): void {
    const now = micros()
    let count = 0
    while (count < this.#entries.length && (this.#entries[count] as Entry).due <= now) count++
    for (const { call } of this.#entries.splice(0, count)) call()
    this.#set()
  }

  #set(): void {
    this.#due[0] = this.#entries[0]?.due ?? Number.POSITIVE_INFINITY
    Atomics.add(this.#turn, 0, 1)
    Atomics.notify(this.#turn, 0)
  }
}
