/** The metronome's thread: it sleeps until something is due and says so. */
import { parentPort } from 'node:worker_threads'
import { micros } from '../clock.ts'

/** A stretch of the schedule: from the first to before the last. */
export interface Due {
  from: number
  to: number
}

/** What is due within so many µs of each other is told together: waking somebody up takes about as long. */
const TOGETHER_US = 50

const sleeper = new Int32Array(new SharedArrayBuffer(4))

parentPort?.on('message', (due: Float64Array) => {
  for (let from = 0, to = 0; from < due.length; from = to) {
    const ms = ((due[from] as number) - micros()) / 1000
    if (ms > 0) Atomics.wait(sleeper, 0, 0, ms)
    const now = micros() + TOGETHER_US
    // Never before its time: what is due a moment later waits for it.
    while (to < due.length && (due[to] as number) <= now) to++
    if (to > from) while (micros() < (due[to - 1] as number));
    parentPort?.postMessage({ from, to } satisfies Due)
  }
})
