/** The alarm's thread: sleeps until the time that is set, and reports it. */
import { parentPort, workerData } from 'node:worker_threads'
import { micros } from '../clock.ts'

const { turn, due } = workerData as { turn: Int32Array; due: Float64Array }

for (;;) {
  const now = Atomics.load(turn, 0)
  const ms = ((due[0] as number) - micros()) / 1000
  // A new time wakes the thread early, too: it looks again.
  if (ms > 0) {
    Atomics.wait(turn, 0, now, ms)
    continue
  }
  parentPort?.postMessage(0)
  Atomics.wait(turn, 0, now)
}
