/** An append's conditions as the script `append` takes them, and what it answers. */
import type { AppendConditions, Appended } from '../log.ts'

export interface Sender {
  /** ms since 1970, or '' for Redis's own time. */
  readonly now: string
  /** Epoch to make the session with when it is missing; '' to refuse. */
  readonly fresh: string
  /** This process, so that it knows its own hints. */
  readonly node: string
  readonly channel: string
  /** By when each lease must be taken, by Redis's time, in ms. */
  readonly takenBy: readonly number[]
}

/** The script's answer when a lease is taken too late after it was announced: announce it again. */
export const UNANNOUNCED = 'unannounced'

/** Written down flat, in the order in which the script takes it. */
export function appendArguments(
  texts: readonly string[],
  { epoch, createdBy, once = [], absent = [], leases = [], release = [], producer }: AppendConditions,
  { now, fresh, node, channel, takenBy }: Sender,
): string[] {
  const flat: (string | number)[] = [now, fresh, createdBy ?? '', epoch ?? '', node, channel, once.length]
  for (const { key, index = 0, ttlMs, note } of once) flat.push(key, index, ttlMs ?? '', noteText(note))
  flat.push(absent.length, ...absent, leases.length)
  for (const [i, { runId, token, ttlMs, from }] of leases.entries()) {
    flat.push(runId, token, ttlMs, from ?? '', takenBy[i] as number)
  }
  flat.push(release.length, ...release, producer?.id ?? '', producer?.seq ?? 0)
  return [...flat.map(String), ...texts]
}

/** How many texts of an accepted call were appended: less than given where a producer repeats itself. */
export function addedOf(answer: readonly string[]): number {
  return Number(answer[4] ?? 0)
}

/** What the script answers: the first element says what became of the append. */
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
    case 'producer':
      return { accepted: false, reason: 'producer', epoch, expected: Number(rest[1]) }
    default:
      throw new Error(`the append script answered ${outcome}`)
  }
}

/** No note is an empty text. */
function noteText(note: unknown): string {
  return note === undefined ? '' : JSON.stringify(note)
}

export function noteOf(text: string): unknown {
  return text === '' ? undefined : JSON.parse(text)
}
