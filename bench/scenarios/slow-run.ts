/** One run of `slow`: fills a session while some of its subscribers read slowly or not at all. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { handlers as Subscribers } from '../load/subscriber-process.ts'
import type { Held, handlers as TextSubscribers } from '../load/text-subscriber-process.ts'
import { dialTwinrail, type Subscribe } from '../peers/dial-twinrail.ts'
import type { Dial } from '../peers/peer.ts'
import type { Published, Publishing, handlers as Server } from '../server/session.ts'
import { startWorker, type Worker } from '../worker.ts'
import { type Delivery, timeDelivery } from './delivery.ts'

export type Policy = NonNullable<Subscribe['lag']>

/** Options of one run. */
interface SlowRunOptions {
  readonly wire: Dial['wire']
  readonly policy: Policy
  /** Number of healthy subscribers: they read at full speed. */
  readonly healthy: number
  /** Paces of the slow subscribers, bytes per second. */
  readonly paces: readonly number[]
  readonly publishing: Publishing
  readonly flags: readonly string[]
}

export interface SlowRun {
  readonly published: Published
  /** Resident bytes when everything is published and the slow subscribers are still behind. */
  readonly resident: number
  /** To the healthy subscribers. */
  readonly delivery: Delivery
  /** What the slow subscribers had received after reading everything that they could get. */
  readonly held: readonly Held[]
}

/** A server with one session, a process with healthy subscribers and one with slow subscribers. */
interface Processes {
  readonly server: Worker<typeof Server>
  readonly healthy: Worker<typeof Subscribers>
  readonly slow: Worker<typeof TextSubscribers>
  /** How to subscribe to the session. */
  dial(subscribe: Subscribe): Dial
}

/** Long enough that stalled writes do not end a connection: only the lag policies are measured. */
const STALL_MS = 600_000

/** Every how many healthy subscribers one is timed. */
const TIMED_EVERY = 10

/** Time for the server's greetings after the last subscriber, ms. */
const GREETING_MS = 700

/** Longest time for slow subscribers to read what was kept for them, ms. */
export const READ_MS = 120_000

/** Runs the part with processes of its own. */
export async function withProcesses<T>(
  wire: Dial['wire'],
  flags: readonly string[],
  part: (processes: Processes) => Promise<T>,
): Promise<T> {
  await using server = startWorker<typeof Server>('server/session', ['--expose-gc', ...flags])
  await using healthy = startWorker<typeof Subscribers>('load/subscriber-process')
  await using slow = startWorker<typeof TextSubscribers>('load/text-subscriber-process')
  const port = await server.call.open({ stallMs: STALL_MS })
  return await part({ server, healthy, slow, dial: subscribe => dialTwinrail(wire, port, subscribe) })
}

export async function slowRun(options: SlowRunOptions): Promise<SlowRun> {
  const { wire, policy, paces, publishing, flags } = options
  return withProcesses(wire, flags, async ({ server, healthy, slow, dial }) => {
    // The policy is for the slow ones: on a slow machine it would also end or skip healthy ones.
    await healthy.call.open([dial({})], options.healthy, TIMED_EVERY)
    await slow.call.open(dial({ lag: policy }), paces)
    await sleep(GREETING_MS)
    const { perTurn } = publishing
    let published!: Published
    const [delivery] = await timeDelivery(
      healthy,
      { perTurn, turns: publishing.events / perTurn },
      async () => {
        published = await server.call.publish(publishing)
        return [published.due]
      },
    )
    const resident = await server.call.resident()
    const all = paces.map((_, index) => index)
    await slow.call.wake(all)
    await slow.call.reach(all, published.head, READ_MS)
    return { published, resident, delivery: delivery!, held: await slow.call.held() }
  })
}
