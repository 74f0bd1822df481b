/** The part of `slow` about a producer that waits for its slowest subscriber. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Dial } from '../peers/peer.ts'
import type { Publishing } from '../server/session.ts'
import { slope } from '../stats.ts'
import { READ_MS, withProcesses } from './slow-run.ts'

export interface Waited {
  /** Events per second in the second half, when the kernel's buffers are full. */
  readonly producerRate: number
  readonly subscriberRate: number
  readonly heldSeconds: number
  /** The subscriber got every event, unfolded. */
  readonly complete: boolean
}

/** Interval of the samples of producer and subscriber, ms. */
const SAMPLE_MS = 100

/** Publishes as fast as allowed while one subscriber, for which nothing is folded, reads `pace` bytes per second. */
export async function waitForSlowest(
  wire: Dial['wire'],
  pace: number,
  publishing: Publishing,
  flags: readonly string[],
): Promise<Waited> {
  return withProcesses(wire, flags, async ({ server, slow, dial }) => {
    await slow.call.open(dial({ lag: 'wait', replay: 'full' }), [pace])
    const samples: { at: number; produced: number; read: number }[] = []
    let done = false
    const publishes = server.call.publish({ ...publishing, perSecond: 0, waits: true }).finally(() => {
      done = true
    })
    while (!done) {
      await sleep(SAMPLE_MS)
      const [produced, held] = await Promise.all([server.call.appended(), slow.call.held()])
      if (!done) samples.push({ at: performance.now() / 1000, produced, read: held[0]!.seq })
    }
    const { head, heldSeconds } = await publishes
    const half = samples.filter(({ produced }) => produced >= head / 2)
    await slow.call.wake([0])
    await slow.call.reach([0], head, READ_MS)
    const [held] = await slow.call.held()
    return {
      producerRate: slope(half.map(({ at, produced }) => ({ x: at, y: produced }))),
      subscriberRate: slope(half.map(({ at, read }) => ({ x: at, y: read }))),
      heldSeconds,
      complete: held!.received === head && held!.faults === 0,
    }
  })
}
