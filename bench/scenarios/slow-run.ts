/** One run of `slow`: a session is filled while some of its subscribers read slowly or not at all. */
import type { handlers as Crowds } from '../load/crowds.ts'
import type { Held } from '../load/reader.ts'
import type { handlers as Readers } from '../load/readers.ts'
import { dialTwinrail, type Subscribe } from '../peers/dial-twinrail.ts'
import type { Dial } from '../peers/peer.ts'
import type { Published, Publishing, handlers as Server } from '../server/session.ts'
import { startWorker, type Worker } from '../worker.ts'

export type Policy = NonNullable<Subscribe['lag']>

/** What one run is about. */
export interface SlowRun {
  wire: Dial['wire']
  policy: Policy
  /** Subscribers that read at full speed. */
  healthy: number
  /** Paces of the slow ones, bytes a second. */
  paces: readonly number[]
  publishing: Publishing
  flags: readonly string[]
}

export interface SlowRunFound {
  published: Published
  /** Resident bytes once everything was published, with the slow ones still behind. */
  resident: number
  /** Delays of the healthy, ms. */
  p50Ms: number
  p99Ms: number
  /** Every healthy subscriber got every event once, in order. */
  complete: boolean
  /** What the slow ones held in the end, when they had read everything they could get. */
  held: Held[]
}

/** A server with one session, a process of healthy subscribers and one of slow ones. */
export interface Stage {
  server: Worker<typeof Server>
  crowds: Worker<typeof Crowds>
  readers: Worker<typeof Readers>
  dial: Dial
}

/** A stalled write must not end a connection here: what the policies do is what is looked at. */
const STALL_MS = 600_000

/** One of so many healthy subscribers is timed. */
const TIMED_EVERY = 10

/** How long the server may still greet after the last subscriber has come, in ms. */
const GREETING_MS = 700

/** How long the healthy may take for what is on its way, in ms. */
const ARRIVAL_MS = 1000

/** How long a slow one may take to read what was kept for it, in ms. */
const WAKE_MS = 60_000

/** Runs the part on a stage that is cleared afterwards. */
export async function onStage<T>(
  wire: Dial['wire'],
  subscribe: Subscribe,
  flags: readonly string[],
  part: (stage: Stage) => Promise<T>,
): Promise<T> {
  const server = startWorker<typeof Server>('server/session', ['--expose-gc', ...flags])
  const crowds = startWorker<typeof Crowds>('load/crowds')
  const readers = startWorker<typeof Readers>('load/readers')
  try {
    const port = await server.call.open({ stallMs: STALL_MS })
    return await part({ server, crowds, readers, dial: dialTwinrail(wire, port, subscribe) })
  } finally {
    await Promise.all([server, crowds, readers].map(worker => worker.stop()))
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
  return onStage(wire, { lag: policy }, flags, async ({ server, crowds, readers, dial }) => {
    await crowds.call.open([dial], TIMED_EVERY)
    await crowds.call.grow(0, healthy)
    await readers.call.open(dial, paces)
    await pause(GREETING_MS)
    const turns = publishing.events / publishing.perTurn
    await crowds.call.expect({ perTurn: publishing.perTurn, turns })
    const published = await server.call.publish(publishing)
    await pause(ARRIVAL_MS)
    await crowds.call.book([published.due])
    const resident = await server.call.resident()
    const [[p50Ms, p99Ms]] = (await crowds.call.delays([50, 99])) as [[number, number]]
    const [seen] = await crowds.call.seen()
    const all = paces.map((_, index) => index)
    await readers.call.wake(all)
    await readers.call.reach(all, published.head, WAKE_MS)
    const held = await readers.call.held()
    const complete = seen?.faults === 0 && seen.complete === turns
    return { published, resident, p50Ms, p99Ms, complete, held }
  })
}

export const pause = (ms: number) => new Promise<void>(resolve => setTimeout(resolve, ms))
