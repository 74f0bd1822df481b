/** What an append's conditions come to, judged against what a driver holds. Pure: drivers look up and write. */
import type { AppendConditions, Appended, KeyEntry, OnceKey, Open, Opening } from './log.ts'
import { type Exceeded, Tally } from './tally.ts'

export interface HeldKey extends KeyEntry {
  /** ms since 1970; Infinity when it lasts as long as the session. */
  readonly expiresAt: number
}

export interface HeldLease {
  readonly token: string
  /** ms since 1970. */
  readonly expiresAt: number
}

export interface HeldProducer {
  /** Number that the producer's next event has. */
  readonly next: number
  /**
   * Where its events lie: pairs of its own number and the log's, with which a stretch of events in a row begins. The
   * newest are last; at most {@link STRETCHES}. Absent in what an older version stored.
   */
  readonly stretches?: readonly (readonly [own: number, seq: number])[]
}

/** Stretches remembered of a producer. Only other writers of the session begin new ones. */
export const STRETCHES = 32

/** A session as its driver holds it. */
export interface Held {
  readonly epoch: number
  /** Number of the last event. */
  readonly head: number
  /** May give an expired one. */
  key(key: string): HeldKey | undefined
  lease(runId: string): HeldLease | undefined
  producer(id: string): HeldProducer | undefined
  metadata(): Record<string, unknown>
  /** What is open in the tally; may have entries that were closed since. */
  tally(name: string): readonly Open[]
}

/** What an accepted append writes. */
export interface Writes {
  /** Leading texts of the call that the log already has. */
  readonly skip: number
  readonly keys: readonly (readonly [key: string, held: HeldKey])[]
  readonly leases: readonly (readonly [runId: string, held: HeldLease])[]
  /** Runs whose leases go, after `leases` were set. */
  readonly release: readonly string[]
  readonly producer?: readonly [id: string, held: HeldProducer]
  /** The tallies that change, each with all that is open in it. */
  readonly tallies?: Tallies
  /** The session's metadata from now on. */
  readonly metadata?: Record<string, unknown>
}

type Tallies = readonly (readonly [name: string, open: readonly Open[]])[]

export type Verdict =
  | { readonly appended: Appended & { accepted: true }; readonly writes: Writes }
  | { readonly appended: Appended & { accepted: false }; readonly writes?: undefined }

const NOTHING: Omit<Writes, 'skip'> = { keys: [], leases: [], release: [] }

/** What an append writes besides its events when it has no condition. */
const PLAIN: Writes = { ...NOTHING, skip: 0 }

const isNone = (list: readonly unknown[] | undefined) => list === undefined || list.length === 0

/** Whether nothing but the session's epoch decides, and nothing but events is written: most appends. */
export const isPlain = ({ producer, once, opens, absent, leases, release, metadata }: AppendConditions) =>
  !producer &&
  isNone(once) &&
  isNone(opens) &&
  isNone(absent) &&
  isNone(leases) &&
  isNone(release) &&
  !metadata

/** The key's entry, unless it has expired. */
export function entryOf(held: HeldKey | undefined, now: number): KeyEntry | undefined {
  return held && held.expiresAt > now ? { seq: held.seq, note: held.note } : undefined
}

/** Whether an accepted append of `count` events adds something to the log. */
export function adds(count: number, { skip, keys }: Writes): boolean {
  return count > skip || keys.length > 0
}

/** The log's number of a producer's event; 0 when it is too long ago. */
function placeOf({ stretches = [] }: HeldProducer, own: number): number {
  const stretch = stretches.findLast(([begin]) => begin <= own)
  return stretch ? stretch[1] + own - stretch[0] : 0
}

/** The producer after `count` further events, of which the first has the numbers `own` and `seq`. */
function grown(known: HeldProducer | undefined, own: number, seq: number, count: number): HeldProducer {
  const stretches = known?.stretches ?? []
  const goesOn = known?.next === own && placeOf(known, own) === seq
  return {
    next: own + count,
    stretches: goesOn ? stretches : [...stretches.slice(1 - STRETCHES), [own, seq]],
  }
}

