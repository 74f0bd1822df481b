/** What compression saves when its shared history is interrupted again and again. */
import type { handlers as Load } from '../load/subscriber-process.ts'
import { dialTwinrail } from '../peers/dial-twinrail.ts'
import type { handlers as Server } from '../server/session.ts'
import { startWorker } from '../worker.ts'
import { pause } from './slow-run.ts'

const wires = ['sse', 'websocket'] as const

export interface BusyFound {
  joins: number
  wires: { wire: string; bytes: number; plain: number; complete: boolean }[]
}

/** Subscribers of each kind. */
const SUBSCRIBERS = 50

/** Events (and turns) per second, as tokens come. */
const PER_SECOND = 50

/** Turns between two silences. */
const TURNS = 150

/** Interval between joins, ms, and the events that each joiner catches up on. */
const JOIN_MS = 1000
const LAST = 20

/** Silence until a ping, ms, and the length of the silences, which bring one. */
const HEARTBEAT_MS = 1000
const SILENCE_MS = 1500

/** Plain and compressed subscribers of one session, while others join and leave and silences bring pings. */
export async function busy(rounds: number): Promise<BusyFound> {
  const server = startWorker<typeof Server>('server/session')
  const load = startWorker<typeof Load>('load/subscriber-process')
  try {
    const port = await server.call.open({ compression: true })
    const kinds = wires.flatMap(wire => [false, true].map(compressed => ({ wire, compressed })))
    const dials = kinds.map(({ wire, compressed }) =>
      dialTwinrail(wire, port, { heartbeatMs: HEARTBEAT_MS }, compressed),
    )
    await load.call.open(dials, SUBSCRIBERS)
    for (const index of dials.keys()) await load.call.grow(index, SUBSCRIBERS)
    await pause(SILENCE_MS)
    await load.call.expect({ perTurn: 1, turns: TURNS * rounds })
    for (const wire of wires) {
      await load.call.startShortLived(dialTwinrail(wire, port, { last: LAST }, true), JOIN_MS)
    }
    for (let round = 0; round < rounds; round++) {
      await server.call.publish({ events: TURNS, messages: 1, perTurn: 1, perSecond: PER_SECOND })
      await pause(SILENCE_MS)
      await load.call.pong()
    }
    const seen = await load.call.seen()
    const came = await load.call.endShortLived()
    const events = TURNS * rounds * SUBSCRIBERS
    const of = (wire: string, compressed: boolean) =>
      seen[kinds.findIndex(kind => kind.wire === wire && kind.compressed === compressed)]!
    return {
      joins: came.reduce((sum, { joins }) => sum + joins, 0),
      wires: wires.map((wire, index) => ({
        wire,
        bytes: of(wire, true).bytes / events,
        plain: of(wire, false).bytes / events,
        complete: [true, false].every(compressed => {
          const { faults, complete } = of(wire, compressed)
          return faults + came[index]!.faults === 0 && complete === TURNS * rounds
        }),
      })),
    }
  } finally {
    await Promise.all([load.stop(), server.stop()])
  }
}
