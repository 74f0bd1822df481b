/** The driver `memory`: the log in this process's memory, for tests and embedding. It is lost when the process ends. */
import { idOfPlaceKey, moves, placeKey, placeOf } from './activity.ts'
import {
  adds,
  entryOf,
  type Held,
  type HeldKey,
  type HeldLease,
  type HeldProducer,
  judge,
} from './conditions.ts'
import { LogEvent } from './event.ts'
import { Followers } from './followers.ts'
import type {
  EventLog,
  ExpiredLease,
  LogPage,
  Open,
  ReadBounds,
  SessionInfo,
  SessionRecord,
  Snapshot,
} from './log.ts'
import { Marks } from './marks.ts'
import { logClosed, mustReach } from './refusals.ts'
import { lengthOf, SizeLimit } from './size-limit.ts'
import { SortedIds } from './sorted-ids.ts'

/** What is added to the texts of events, keys and sessions, in bytes. */
const EVENT_BYTES = 32
const KEY_BYTES = 128
const SESSION_BYTES = 1024

const jsonLength = (value: unknown) => JSON.stringify(value)?.length ?? 0
const textBytes = (texts: readonly string[]) => lengthOf(texts) + texts.length * EVENT_BYTES
const keyBytes = (key: string, { note }: HeldKey) => KEY_BYTES + key.length + jsonLength(note)

class Session implements Held {
  readonly epoch: number
  readonly createdAt: number
  readonly createdBy: string | undefined
  activeAt: number
  #metadata: Record<string, unknown>
  /** Texts of the events from `earliest` on. */
  texts: string[] = []
  earliest = 1
  readonly keys = new Map<string, HeldKey>()
  readonly leases = new Map<string, HeldLease>()
  readonly producers = new Map<string, HeldProducer>()
  readonly tallies = new Map<string, readonly Open[]>()
  snapshot: Snapshot | undefined
  /** Bytes that it takes, by rough measure: events, keys and metadata. */
  bytes: number
  /** The number of keys at which expired ones are removed. */
  #sweepAt = 1024

  constructor(
    epoch: number,
    createdAt: number,
    metadata: Record<string, unknown>,
    createdBy: string | undefined,
  ) {
    this.epoch = epoch
    this.createdAt = createdAt
    this.activeAt = createdAt
    this.#metadata = metadata
    this.bytes = SESSION_BYTES + jsonLength(metadata)
    this.createdBy = createdBy
  }

  get head(): number {
    return this.earliest + this.texts.length - 1
  }

  key(key: string): HeldKey | undefined {
    return this.keys.get(key)
  }

  lease(runId: string): HeldLease | undefined {
    return this.leases.get(runId)
  }

  producer(id: string): HeldProducer | undefined {
    return this.producers.get(id)
  }

  tally(name: string): readonly Open[] {
    return this.tallies.get(name) ?? []
  }

  metadata(): Record<string, unknown> {
    return this.#metadata
  }

  setMetadata(metadata: Record<string, unknown>): void {
    this.bytes += jsonLength(metadata) - jsonLength(this.#metadata)
    this.#metadata = metadata
  }

  push(texts: readonly string[]): void {
    for (const text of texts) this.texts.push(text)
    this.bytes += textBytes(texts)
  }

  /** Removes the oldest events. */
  drop(count: number): void {
    this.bytes -= textBytes(this.texts.slice(0, count))
    this.texts = this.texts.slice(count)
    this.earliest += count
  }

  takeKey(key: string, held: HeldKey): void {
    this.#releaseKey(key)
    this.keys.set(key, held)
    this.bytes += keyBytes(key, held)
  }

  #releaseKey(key: string): void {
    const held = this.keys.get(key)
    if (held) this.bytes -= keyBytes(key, held)
    this.keys.delete(key)
  }