/** Judges an append of `count` events. @param now ms since 1970 */
export function judge(held: Held, count: number, conditions: AppendConditions, now: number): Verdict {
  const { epoch, head } = held
  if (conditions.epoch !== undefined && conditions.epoch !== epoch) {
    return { appended: { accepted: false, reason: 'epoch', epoch } }
  }

  if (isPlain(conditions)) {
    return { appended: { accepted: true, epoch, first: head + 1, head: head + count }, writes: PLAIN }
  }

  const { producer } = conditions
  const known = producer && held.producer(producer.id)
  const skip = producer && known ? Math.max(0, Math.min(count, known.next - producer.seq)) : 0
  const repeats = producer && known && skip > 0 ? placeOf(known, producer.seq) : 0
  if (skip > 0 && skip === count) {
    return { appended: { accepted: true, epoch, first: repeats, head }, writes: { ...NOTHING, skip } }
  }

  // Keys of events that the log has already were taken with them.
  const once = (conditions.once ?? []).filter(({ index = 0 }) => index >= skip)
  const taken = new Map<string, unknown>()
  for (const { key, note } of once) {
    const entry = taken.has(key) ? { seq: 0, note: taken.get(key) } : entryOf(held.key(key), now)
    if (entry) return { appended: { accepted: false, reason: 'key', epoch, key, entry } }
    taken.set(key, note)
  }
  for (const key of conditions.absent ?? []) {
    const entry = entryOf(held.key(key), now)
    if (entry) return { appended: { accepted: false, reason: 'key', epoch, key, entry } }
  }
  for (const { runId, token, from, fromLive } of conditions.leases ?? []) {
    const lease = held.lease(runId)
    const isLeft = lease?.token === from && (fromLive || (lease?.expiresAt ?? 0) <= now)
    if (lease && lease.token !== token && !isLeft)
      return { appended: { accepted: false, reason: 'lease', epoch } }
  }
  if (producer) {
    const expected = known?.next ?? Math.min(producer.seq, 1)
    if (producer.seq > expected) return { appended: { accepted: false, reason: 'producer', epoch, expected } }
  }

  const seqOf = (index = 0) => (count === 0 ? 0 : head + 1 + index - skip)
  // Without an event nothing is opened.
  const opens = count > 0 ? (conditions.opens ?? []).filter(({ index = 0 }) => index >= skip) : []
  const tallies = opens.length > 0 ? tally(held, opens, once, seqOf, now) : []
  if ('tally' in tallies) return { appended: { accepted: false, reason: 'open', epoch, ...tallies } }
  const { metadata } = conditions
  if (metadata && JSON.stringify(held.metadata()) !== JSON.stringify(metadata.from))
    return { appended: { accepted: false, reason: 'metadata', epoch } }

  const first = skip > 0 ? repeats : head + 1
  return {
    appended: { accepted: true, epoch, first, head: head + count - skip },
    writes: {
      skip,
      keys: once.map(({ key, note, index, ttlMs }) => [
        key,
        { seq: seqOf(index), note, expiresAt: ttlMs === undefined ? Infinity : now + ttlMs },
      ]),
      leases: (conditions.leases ?? []).map(({ runId, token, ttlMs }) => [
        runId,
        { token, expiresAt: now + ttlMs },
      ]),
      release: conditions.release ?? [],
      ...(producer &&
        count > 0 && {
          producer: [producer.id, grown(known, producer.seq + skip, head + 1, count - skip)],
        }),
      ...(tallies.length > 0 && { tallies }),
      ...(metadata && { metadata: metadata.to }),
    },
  }
}

/** The tallies after the append, or the maximum that it would exceed. */
function tally(
  held: Held,
  opens: readonly Opening[],
  once: readonly OnceKey[],
  seqOf: (index?: number) => number,
  now: number,
): Tallies | Exceeded {
  const takings = once.map(({ key, index }) => ({ key, seq: seqOf(index) })).sort((a, b) => a.seq - b.seq)
  const tallies = new Map<string, Tally>()
  for (const opening of opens) {
    const name = opening.tally
    const known = tallies.get(name)
    const tally = known ?? new Tally(held.tally(name), key => entryOf(held.key(key), now), takings)
    if (!known) tallies.set(name, tally)
    const exceeded = tally.add(opening, seqOf(opening.index))
    if (exceeded) return exceeded
  }
  return [...tallies].map(([name, tally]) => [name, tally.end()])
}
