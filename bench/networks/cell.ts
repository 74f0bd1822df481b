/** One round of one way to connect, through one network. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Worker } from '../worker.ts'
import type { Faults, NetworkLoadHandlers } from './load-process.ts'
import { heldMs, type Profile, type Way } from './profiles.ts'
import type { ProxyHandlers } from './proxy-process.ts'
import type { NetworkServerHandlers } from './server-process.ts'

/** The processes of a run, and the server's ports. */
export interface Parts {
  readonly server: Worker<NetworkServerHandlers>
  readonly proxy: Worker<ProxyHandlers>
  readonly load: Worker<NetworkLoadHandlers>
  readonly ports: { readonly plain: number; readonly tls: number }
}

/** How much of everything a round has. */
export interface Extent {
  /** Cold connects, and cuts. */
  readonly connects: number
  /** Commands after the first one of each connection. */
  readonly commands: number
  /** Events of the paced stretch. */
  readonly paced: number
  /** Whether ten sessions are followed while a piece is lost, and bytes are counted. */
  readonly loses: boolean
}

/** Between two events of the paced stretch, ms. */
export const PACE_MS = 40

/** Events that are missed while a client is cut off. */
export const MISSED = 20

/** Sessions of the client that loses a piece, and what each of them gets: events, and ms between two. */
export const SESSIONS = 10
const SHARED = { events: 20, everyMs: 100, losesAfterMs: 650 }

/** What a round measured; delays in ms. */
export interface CellRound {
  readonly cold: readonly number[]
  readonly resumed: readonly number[]
  readonly firstCommand: readonly number[]
  readonly laterCommand: readonly number[]
  readonly deliver: readonly number[]
  readonly shared?: {
    /** The longest delay among the nine sessions with the lowest ones. */
    readonly others: number
    /** The longest delay of all. */
    readonly longest: number
    /** Sessions that waited for the lost piece. */
    readonly held: number
  }
  /** In both directions. */
  readonly bytes: {
    readonly open: number
    readonly firstCommand: number
    readonly laterCommand: number
    readonly event: number
  }
  /** Events that were due. */
  readonly events: number
  readonly faults: readonly Faults[]
}

let made = 0

/** A number of its own, for clients and sessions. */
const next = () => ++made

/** @param seed of the network's jitter and losses */
export async function measureCell(
  parts: Parts,
  way: Way,
  profile: Profile,
  extent: Extent,
  seed: number,
): Promise<CellRound> {
  const { server, proxy, load, ports } = parts
  const { tls } = way
  const sessionId = `network-${next()}`
  const port = await proxy.call.open(tls ? ports.tls : ports.plain, profile, seed)
  await server.call.create(tls, [sessionId])
  const faults: Faults[] = []
  /** Bytes of a step, with what follows it within a round trip. Bytes are shown of one network only. */
  const bytesOf = async (step: () => Promise<unknown>) => {
    const before = await proxy.call.counted(port)
    await step()
    if (extent.loses) await sleep(profile.roundTripMs * 2 + 50)
    return (await proxy.call.counted(port)) - before
  }
  const open = async (sessionIds: readonly string[]) => {
    const id = next()
    await load.call.make(id, way, port, sessionIds)
    return { id, ms: await load.call.open(id) }
  }

  const cold: number[] = []
  for (let n = 1; n < extent.connects; n++) {
    const { id, ms } = await open([sessionId])
    cold.push(ms)
    faults.push(await load.call.end(id))
  }
  let id = 0
  const bytes = { open: 0, firstCommand: 0, laterCommand: 0, event: 0 }
  bytes.open = await bytesOf(async () => {
    const opened = await open([sessionId])
    id = opened.id
    cold.push(opened.ms)
  })

  const resumed: number[] = []
  const firstCommand: number[] = []
  const laterCommand: number[] = []
  for (let n = 0; n < extent.connects; n++) {
    await load.call.cut(id)
    resumed.push(await load.call.resume(id, await server.call.append(tls, sessionId, MISSED)))
    bytes.firstCommand = await bytesOf(async () => firstCommand.push(...(await load.call.command(id, 1))))
    bytes.laterCommand = await bytesOf(async () =>
      laterCommand.push(...(await load.call.command(id, extent.commands))),
    )
  }
  bytes.laterCommand /= extent.commands

  await load.call.begin(id)
  let deliver: number[] = []
  bytes.event = await bytesOf(async () => {
    const [paced] = await server.call.pace(tls, [sessionId], PACE_MS, extent.paced)
    const { first, times } = paced as { first: number; times: readonly number[] }
    const [arrivals] = await load.call.arrivals(id, [first], extent.paced)
    deliver = times.map((time, n) => ((arrivals?.[n] as number) - time) / 1000)
  })
  bytes.event /= extent.paced
  faults.push(await load.call.end(id))

  const shared = extent.loses ? await loseOne(parts, way, port, profile, faults) : undefined
  await server.call.delete(tls, [sessionId])
  await proxy.call.close(port)
  const [own, commands] = [MISSED * extent.connects, extent.connects * (1 + extent.commands)]
  return {
    cold,
    resumed,
    firstCommand,
    laterCommand,
    deliver,
    ...(shared && { shared }),
    bytes,
    events: own + commands + extent.paced + (shared ? SESSIONS * SHARED.events : 0),
    faults,
  }
}

/** One client follows ten sessions, and a piece that is sent to it is lost. */
async function loseOne(
  { server, proxy, load }: Parts,
  way: Way,
  port: number,
  profile: Profile,
  faults: Faults[],
): Promise<NonNullable<CellRound['shared']>> {
  const id = next()
  const sessionIds = Array.from({ length: SESSIONS }, (_, n) => `network-${id}-${n}`)
  await server.call.create(way.tls, sessionIds)
  await load.call.make(id, way, port, sessionIds)
  await load.call.open(id)
  await load.call.begin(id)
  const { events, everyMs, losesAfterMs } = SHARED
  const pacing = server.call.pace(way.tls, sessionIds, everyMs, events)
  await sleep(losesAfterMs)
  await proxy.call.lose(port)
  const paced = await pacing
  const arrivals = await load.call.arrivals(
    id,
    paced.map(({ first }) => first),
    events,
  )
  faults.push(await load.call.end(id))
  await server.call.delete(way.tls, sessionIds)
  const longest = paced
    .map(({ times }, session) =>
      Math.max(...times.map((time, n) => ((arrivals[session]?.[n] as number) - time) / 1000)),
    )
    .sort((a, b) => a - b)
  const waits = profile.roundTripMs / 2 + heldMs(profile) / 2
  return {
    others: longest[SESSIONS - 2] as number,
    longest: longest[SESSIONS - 1] as number,
    held: longest.filter(ms => ms > waits).length,
  }
}
