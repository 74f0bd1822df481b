/** The log in this process's memory: for tests and embedding. Gone with the process. */
import { LogEvent } from './event.ts'
import type {
  AppendConditions,
  Appended,
  EventLog,
  ExpiredLease,
  Follower,
  KeyEntry,
  LogPage,
  ReadBounds,
  SessionInfo,
  Snapshot,
} from './log.ts'

interface HeldKey extends KeyEntry {
  readonly expiresAt: number
}

interface HeldLease {
  readonly token: string
  readonly expiresAt: number
}

interface Producer {
  /** Number that the producer's next event has. */
  next: number
  /** Where its last call began: its own number, and the log's. */
  lastSeq: number
  lastFirst: number
}

class Session {
  readonly epoch: number
  readonly createdAt: number
  readonly metadata: Record<string, unknown>
  /** Texts of the events from `earliest` on. */
  texts: string[] = []
  earliest = 1
  readonly keys = new Map<string, HeldKey>()
  readonly leases = new Map<string, HeldLease>()
  readonly producers = new Map<string, Producer>()
  snapshot: Snapshot | undefined
  /** The number of keys at which the expired ones are looked for. */
  sweepAt = 1024

  constructor(epoch: number, createdAt: number, metadata: Record<string, unknown>) {
    this.epoch = epoch
    this.createdAt = createdAt
    this.metadata = metadata
  }

  get head(): number {
    return this.earliest + this.texts.length - 1
  }

  key(key: string, now: number): HeldKey | undefined {
    const held = this.keys.get(key)
    return held && held.expiresAt > now ? held : undefined
  }

  /** Keeps expired keys from gathering, at a cost that is constant per key taken. */
  sweep(now: number): void {
    if (this.keys.size < this.sweepAt) return
    for (const [key, held] of this.keys) if (held.expiresAt <= now) this.keys.delete(key)
    this.sweepAt = Math.max(1024, this.keys.size * 2)
  }
}

