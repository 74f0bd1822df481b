/** Arguments and results of the script `append`. */
import type { AppendConditions, Appended } from '../log.ts'

export interface Sender {
  /** ms since 1970, or '' for Redis's own time. */
  readonly now: string
  /** Epoch of the session if it is to be created when missing; otherwise ''. */
  readonly fresh: string
  /** Id of this process, which ignores its own hints. */
  readonly node: string
  readonly channel: string
  /** Time until which each lease must be taken, by Redis's clock, in ms. */
  readonly takenBy: readonly number[]
  /** The log has no room for the append. */
  readonly isOver: boolean
}

/** The script's answer when the log has no room for what the append would add. */
export const OVER_LIMIT = 'over-limit'

/** The script's answer when a lease is taken too late after it was announced: announce it again. */
export const UNANNOUNCED = 'unannounced'

/** The flat list of arguments, in the order in which the script reads them. */
export function appendArguments(
  texts: readonly string[],
  {
    epoch,
    createdBy,
    once = [],
    absent = [],
    leases = [],
    release = [],
    producer,
    opens = [],
    metadata,
  }: AppendConditions,
  { now, fresh, node, channel, takenBy, isOver }: Sender,
): string[] {
  const flat: (string | number)[] = [
    now,
    fresh,
    createdBy ?? '',
    epoch ?? '',
    node,
    channel,
    isOver ? 1 : 0,
    metadata ? JSON.stringify(metadata.from) : '',
    metadata ? JSON.stringify(metadata.to) : '',
    once.length,
  ]
  for (const { key, index = 0, ttlMs, note } of once) flat.push(key, index, ttlMs ?? '', noteText(note))
  flat.push(absent.length, ...absent, leases.length)
  for (const [i, { runId, token, ttlMs, from, fromLive }] of leases.entries()) {
    flat.push(runId, token, ttlMs, from ?? '', fromLive ? 1 : 0, takenBy[i] as number)
  }
  flat.push(release.length, ...release, producer?.id ?? '', producer?.seq ?? 0, opens.length)
  for (const { tally, index = 0, until, max, size = 0, maxSize, group, maxInGroup } of opens) {
    flat.push(
      tally,
      index,
      max,
      size,
      maxSize ?? '',
      group === undefined ? '' : `=${group}`,
      maxInGroup ?? '',
    )
    flat.push(until.length, ...until)
  }
  return [...flat.map(String), ...texts]
}

/** Number of texts that an accepted call appended: fewer than given when a producer repeated events. */
export function addedOf(answer: readonly string[]): number {
  return Number(answer[4] ?? 0)
}

/** When the session became active, in ms since 1970, if the call moved it in the order of activity. */
export function movedAt(answer: readonly string[]): number | undefined {
  return answer[0] === 'accepted' && answer[5] ? Number(answer[5]) : undefined
}

/** Converts the script's result, whose first element is the outcome. */
export function appendedOf([outcome, ...rest]: readonly string[]): Appended {
  const epoch = Number(rest[0])
  switch (outcome) {
    case 'accepted':
      return { accepted: true, epoch, first: Number(rest[1]), head: Number(rest[2]) }
    case 'session':
      return { accepted: false, reason: 'session' }
    case 'epoch':
      return { accepted: false, reason: 'epoch', epoch }
    case 'key': {
      const [, key = '', seq, note = ''] = rest
      return { accepted: false, reason: 'key', epoch, key, entry: { seq: Number(seq), note: noteOf(note) } }
    }
    case 'lease':
      return { accepted: false, reason: 'lease', epoch }
    case 'metadata':
      return { accepted: false, reason: 'metadata', epoch }
    case 'producer':
      return { accepted: false, reason: 'producer', epoch, expected: Number(rest[1]) }
    case 'open': {
      const [, tally = '', max, of] = rest
      const more =
        of === 'size' ? ({ isSize: true } as const) : of === undefined ? {} : { group: of.slice(1) }
      return { accepted: false, reason: 'open', epoch, tally, max: Number(max), ...more }
    }
    default:
      throw new Error(`the append script answered ${outcome}`)
  }
}

/** A missing note is stored as ''. */
export function noteText(note: unknown): string {
  return note === undefined ? '' : JSON.stringify(note)
}

export function noteOf(text: string): unknown {
  return text === '' ? undefined : JSON.parse(text)
}
