/** `replay`: the cost of joining a long session late. */
import type { Held, handlers as TextSubscribers } from '../load/text-subscriber-process.ts'
import { dialTwinrail } from '../peers/dial-twinrail.ts'
import { type Dial, wires } from '../peers/peer.ts'
import { type Aim, type Check, quartiles } from '../report.ts'
import type { handlers as Server } from '../server/session.ts'
import { type Spread, spread } from '../stats.ts'
import { startWorker } from '../worker.ts'
import { nodeFlags, type Scenario } from './scenario.ts'

const MB = 1e6
const replays = ['compact', 'full'] as const

/** Longest time for a subscriber to read the session, ms. */
const READ_MS = 120_000

/** Late subscribers of one transport and kind of replay. */
interface Joined {
  wire: Dial['wire']
  replay: (typeof replays)[number]
  /** From connecting to `caught-up`, ms, of several subscribers one after the other. */
  liveMs: Spread
  /** The same of the first one, for which nothing is cached yet. */
  firstMs: number
  bytes: number
  exact: boolean
}

export const replay: Scenario = async (settings, progress) => {
  const { quick, rounds = quick ? 3 : 15 } = settings
  const publishing = { events: 100_000, messages: 50, perTurn: 100, perSecond: 0 }
  await using server = startWorker<typeof Server>('server/session', nodeFlags(settings))
  const port = await server.call.open({})
  progress.at(0, 'filling the session')
  const { head, text } = await server.call.publish(publishing)
  const bytes = await server.call.jsonBytes()
  const all: Joined[] = []
  const kinds = wires.flatMap(wire => replays.map(replay => ({ wire, replay })))
  for (const [index, { wire, replay }] of kinds.entries()) {
    progress.at(index / kinds.length, `${wire}, ${replay}`)
    const { ms, bytes, held } = await joinRepeatedly(dialTwinrail(wire, port, { replay }), rounds, head)
    const { seq, faults, skipped } = held
    const exact = seq === head && held.text === text && faults === 0 && skipped === 0
    all.push({ wire, replay, liveMs: spread(ms), firstMs: ms[0] as number, bytes, exact })
  }
  return {
    scenario: 'replay',
    settings: { ...publishing, rounds, jsonBytes: bytes },
    tables: [
      {
        title: `Joining late: ${head} events in ${publishing.messages} messages, ${(bytes / MB).toFixed(1)} MB of JSON`,
        columns: [
          '',
          'MB sent',
          'live after ms',
          'quartiles',
          'first ms',
          'ms per MB of session',
          'ms per MB sent',
        ],
        rows: all.map(({ wire, replay, liveMs, firstMs, bytes: sent }) => [
          `${wire}, ${replay}`,
          sent / MB,
          liveMs.median,
          quartiles(liveMs),
          firstMs,
          liveMs.median / (bytes / MB),
          liveMs.median / (sent / MB),
        ]),
      },
    ],
    aims: aimsOf(all, bytes),
    checks: all.map(
      ({ wire, replay, exact }): Check => ({
        what: `${wire}, ${replay}: holds the exact text, without a hole`,
        holds: exact,
      }),
    ),
    notes: [
      'live: from connecting to caught-up, one subscriber after the other, on raw sockets that parse nothing',
      'MB of session: UTF-8 bytes of its events’ JSON as `full` sends it, without framing',
    ],
  }
}

function aimsOf(all: readonly Joined[], jsonBytes: number): Aim[] {
  const sent = (wire: Dial['wire'], replay: Joined['replay']) =>
    all.find(joined => joined.wire === wire && joined.replay === replay)!.bytes
  return [
    ...wires.map(wire => ({
      what: `${wire}: bytes of compact : full`,
      limit: 0.05,
      measured: sent(wire, 'compact') / sent(wire, 'full'),
    })),
    ...all.map(({ wire, replay, liveMs }) => ({
      what: `${wire}, ${replay}: live, per MB of session`,
      limit: 100,
      measured: liveMs.median / (jsonBytes / MB),
      unit: ' ms',
    })),
  ]
}

/** Lets subscribers join one after the other, and then one that reads and checks everything. @param head last event */
export async function joinRepeatedly(
  dial: Dial,
  rounds: number,
  head: number,
): Promise<{ ms: number[]; bytes: number; held: Held }> {
  await using load = startWorker<typeof TextSubscribers>('load/text-subscriber-process')
  const ms: number[] = []
  let bytes = 0
  for (let round = 0; round < rounds; round++) {
    const joined = await load.call.join(dial)
    ms.push(joined.ms)
    bytes = joined.bytes
  }
  await load.call.open({ ...dial, readyAfter: '"subscribed"' }, [Infinity])
  await load.call.reach([0], head, READ_MS)
  const [held] = await load.call.held()
  return { ms, bytes, held: held as Held }
}
