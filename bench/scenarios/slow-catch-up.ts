/** The part of `slow` about subscribers that have read nothing for long and then catch up. */
import type { Dial } from '../peers/peer.ts'
import type { Publishing } from '../server/session.ts'
import { READ_MS, withProcesses } from './slow-run.ts'

/** The server's cost of subscribers that catch up, by round. */
export interface CaughtUp {
  /** CPU until a single one had caught up, ms. */
  readonly oneMs: number[]
  /** CPU until many that began to read together had caught up, ms. */
  readonly manyMs: number[]
  /** All of them have the exact text. */
  exact: boolean
}

/** Compares the cost of one subscriber with that of `many`, round by round, each on a server of its own. */
export async function catchUp(
  wire: Dial['wire'],
  many: number,
  publishing: Publishing,
  rounds: number,
  flags: readonly string[],
): Promise<CaughtUp> {
  const found: CaughtUp = { oneMs: [], manyMs: [], exact: true }
  for (let round = 0; round < rounds; round++) {
    const one = await catchUpTogether(wire, 1, publishing, flags)
    const all = await catchUpTogether(wire, many, publishing, flags)
    found.oneMs.push(one.cpuMs)
    found.manyMs.push(all.cpuMs)
    found.exact &&= one.exact && all.exact
  }
  return found
}

/**
 * Publishes to subscribers that read nothing, and then lets them read. Nothing is folded before that: only one subscriber that
 * is not counted, for which the code is compiled, reads an earlier part.
 */
async function catchUpTogether(
  wire: Dial['wire'],
  count: number,
  publishing: Publishing,
  flags: readonly string[],
): Promise<{ cpuMs: number; exact: boolean }> {
  return withProcesses(wire, flags, async ({ server, slow, dial }) => {
    let begin = 0
    const publishAndRead = async (indexes: readonly number[]) => {
      const paces = indexes.map(() => 0)
      await slow.call.open(dial({ lag: 'conflate' }), paces, begin)
      const { head, text } = await server.call.publish({ ...publishing, perSecond: 0 })
      begin = head
      const before = await server.call.cpu()
      await slow.call.wake(indexes)
      await slow.call.reach(indexes, head, READ_MS)
      const cpuMs = ((await server.call.cpu()) - before) / 1000
      const all = await slow.call.held()
      const held = indexes.map(index => all[index]!)
      return { cpuMs, exact: held.every(one => one.seq === head && one.faults === 0 && one.text === text) }
    }
    await publishAndRead([0])
    return publishAndRead(Array.from({ length: count }, (_, i) => i + 1))
  })
}
