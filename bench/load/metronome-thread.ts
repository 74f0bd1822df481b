/** The metronome's thread: sleeps until something is due and reports it. */
import { parentPort } from 'node:worker_threads'
import { micros } from '../clock.ts'

/** A part of the schedule: `from` is in it, `to` is not. */
export interface Due {
  from: number
  to: number
}

/** What is due within this many µs is reported together: waking the other thread takes about as long. */
const TOGETHER_US = 50

const sleeper = new Int32Array(new SharedArrayBuffer(4))

parentPort?.on('message', (due: Float64Array) => {
  for (let from = 0, to = 0; from < due.length; from = to) {
    const ms = ((due[from] as number) - micros()) / 1000
    if (ms > 0) Atomics.wait(sleeper, 0, 0, ms)
    const now = micros() + TOGETHER_US
    // Never early: what is due a moment later waits until then.
    while (to < due.length && (due[to] as number) <= now) to++
    if (to > from) while (micros() < (due[to - 1] as number));
    parentPort?.postMessage({ from, to } satisfies Due)
  }
})
