/** Tells when something is due, on an absolute schedule: a thread of its own sleeps, so that a timer's ms do not count. */
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { Due } from './metronome-thread.ts'

export class Metronome {
  readonly #thread = new Worker(fileURLToPath(new URL('./metronome-thread.js', import.meta.url)))

  /**
   * Calls `onDue` for each stretch of what is due together, never early, never leaving anything out.
   * @param due when each is due, µs on the machine's clock, rising
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

  async close(): Promise<void> {
    await this.#thread.terminate()
  }
}
