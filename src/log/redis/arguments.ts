/** Arguments and results of the script `append`. */
import { isPlain } from '../conditions.ts'
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

/** Index of the conditions among the arguments. */
const CONDITIONS = 7

/** Whether the script needs all keys of the session, and not only those of its header and its events. */
export const needsAllKeys = (args: readonly string[]) => args[CONDITIONS] !== ''

/** The arguments of the script `append`. Each costs some µs here and in Redis, so that most conditions share one. */
export function appendArguments(
  texts: readonly string[],
  conditions: AppendConditions,
  { now, fresh, node, channel, takenBy, isOver }: Sender,
): string[] {
  const { epoch, createdBy } = conditions
  return [
    now,
    fresh,
    createdBy ?? '',
    epoch === undefined ? '' : String(epoch),
    node,
    channel,
    isOver ? '1' : '0',
    conditionsText(conditions, takenBy),
    ...texts,
  ]
}

/** Conditions as the script reads them: JSON, or '' when there are none. */
function conditionsText(conditions: AppendConditions, takenBy: readonly number[]): string {
  if (isPlain(conditions)) return ''
  const { once, absent, leases, release, producer, opens, metadata } = conditions
  return wellFormed(
    JSON.stringify({
      once: once?.map(({ note, ...one }) => ({ ...one, note: noteText(note) })),
      absent,
      leases: leases?.map((lease, i) => ({ ...lease, takenBy: takenBy[i] })),
      release,
      producer,
      opens,
      metadata: metadata && { from: JSON.stringify(metadata.from), to: JSON.stringify(metadata.to) },
    }),
  )
}

/** Replaces halves of surrogate pairs, which Redis's parser refuses, as UTF-8 does. JSON escapes these and no others. */
function wellFormed(json: string): string {
  if (!json.includes('\\ud')) return json
  return json.replace(/\\\\|\\ud[89a-f][0-9a-f]{2}/g, found => (found === '\\\\' ? found : '\ufffd'))
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
