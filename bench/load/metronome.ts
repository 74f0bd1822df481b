/** Calls back on an absolute schedule. A thread of its own sleeps until then, since a timer may be 1 ms late. */
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { Due } from './metronome-thread.ts'

export class Metronome {
  readonly #thread = new Worker(fileURLToPath(new URL('./metronome-thread.js', import.meta.url)))

  /**
   * Calls `onDue` for each group that is due together: never early, and nothing is skipped when it is late.
   * @param due when each is due, µs on the machine's clock, ascending
   */
  run(due: Float64Array, onDue: (from: number, to: number) => void): Promise<void> {
    return new Promise(resolve => {
      if (due.length === 0) return resolve()
      const take = ({ from, to }: Due) => {
        onDue(from, to)
        if (to < due.length) return
        this.#thread.off('message', take)
        resolve()
      }
      this.#thread.on('message', take)
      this.#thread.postMessage(due)
    })
  }
}