/** Gives the driver `memory`. @param clock ms since 1970, for tests of what expires */
export function createMemoryLog({ clock = Date.now }: { clock?: () => number } = {}): EventLog {
  const sessions = new Map<string, Session>()
  const followers = new Map<string, Set<Follower>>()
  let lastEpoch = 0

  function make(sessionId: string, metadata: Record<string, unknown>): Session {
    lastEpoch = Math.max(clock(), lastEpoch + 1)
    const session = new Session(lastEpoch, clock(), metadata)
    sessions.set(sessionId, session)
    return session
  }

  function describe(sessionId: string, session: Session): SessionInfo {
    const { epoch, head, earliest, createdAt, metadata } = session
    return { sessionId, epoch, head, earliest, createdAt, metadata }
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

  /** Why the conditions refuse, or nothing when they hold. */
  function refusal(session: Session, conditions: AppendConditions, now: number): Appended | undefined {
    const { epoch } = session
    if (conditions.epoch !== undefined && conditions.epoch !== epoch) {
      return { accepted: false, reason: 'epoch', epoch }
    }
    const wanted = [...(conditions.once ?? []).map(once => once.key), ...(conditions.absent ?? [])]
    for (const key of wanted) {
      const entry = session.key(key, now)
      if (entry) return { accepted: false, reason: 'key', epoch, key, entry }
    }
    for (const { runId, token } of conditions.leases ?? []) {
      const held = session.leases.get(runId)
      if (held && held.token !== token) return { accepted: false, reason: 'lease', epoch }
    }
    if (conditions.producer) {
      const { id, seq } = conditions.producer
      const expected = session.producers.get(id)?.next ?? Math.min(seq, 1)
      if (seq > expected) return { accepted: false, reason: 'producer', epoch, expected }
    }
    return undefined
  }

  /** Leaves out what the producer has already appended. */
  function fresh(session: Session, texts: readonly string[], producer: AppendConditions['producer']) {
    if (!producer) return { texts, first: 0 }
    const known = session.producers.get(producer.id)
    const next = known?.next ?? producer.seq
    const done = Math.min(texts.length, next - producer.seq)
    const first = done > 0 && known?.lastSeq === producer.seq ? known.lastFirst : 0
    const start = session.head + 1
    session.producers.set(producer.id, {
      next: Math.max(next, producer.seq + texts.length),
      lastSeq: producer.seq,
      lastFirst: done > 0 ? first : start,
    })
    return { texts: texts.slice(done), first: done > 0 ? first : start }
  }

  return {
    async create(sessionId, metadata) {
      const there = sessions.get(sessionId)
      const session = there ?? make(sessionId, metadata)
      return { created: !there, session: describe(sessionId, session) }
    },

    async session(sessionId) {
      const session = sessions.get(sessionId)
      return session && describe(sessionId, session)
    },

    async list(after, limit) {
      const ids = [...sessions.keys()].filter(id => after === undefined || id > after).sort()
      return ids.slice(0, limit).map(id => describe(id, sessions.get(id) as Session))
    },

    async append(sessionId, texts, conditions = {}) {
      const now = clock()
      let session = sessions.get(sessionId)
      if (!session && !(conditions.create && conditions.epoch === undefined)) {
        return { accepted: false, reason: 'session' }
      }
      // A log that is about to be made holds nothing that could refuse but a producer's hole.
      const refused = refusal(session ?? new Session(0, 0, {}), conditions, now)
      if (refused) return refused
      session ??= make(sessionId, {})

      const { texts: added, first: repeated } = fresh(session, texts, conditions.producer)
      const start = session.head + 1
      for (const text of added) session.texts.push(text)
      for (const { key, note, index = 0, ttlMs } of conditions.once ?? []) {
        const seq = added.length === 0 ? 0 : start + index
        session.keys.set(key, { seq, note, expiresAt: ttlMs === undefined ? Infinity : now + ttlMs })
      }
      session.sweep(now)
      for (const { runId, token, ttlMs } of conditions.leases ?? []) {
        session.leases.set(runId, { token, expiresAt: now + ttlMs })
      }
      for (const runId of conditions.release ?? []) session.leases.delete(runId)

      const following = followers.get(sessionId)
      if (following && added.length > 0) {
        const { epoch } = session
        const events = added.map((text, i) => new LogEvent(epoch, start + i, text))
        for (const follower of [...following]) follower.events(epoch, events)
      }
      return {
        accepted: true,
        epoch: session.epoch,
        first: conditions.producer ? repeated : start,
        head: session.head,
      }
    },

    async lookup(sessionId, keys) {
      const session = sessions.get(sessionId)
      const now = clock()
      return keys.map(key => {
        const held = session?.key(key, now)
        return held && { seq: held.seq, note: held.note }
      })
    },

    async read(sessionId, after, bounds): Promise<LogPage | undefined> {
      const session = sessions.get(sessionId)
      if (!session) return undefined
      const { epoch, head, earliest } = session
      return { epoch, head, earliest, events: slice(session, after, bounds) }
    },

    follow(sessionId, follower) {
      const following = followers.get(sessionId) ?? new Set()
      followers.set(sessionId, following.add(follower))
      return () => {
        following.delete(follower)
        if (following.size === 0 && followers.get(sessionId) === following) followers.delete(sessionId)
      }
    },

    async tell(sessionId, json) {
      for (const follower of [...(followers.get(sessionId) ?? [])]) follower.ephemeral(json)
    },

    async saveSnapshot(sessionId, epoch, snapshot) {
      const session = sessions.get(sessionId)
      if (session?.epoch === epoch && snapshot.seq >= (session.snapshot?.seq ?? 0))
        session.snapshot = snapshot
    },

    async loadSnapshot(sessionId, epoch) {
      const session = sessions.get(sessionId)
      return session?.epoch === epoch ? session.snapshot : undefined
    },

    async trim(sessionId, epoch, through, snapshot) {
      const session = sessions.get(sessionId)
      if (!session || session.epoch !== epoch) return
      if (snapshot.seq < through) {
        throw new RangeError(`trim through ${through} needs a snapshot that reaches it, got ${snapshot.seq}`)
      }
      const gone = Math.min(through, session.head) - session.earliest + 1
      if (gone <= 0) return
      session.texts = session.texts.slice(gone)
      session.earliest += gone
      if (snapshot.seq >= (session.snapshot?.seq ?? 0)) session.snapshot = snapshot
    },

    async delete(sessionId) {
      if (!sessions.delete(sessionId)) return false
      for (const follower of [...(followers.get(sessionId) ?? [])]) follower.deleted()
      return true
    },

    async renew(sessionId, { runId, token, ttlMs }) {
      const leases = sessions.get(sessionId)?.leases
      if (leases?.get(runId)?.token !== token) return false
      leases.set(runId, { token, expiresAt: clock() + ttlMs })
      return true
    },

    async expired(limit) {
      const now = clock()
      const found: (ExpiredLease & { expiresAt: number })[] = []
      for (const [sessionId, { epoch, leases }] of sessions) {
        for (const [runId, { token, expiresAt }] of leases) {
          if (expiresAt <= now) found.push({ sessionId, epoch, runId, token, expiresAt })
        }
      }
      found.sort((a, b) => a.expiresAt - b.expiresAt)
      return found
        .slice(0, limit)
        .map(({ sessionId, epoch, runId, token }) => ({ sessionId, epoch, runId, token }))
    },

    async close() {
      sessions.clear()
      followers.clear()
    },
  }
}
