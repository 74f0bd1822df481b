/** What compression saves when its shared history is interrupted again and again. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { handlers as Load } from '../load/subscriber-process.ts'
import { dialTwinrail } from '../peers/dial-twinrail.ts'
import { wires } from '../peers/peer.ts'
import type { handlers as Server } from '../server/session.ts'
import { startWorker } from '../worker.ts'
import { arrived } from './delivery.ts'

export interface Interrupted {
  joins: number
  wires: { wire: string; bytes: number; plain: number; complete: boolean }[]
}

/** Subscribers of each kind. */
const SUBSCRIBERS = 50

/** Events (and turns) per second, as tokens come. */
const PER_SECOND = 50

/** Turns between two silences. */
const TURNS = 150

/** Interval between joins, ms, and the events that each new subscriber catches up on. */
const JOIN_MS = 1000
const LAST = 20

/**
 * Silence until a ping, ms, and the length of the silences, which bring one. Generous: after three heartbeats without a pong a
 * client is taken for dead, and a slow machine must not look like one.
 */
const HEARTBEAT_MS = 5000
const SILENCE_MS = 6000

/** Sends to plain and compressed subscribers of one session, while others join and leave and silences bring pings. */
export async function interrupted(rounds: number): Promise<Interrupted> {
  await using server = startWorker<typeof Server>('server/session')
  await using load = startWorker<typeof Load>('load/subscriber-process')
  const port = await server.call.open({ compression: true })
  const kinds = wires.flatMap(wire => [false, true].map(compressed => ({ wire, compressed })))
  const dials = kinds.map(({ wire, compressed }) =>
    dialTwinrail(wire, port, { heartbeatMs: HEARTBEAT_MS }, compressed),
  )
  // None of them is timed but the first.
  await load.call.open(dials, SUBSCRIBERS, SUBSCRIBERS)
  await load.call.pongEvery(HEARTBEAT_MS)
  await sleep(SILENCE_MS)
  await load.call.expect({ perTurn: 1, turns: TURNS * rounds })
  for (const wire of wires) {
    await load.call.startShortLived(dialTwinrail(wire, port, { last: LAST }, true), JOIN_MS)
  }
  for (let round = 0; round < rounds; round++) {
    await server.call.publish({ events: TURNS, messages: 1, perTurn: 1, perSecond: PER_SECOND })
    await sleep(SILENCE_MS)
  }
  const complete = await arrived(load, TURNS * rounds)
  const seen = await load.call.seen()
  const came = await load.call.endShortLived()
  const events = TURNS * rounds * SUBSCRIBERS
  const indexOf = (wire: string, compressed: boolean) =>
    kinds.findIndex(kind => kind.wire === wire && kind.compressed === compressed)
  return {
    joins: came.reduce((sum, { joins }) => sum + joins, 0),
    wires: wires.map((wire, index) => ({
      wire,
      bytes: seen[indexOf(wire, true)]!.bytes / events,
      plain: seen[indexOf(wire, false)]!.bytes / events,
      complete:
        came[index]!.faults === 0 && [true, false].every(compressed => complete[indexOf(wire, compressed)]),
    })),
  }
}
