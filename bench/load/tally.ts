/** What came of a phase: every event at every client, once, in order and in time, or what is wrong with it. */
import type { Step } from '../workloads/workload.ts'
import type { Audience } from './audience.ts'
import { DelayRound } from './delays.ts'

/** What was delivered, summed over clients. */
export interface PhaseCounts {
  expected: number
  delivered: number
  lost: number
  doubled: number
  outOfOrder: number
  failedConnections: number
  offeredPerSecond: number
  achievedPerSecond: number
}

/** A phase as it was played; times in µs. */
export interface Played {
  readonly steps: readonly Step[]
  /** When each step was due and really begun. */
  readonly due: Float64Array
  readonly sent: Float64Array
  /** Number of each step's event; 0 where there is none. */
  readonly seqs: Int32Array
  /** Number of each session's last event before and after it. */
  readonly before: readonly number[]
  readonly after: readonly number[]
  readonly ms: number
  /** What came later than this is not in time. */
  readonly until: number
}

export interface Tally {
  readonly counts: Omit<PhaseCounts, 'failedConnections'>
  readonly deliver: DelayRound
  readonly deliverFromSend: DelayRound
}

export function tally({ hearsEphemeral, followers, healthy }: Audience, played: Played): Tally {
  const { steps, due, sent, seqs, before, after, until } = played
  const deliver = new DelayRound()
  const deliverFromSend = new DelayRound()
  let [expected, delivered, inTime] = [0, 0, 0]
  const book = (at: number | undefined, step: number) => {
    expected++
    if (!at) return
    delivered++
    if (at <= until) inTime++
    deliver.record(at - (due[step] as number))
    deliverFromSend.record(at - (sent[step] as number))
  }
  const planned = before.map(() => 0)
  for (const [index, { session, cue }] of steps.entries()) {
    if (cue.ephemeral) {
      if (!hearsEphemeral) continue
      for (const { client } of followers(session)) book(client.ephemeral.get(index), index)
    } else {
      planned[session]!++
      const seq = seqs[index] as number
      for (const { track } of followers(session)) book(seq === 0 ? undefined : track.at(seq), index)
    }
  }
  // What nobody has planned was appended twice.
  const surplus = sum([...after.keys()], session => {
    const more = (after[session] as number) - (before[session] as number) - (planned[session] as number)
    return Math.max(0, more) * followers(session).length
  })
  const tracks = healthy.flatMap(client => client.tracks)
  const seconds = played.ms / 1000
  return {
    deliver,
    deliverFromSend,
    counts: {
      expected,
      delivered,
      lost: expected - delivered,
      doubled:
        surplus +
        sum(tracks, ({ doubled }) => doubled) +
        sum(healthy, ({ doubledEphemeral }) => doubledEphemeral),
      outOfOrder: sum(tracks, ({ outOfOrder }) => outOfOrder),
      offeredPerSecond: expected / seconds,
      achievedPerSecond: inTime / seconds,
    },
  }
}

/** Whether everything has come that will come. */
export function isComplete(
  { followers, hearsEphemeral, healthy }: Audience,
  { steps, after }: Pick<Played, 'steps' | 'after'>,
): boolean {
  const isCurrent = after.every((head, session) => followers(session).every(({ track }) => track.seq >= head))
  if (!isCurrent || !hearsEphemeral) return isCurrent
  const told = steps.filter(({ cue }) => cue.ephemeral)
  return (
    sum(healthy, ({ ephemeral }) => ephemeral.size) >= sum(told, ({ session }) => followers(session).length)
  )
}

const sum = <T>(items: readonly T[], of: (item: T) => number) =>
  items.reduce((total, item) => total + of(item), 0)
