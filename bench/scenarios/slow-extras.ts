/** Two measurements of `slow` that are runs of their own: many laggards that wake up, and a producer that waits. */
import type { Dial } from '../peers/peer.ts'
import type { Publishing } from '../server/session.ts'
import { slope } from '../stats.ts'
import { onStage, pause } from './slow-run.ts'

/** What it costs the server when laggards wake up. */
export interface WakeFound {
  /** CPU until one was there, ms: the mean of one before and one after the many. */
  oneMs: number
  /** CPU until all of the many were there, ms. */
  manyMs: number
  /** All of them held the exact text. */
  exact: boolean
}

/** How long laggards may take to catch up, in ms. */
const WAKE_MS = 120_000

/**
 * Publishes to laggards that read nothing, then wakes one that does not count (code is compiled), one, the many
 * together, and one more. The kept pages are fewer than the backlog, so each time begins without them.
 */
export async function wake(
  wire: Dial['wire'],
  many: number,
  publishing: Publishing,
  flags: readonly string[],
): Promise<WakeFound> {
  return onStage(wire, { lag: 'conflate' }, flags, async ({ server, readers, dial }) => {
    await readers.call.open(
      dial,
      Array.from({ length: many + 3 }, () => 0),
    )
    const { head, text } = await server.call.publish({ ...publishing, perSecond: 0 })
    const cost = async (indexes: number[]) => {
      const before = await server.call.cpu()
      await readers.call.wake(indexes)
      await readers.call.reach(indexes, head, WAKE_MS)
      return ((await server.call.cpu()) - before) / 1000
    }
    await cost([0])
    const before = await cost([1])
    const manyMs = await cost(Array.from({ length: many }, (_, i) => i + 2))
    const after = await cost([many + 2])
    const held = await readers.call.held()
    const exact = held.every(one => one.seq === head && one.faults === 0 && one.text === text)
    return { oneMs: (before + after) / 2, manyMs, exact }
  })
}

/** How a producer fares whose slowest subscriber makes it wait. */
export interface WaitFound {
  /** Events per second in the second half, when what the kernel keeps is full. */
  producerRate: number
  readerRate: number
  heldSeconds: number
  /** The reader got every event, whole. */
  complete: boolean
}

/** How often producer and reader are looked at, in ms. */
const LOOK_MS = 100

/** Publishes as fast as it may while one subscriber, whose events are not folded, reads at `pace` bytes a second. */
export async function waitFor(
  wire: Dial['wire'],
  pace: number,
  publishing: Publishing,
  flags: readonly string[],
): Promise<WaitFound> {
  return onStage(wire, { lag: 'wait', replay: 'full' }, flags, async ({ server, readers, dial }) => {
    await readers.call.open(dial, [pace])
    const looks: { at: number; produced: number; read: number }[] = []
    let done = false
    const publishes = server.call.publish({ ...publishing, perSecond: 0, waits: true }).finally(() => {
      done = true
    })
    while (!done) {
      await pause(LOOK_MS)
      const [produced, held] = await Promise.all([server.call.appended(), readers.call.held()])
      if (!done) looks.push({ at: performance.now() / 1000, produced, read: held[0]!.seq })
    }
    const { head, heldSeconds } = await publishes
    const half = looks.filter(({ produced }) => produced >= head / 2)
    await readers.call.wake([0])
    await readers.call.reach([0], head, WAKE_MS)
    const [held] = await readers.call.held()
    return {
      producerRate: slope(half.map(({ at, produced }) => ({ x: at, y: produced }))),
      readerRate: slope(half.map(({ at, read }) => ({ x: at, y: read }))),
      heldSeconds,
      complete: held!.received === head && held!.faults === 0,
    }
  })
}
