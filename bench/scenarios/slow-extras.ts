/** Two measurements of `slow` that are runs of their own: many laggards that wake up, and a producer that waits. */
import type { Dial } from '../peers/peer.ts'
import type { Publishing } from '../server/session.ts'
import { slope } from '../stats.ts'
import { onStage, pause } from './slow-run.ts'

/** What it costs the server when laggards wake up. */
export interface WakeFound {
  /** CPU until one that woke up alone was there, ms, by round. */
  oneMs: number[]
  /** CPU until all of many that woke up together were there, ms, by round. */
  manyMs: number[]
  /** All of them held the exact text. */
  exact: boolean
}

/** How long laggards may take to catch up, in ms. */
const WAKE_MS = 120_000

/** Compares what one laggard costs that wakes up with what `many` cost, round by round, each on a server of its own. */
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
 * Publishes to laggards that read nothing and then wakes them. Nothing that is folded for them was folded before: only
 * one that does not count, for whom the code is compiled, reads what is published first.
 */
async function wakeTogether(
  wire: Dial['wire'],
  laggards: number,
  publishing: Publishing,
  flags: readonly string[],
): Promise<{ cpuMs: number; exact: boolean }> {
  return onStage(wire, { lag: 'conflate' }, flags, async ({ server, readers, dial }) => {
    let begin = 0
    const catchUp = async (indexes: readonly number[]) => {
      await readers.call.open(
        dial,
        indexes.map(() => 0),
        begin,
      )
      const { head, text } = await server.call.publish({ ...publishing, perSecond: 0 })
      begin = head
      const before = await server.call.cpu()
      await readers.call.wake(indexes)
      await readers.call.reach(indexes, head, WAKE_MS)
      const cpuMs = ((await server.call.cpu()) - before) / 1000
      const all = await readers.call.held()
      const held = indexes.map(index => all[index]!)
      return { cpuMs, exact: held.every(one => one.seq === head && one.faults === 0 && one.text === text) }
    }
    await catchUp([0])
    return catchUp(Array.from({ length: laggards }, (_, i) => i + 1))
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