  /** Removes expired keys, at an amortized constant cost per key. */
  sweep(now: number): void {
    if (this.keys.size < this.#sweepAt) return
    for (const [key, held] of this.keys) if (held.expiresAt <= now) this.#releaseKey(key)
    this.#sweepAt = Math.max(1024, this.keys.size * 2)
  }
}

export interface MemoryLogOptions {
  /**
   * The size of the log from which on appends and new sessions are refused as `rate-limited`, in bytes. It counts events,
   * keys and metadata by their number of characters, with something added for each. @default no limit
   */
  maxLogBytes?: number | undefined
  /** ms since 1970, for tests of what expires. */
  clock?: () => number
}

/** Gives the driver `memory`. */
export function createMemoryLog({ clock = Date.now, maxLogBytes }: MemoryLogOptions = {}): EventLog {
  const held = new Map<string, Session>()
  const ids = new SortedIds()
  /** The {@link placeKey} of every session. */
  const places = new SortedIds()
  const followers = new Followers()
  const marks = new Marks(clock)
  const limit = new SizeLimit(maxLogBytes)
  /** How many sessions each principal has created. */
  const created = new Map<string, number>()
  let lastEpoch = 0
  /** Bytes of all sessions. */
  let bytes = 0
  let closed = false

  function sessions(): Map<string, Session> {
    if (closed) throw logClosed()
    return held
  }

  /** A session that nobody knows of yet; {@link keep} it, or it never was. */
  function draft(metadata: Record<string, unknown>, createdBy: string | undefined): Session {
    return new Session(Math.max(clock(), lastEpoch + 1), clock(), metadata, createdBy)
  }

  function keep(sessionId: string, session: Session): void {
    lastEpoch = Math.max(lastEpoch, session.epoch)
    sessions().set(sessionId, session)
    ids.add(sessionId)
    places.add(placeKey({ activeAt: session.activeAt, sessionId }))
    bytes += session.bytes
    count(session, 1)
  }

  function count({ createdBy }: Session, change: number): void {
    if (createdBy === undefined) return
    const now = (created.get(createdBy) ?? 0) + change
    if (now > 0) created.set(createdBy, now)
    else created.delete(createdBy)
  }

  /** Changes a session, and counts what it takes. */
  function change(session: Session, how: () => void): void {
    const before = session.bytes
    how()
    bytes += session.bytes - before
  }

  function describe(sessionId: string, session: Session): SessionInfo {
    const { epoch, head, earliest, createdAt, activeAt, createdBy } = session
    return {
      sessionId,
      epoch,
      head,
      earliest,
      createdAt,
      activeAt,
      metadata: session.metadata(),
      ...(createdBy !== undefined && { createdBy }),
    }
  }

  function move(sessionId: string, session: Session, now: number): void {
    places.remove(placeKey(placeOf(describe(sessionId, session))))
    session.activeAt = now
    places.add(placeKey(placeOf(describe(sessionId, session))))
  }

  function slice(session: Session, after: number, bounds: ReadBounds): LogEvent[] {
    const events: LogEvent[] = []
    const last = Math.min(session.head, bounds.through ?? session.head)
    let bytes = 0
    for (let seq = Math.max(after + 1, session.earliest); seq <= last; seq++) {
      const text = session.texts[seq - session.earliest] as string
      bytes += text.length
      if (events.length > 0 && (bytes > bounds.bytes || events.length >= bounds.events)) break
      events.push(new LogEvent(session.epoch, seq, text))
    }
    return events
  }

  return {
    async create(sessionId, metadata, createdBy) {
      const there = sessions().get(sessionId)
      const session = there ?? draft(metadata, createdBy)
      if (!there) {
        limit.mustHaveRoom(bytes, session.bytes)
        keep(sessionId, session)
      }
      return { created: !there, session: describe(sessionId, session) }
    },

    async session(sessionId) {
      const session = sessions().get(sessionId)
      return session && describe(sessionId, session)
    },

    async list(after, limit) {
      sessions()
      return ids.after(after, limit).map(id => describe(id, held.get(id) as Session))
    },

    async recent(after, limit) {
      sessions()
      return places.after(after && placeKey(after), limit).map(key => {
        const id = idOfPlaceKey(key)
        return describe(id, held.get(id) as Session)
      })
    },

    async append(sessionId, texts, conditions = {}) {
      const now = clock()
      const there = sessions().get(sessionId)
      if (!there && !(conditions.create && conditions.epoch === undefined)) {
        return { accepted: false, reason: 'session' }
      }
      const session = there ?? draft({}, conditions.createdBy)
      const start = session.head + 1
      const { appended, writes } = judge(session, texts.length, conditions, now)
      if (!writes) return appended
      const added = texts.slice(writes.skip)
      if (!conditions.beyondLimit && adds(texts.length, writes)) {
        limit.mustHaveRoom(bytes, lengthOf(added))
      }
      if (!there) keep(sessionId, session)

      change(session, () => {
        session.push(added)
        for (const [key, entry] of writes.keys) session.takeKey(key, entry)
        session.sweep(now)
        if (writes.metadata) session.setMetadata(writes.metadata)
      })
      if (added.length > 0 && moves(session.activeAt, now)) move(sessionId, session, now)
      for (const [runId, lease] of writes.leases) session.leases.set(runId, lease)
      for (const runId of writes.release) session.leases.delete(runId)
      if (writes.producer) session.producers.set(...writes.producer)
      for (const [name, open] of writes.tallies ?? []) session.tallies.set(name, open)

      if (added.length > 0 && followers.has(sessionId)) {
        const { epoch } = session
        const events = added.map((text, i) => new LogEvent(epoch, start + i, text))
        followers.events(sessionId, epoch, events)
      }
      return appended
    },

    async lookup(sessionId, keys) {
      const session = sessions().get(sessionId)
      const now = clock()
      return keys.map(key => entryOf(session?.key(key), now))
    },

    async read(sessionId, after, bounds): Promise<LogPage | undefined> {
      const session = sessions().get(sessionId)
      if (!session) return undefined
      const { epoch, head, earliest } = session
      return { epoch, head, earliest, events: slice(session, after, bounds) }
    },

    follow(sessionId, follower) {
      if (closed) throw logClosed()
      return followers.follow(sessionId, follower)
    },

    async publishEphemeral(sessionId, json) {
      if (closed) throw logClosed()
      followers.ephemeral(sessionId, json)
    },

    async mark(sessionId, name, ttlMs) {
      if (!sessions().has(sessionId)) return
      marks.make(sessionId, name, ttlMs)
      followers.marked(sessionId, name, ttlMs)
    },

    async marks(sessionId, prefix) {
      return sessions().has(sessionId) ? marks.of(sessionId, prefix) : []
    },

    async saveSnapshot(sessionId, epoch, snapshot) {
      const session = sessions().get(sessionId)
      if (session?.epoch !== epoch || snapshot.seq < (session.snapshot?.seq ?? 0)) return
      session.snapshot = snapshot
    },

    async loadSnapshot(sessionId, epoch) {
      const session = sessions().get(sessionId)
      return session?.epoch === epoch ? session.snapshot : undefined
    },

    async trim(sessionId, epoch, through, snapshot) {
      const session = sessions().get(sessionId)
      if (session?.epoch !== epoch) return
      mustReach(snapshot, through)
      const gone = Math.min(through, session.head) - session.earliest + 1
      if (gone <= 0) return
      change(session, () => session.drop(gone))
      if (snapshot.seq >= (session.snapshot?.seq ?? 0)) session.snapshot = snapshot
    },

    async delete(sessionId) {
      const session = sessions().get(sessionId)
      if (!session) return false
      held.delete(sessionId)
      ids.remove(sessionId)
      places.remove(placeKey({ activeAt: session.activeAt, sessionId }))
      bytes -= session.bytes
      count(session, -1)
      marks.forget(sessionId)
      followers.deleted(sessionId)
      return true
    },

    async renew(sessionId, { runId, token, ttlMs }) {
      const leases = sessions().get(sessionId)?.leases
      if (leases?.get(runId)?.token !== token) return false
      leases.set(runId, { token, expiresAt: clock() + ttlMs })
      return true
    },

    async expired(limit) {
      const now = clock()
      const found: (ExpiredLease & { expiresAt: number })[] = []
      for (const [sessionId, { epoch, leases }] of sessions()) {
        for (const [runId, { token, expiresAt }] of leases) {
          if (expiresAt <= now) found.push({ sessionId, epoch, runId, token, expiresAt })
        }
      }
      found.sort((a, b) => a.expiresAt - b.expiresAt)
      return found
        .slice(0, limit)
        .map(({ sessionId, epoch, runId, token }) => ({ sessionId, epoch, runId, token }))
    },

    async ready() {
      if (closed) throw logClosed()
      limit.mustBeReady(bytes)
    },

    async countCreated(createdBy) {
      sessions()
      return created.get(createdBy) ?? 0
    },

    counts: () => ({ 'over-limit': limit.refused }),

    async size() {
      if (closed) throw logClosed()
      return { bytes, maxBytes: limit.maxBytes }
    },

    async *records(sessionId, epoch): AsyncGenerator<SessionRecord, void, void> {
      const session = sessions().get(sessionId)
      if (session?.epoch !== epoch) return
      const now = clock()
      for (const [name, { seq, note, expiresAt }] of session.keys) {
        if (expiresAt > now)
          yield { kind: 'key', name, seq, note, ...(expiresAt !== Infinity && { expiresAt }) }
      }
      for (const [name, producer] of session.producers) yield { kind: 'producer', name, ...producer }
      for (const [name, lease] of session.leases) yield { kind: 'lease', name, ...lease }
      for (const [name, open] of session.tallies) yield { kind: 'tally', name, open }
    },

    async restore(sessionId, { epoch, earliest, createdAt, createdBy, metadata, snapshot }) {
      if (sessions().has(sessionId)) return { restored: false, reason: 'session' }
      for (const other of held.values())
        if (other.epoch === epoch) return { restored: false, reason: 'epoch' }
      const given = epoch ?? Math.max(clock(), lastEpoch + 1)
      const session = new Session(given, createdAt, metadata, createdBy)
      limit.mustHaveRoom(bytes, session.bytes)
      session.earliest = earliest
      session.snapshot = snapshot
      keep(sessionId, session)
      return { restored: true, epoch: given }
    },

    async restoreRecords(sessionId, epoch, records, activeAt) {
      const session = sessions().get(sessionId)
      if (session?.epoch !== epoch) return
      limit.mustHaveRoom(bytes, jsonLength(records))
      change(session, () => {
        for (const record of records) {
          if (record.kind === 'key') {
            session.takeKey(record.name, {
              seq: record.seq,
              note: record.note,
              expiresAt: record.expiresAt ?? Infinity,
            })
          } else if (record.kind === 'producer') {
            const { next, stretches } = record
            session.producers.set(record.name, { next, ...(stretches && { stretches }) })
          } else if (record.kind === 'lease') {
            session.leases.set(record.name, { token: record.token, expiresAt: record.expiresAt })
          } else session.tallies.set(record.name, record.open)
        }
      })
      move(sessionId, session, activeAt)
    },

    async close() {
      closed = true
      held.clear()
      ids.clear()
      places.clear()
      followers.clear()
      marks.clear()
    },
  }
}
