/** One run of `slow`: fills a session while some of its subscribers read slowly or not at all. */
import type { handlers as Subscribers } from '../load/subscriber-process.ts'
import type { Held, handlers as TextSubscribers } from '../load/text-subscriber-process.ts'
import { dialTwinrail, type Subscribe } from '../peers/dial-twinrail.ts'
import type { Dial } from '../peers/peer.ts'
import type { Published, Publishing, handlers as Server } from '../server/session.ts'
import { startWorker, type Worker } from '../worker.ts'

export type Policy = NonNullable<Subscribe['lag']>

/** Options of one run. */
export interface SlowRun {
  wire: Dial['wire']
  policy: Policy
  /** Subscribers that read at full speed. */
  healthy: number
  /** Paces of the slow subscribers, bytes per second. */
  paces: readonly number[]
  publishing: Publishing
  flags: readonly string[]
}

export interface SlowRunFound {
  published: Published
  /** Resident bytes when everything is published and the slow subscribers are still behind. */
  resident: number
  /** Delays of the healthy, ms. */
  p50Ms: number
  p99Ms: number
  /** Every healthy subscriber got every event once, in order. */
  complete: boolean
  /** What the slow subscribers had received after reading everything that they could get. */
  held: Held[]
}

/** A server with one session, a process with healthy subscribers and one with slow subscribers. */
export interface Stage {
  server: Worker<typeof Server>
  healthySubscribers: Worker<typeof Subscribers>
  subscribers: Worker<typeof TextSubscribers>
  dial: Dial
}

/** Long enough that stalled writes do not end a connection: only the lag policies are measured. */
const STALL_MS = 600_000

/** Every how many healthy subscribers one is timed. */
const TIMED_EVERY = 10

/** Time for the server's greetings after the last subscriber, ms. */
const GREETING_MS = 700

/** Time for the healthy subscribers to receive the last events, ms. */
const ARRIVAL_MS = 1000

/** Longest time for slow subscribers to read what was kept for them, ms. */
const WAKE_MS = 120_000

/** Runs the part on a stage of its own, and stops the processes afterwards. */
export async function onStage<T>(
  wire: Dial['wire'],
  subscribe: Subscribe,
  flags: readonly string[],
  part: (stage: Stage) => Promise<T>,
): Promise<T> {
  const server = startWorker<typeof Server>('server/session', ['--expose-gc', ...flags])
  const healthySubscribers = startWorker<typeof Subscribers>('load/subscriber-process')
  const subscribers = startWorker<typeof TextSubscribers>('load/text-subscriber-process')
  try {
    const port = await server.call.open({ stallMs: STALL_MS })
    return await part({ server, healthySubscribers, subscribers, dial: dialTwinrail(wire, port, subscribe) })
  } finally {
    await Promise.all([server, healthySubscribers, subscribers].map(worker => worker.stop()))
  }
}

export async function slowRun({
  wire,
  policy,
  healthy,
  paces,
  publishing,
  flags,
}: SlowRun): Promise<SlowRunFound> {
  return onStage(wire, { lag: policy }, flags, async ({ server, healthySubscribers, subscribers, dial }) => {
    await healthySubscribers.call.open([dial], TIMED_EVERY)
    await healthySubscribers.call.grow(0, healthy)
    await subscribers.call.open(dial, paces)
    await pause(GREETING_MS)
    const turns = publishing.events / publishing.perTurn
    await healthySubscribers.call.expect({ perTurn: publishing.perTurn, turns })
    const published = await server.call.publish(publishing)
    await pause(ARRIVAL_MS)
    await healthySubscribers.call.recordDelays([published.due])
    const resident = await server.call.resident()
    const [[p50Ms, p99Ms]] = (await healthySubscribers.call.delays([50, 99])) as [[number, number]]
    const [seen] = await healthySubscribers.call.seen()
    const all = paces.map((_, index) => index)
    await subscribers.call.wake(all)
    await subscribers.call.reach(all, published.head, WAKE_MS)
    const held = await subscribers.call.held()
    const complete = seen?.faults === 0 && seen.complete === turns
    return { published, resident, p50Ms, p99Ms, complete, held }
  })
}

export const pause = (ms: number) => new Promise<void>(resolve => setTimeout(resolve, ms))
