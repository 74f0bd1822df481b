/** Counts what a phase delivered: every event at every client, once, in order and in time, or as a fault. */
import type { Step, Workload } from '../workloads/workload.ts'
import type { Client } from './client.ts'
import { DelayRound } from './delays.ts'
import type { DeliveryLog } from './delivery-log.ts'

/** The clients of a cell. */
export interface ConnectedClients {
  readonly workload: Workload
  /** Start of the names of its sessions. */
  readonly prefix: string
  readonly all: readonly Client[]
  /** Those that read at full speed; only their deliveries are counted. */
  readonly healthy: readonly Client[]
  /** The healthy followers of a session, and what they have received of it. */
  followers(session: number): readonly { client: Client; deliveries: DeliveryLog }[]
  /** Ephemeral events reach them: those go to live streams only, not to long-poll. */
  readonly getsEphemeral: boolean
}

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
  /** When each step was due and when it was really sent. */
  readonly due: Float64Array
  readonly sent: Float64Array
  /** Number of each step's event; 0 where there is none. */
  readonly seqs: Int32Array
  /** Number of each session's last event before and after it. */
  readonly before: readonly number[]
  readonly after: readonly number[]
  readonly ms: number
  /** Later arrivals are not in time. */
  readonly until: number
}

export interface Delivered {
  readonly counts: Omit<PhaseCounts, 'failedConnections'>
  readonly deliver: DelayRound
  readonly deliverFromSend: DelayRound
}

export function countDeliveries(
  { getsEphemeral, followers, healthy }: ConnectedClients,
  played: Played,
): Delivered {
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
      if (!getsEphemeral) continue
      for (const { client } of followers(session)) book(client.ephemeral.get(index), index)
    } else {
      planned[session]!++
      const seq = seqs[index] as number
      for (const { deliveries } of followers(session)) book(seq === 0 ? undefined : deliveries.at(seq), index)
    }
  }
  // Events beyond those planned were appended twice.
  const surplus = sum([...after.keys()], session => {
    const more = (after[session] as number) - (before[session] as number) - (planned[session] as number)
    return Math.max(0, more) * followers(session).length
  })
  const logs = healthy.flatMap(client => client.deliveries)
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
        sum(logs, ({ doubled }) => doubled) +
        sum(healthy, ({ doubledEphemeral }) => doubledEphemeral),
      outOfOrder: sum(logs, ({ outOfOrder }) => outOfOrder),
      offeredPerSecond: expected / seconds,
      achievedPerSecond: inTime / seconds,
    },
  }
}

/** Whether every event has arrived. */
export function isComplete(
  { followers, getsEphemeral, healthy }: ConnectedClients,
  { steps, after }: Pick<Played, 'steps' | 'after'>,
): boolean {
  const isCurrent = after.every((head, session) =>
    followers(session).every(({ deliveries }) => deliveries.seq >= head),
  )
  if (!isCurrent || !getsEphemeral) return isCurrent
  const ephemeral = steps.filter(({ cue }) => cue.ephemeral)
  return (
    sum(healthy, client => client.ephemeral.size) >=
    sum(ephemeral, ({ session }) => followers(session).length)
  )
}

const sum = <T>(items: readonly T[], of: (item: T) => number) =>
  items.reduce((total, item) => total + of(item), 0)
