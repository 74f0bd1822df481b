/** Times the delivery of events to the subscribers of a load process. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Expected } from '../load/subscriber-group.ts'
import type { handlers as Subscribers } from '../load/subscriber-process.ts'
import type { P50P99 } from '../server/log.ts'
import type { Worker } from '../worker.ts'

/** What a group of subscribers received. */
export interface Delivery {
  /** Every subscriber got every event once, in order. */
  readonly complete: boolean
  readonly delays: P50P99
}

/** Longest wait for the last event, ms. Generous: a slow machine must not look like a broken server. */
const ARRIVAL_MS = 60_000

/**
 * Times the turns that `publish` publishes, until every subscriber has them.
 * @param publish gives when each turn was due, µs on the machine's clock, the groups in their order; undefined: not timed
 * @returns the groups in their order
 */
export async function timeDelivery(
  load: Worker<typeof Subscribers>,
  expected: Expected,
  publish: () => Promise<readonly (Float64Array | undefined)[]>,
): Promise<Delivery[]> {
  await load.call.expect(expected)
  await load.call.forgetDelays()
  const due = await publish()
  const complete = await arrived(load, expected.turns)
  await load.call.recordDelays(due)
  const delays = (await load.call.delays([50, 99])) as [number, number][]
  return delays.map((delays, group) => ({ complete: complete[group] === true, delays }))
}

/** Waits for all turns. @returns for each group whether it has every event once, in order */
export async function arrived(load: Worker<typeof Subscribers>, turns: number): Promise<boolean[]> {
  for (const until = performance.now() + ARRIVAL_MS; ; ) {
    const seen = (await load.call.seen()).map(({ faults, complete }) => faults === 0 && complete === turns)
    if (seen.every(Boolean) || performance.now() > until) return seen
    await sleep(20)
  }
}
