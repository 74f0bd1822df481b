/** Two measurements of `slow` with runs of their own: laggards that resume reading, and a producer that waits. */
import type { Dial } from '../peers/peer.ts'
import type { Publishing } from '../server/session.ts'
import { slope } from '../stats.ts'
import { onStage, pause } from './slow-run.ts'

/** The server's cost of laggards that resume reading. */
export interface WakeFound {
  /** CPU until a single laggard had caught up, ms, by round. */
  oneMs: number[]
  /** CPU until many laggards that resumed together had caught up, ms, by round. */
  manyMs: number[]
  /** All of them have the exact text. */
  exact: boolean
}

/** Longest time for laggards to catch up, ms. */
const WAKE_MS = 120_000

/** Compares the cost of one laggard with that of `many`, round by round, each on a server of its own. */
export async function wake(
  wire: Dial['wire'],
  many: number,
  publishing: Publishing,
  rounds: number,
  flags: readonly string[],
): Promise<WakeFound> {
  const found: WakeFound = { oneMs: [], manyMs: [], exact: true }
  for (let round = 0; round < rounds; round++) {
    const one = await wakeTogether(wire, 1, publishing, flags)
    const all = await wakeTogether(wire, many, publishing, flags)
    found.oneMs.push(one.cpuMs)
    found.manyMs.push(all.cpuMs)
    found.exact &&= one.exact && all.exact
  }
  return found
}

/**
 * Publishes to laggards that read nothing, and then lets them read. Nothing is folded before that: only one laggard that is
 * not counted, for which the code is compiled, reads an earlier part.
 */
async function wakeTogether(
  wire: Dial['wire'],
  laggards: number,
  publishing: Publishing,
  flags: readonly string[],
): Promise<{ cpuMs: number; exact: boolean }> {
  return onStage(wire, { lag: 'conflate' }, flags, async ({ server, subscribers, dial }) => {
    let begin = 0
    const catchUp = async (indexes: readonly number[]) => {
      await subscribers.call.open(
        dial,
        indexes.map(() => 0),
        begin,
      )
      const { head, text } = await server.call.publish({ ...publishing, perSecond: 0 })
      begin = head
      const before = await server.call.cpu()
      await subscribers.call.wake(indexes)
      await subscribers.call.reach(indexes, head, WAKE_MS)
      const cpuMs = ((await server.call.cpu()) - before) / 1000
      const all = await subscribers.call.held()
      const held = indexes.map(index => all[index]!)
      return { cpuMs, exact: held.every(one => one.seq === head && one.faults === 0 && one.text === text) }
    }
    await catchUp([0])
    return catchUp(Array.from({ length: laggards }, (_, i) => i + 1))
  })
}

/** A producer that waits for its slowest subscriber. */
export interface WaitFound {
  /** Events per second in the second half, when the kernel's buffers are full. */
  producerRate: number
  readerRate: number
  heldSeconds: number
  /** The subscriber got every event, unfolded. */
  complete: boolean
}

/** Interval of the samples of producer and subscriber, ms. */
const SAMPLE_MS = 100

/** Publishes as fast as allowed while one subscriber, for which nothing is folded, reads `pace` bytes per second. */
export async function waitFor(
  wire: Dial['wire'],
  pace: number,
  publishing: Publishing,
  flags: readonly string[],
): Promise<WaitFound> {
  return onStage(wire, { lag: 'wait', replay: 'full' }, flags, async ({ server, subscribers, dial }) => {
    await subscribers.call.open(dial, [pace])
    const samples: { at: number; produced: number; read: number }[] = []
    let done = false
    const publishes = server.call.publish({ ...publishing, perSecond: 0, waits: true }).finally(() => {
      done = true
    })
    while (!done) {
      await pause(SAMPLE_MS)
      const [produced, held] = await Promise.all([server.call.appended(), subscribers.call.held()])
      if (!done) samples.push({ at: performance.now() / 1000, produced, read: held[0]!.seq })
    }
    const { head, heldSeconds } = await publishes
    const half = samples.filter(({ produced }) => produced >= head / 2)
    await subscribers.call.wake([0])
    await subscribers.call.reach([0], head, WAKE_MS)
    const [held] = await subscribers.call.held()
    return {
      producerRate: slope(half.map(({ at, produced }) => ({ x: at, y: produced }))),
      readerRate: slope(half.map(({ at, read }) => ({ x: at, y: read }))),
      heldSeconds,
      complete: held!.received === head && held!.faults === 0,
    }
  })
}
