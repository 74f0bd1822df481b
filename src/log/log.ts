/**
 * The interface of a log of append-only sessions. A driver implements it and must pass the contract suite
 * (`twinrail/log/contract`).
 *
 * Every driver promises:
 * - `append` is atomic and contiguous, and resolves only when the events are as safe as the driver makes them.
 *   Conditions are checked in the same step; a refused append changes nothing.
 * - Numbers (`seq`) count 1, 2, 3 … without holes within an epoch. A session that is deleted and created again, or
 *   whose store lost data, gets a new epoch, greater than any earlier epoch of this store.
 * - Methods reject with TwinrailError `unavailable` while the store cannot be reached, and after `close`. An append
 *   that was rejected may still have been stored; a retry needs a `once` key or a producer.
 * - `read` and `follow` give events in order, without holes, and byte for byte the same text for ever.
 */
import type { LogEvent } from './event.ts'

/** The range of a session's log. */
export interface LogPosition {
  /** The epoch: one incarnation of the session's log. */
  readonly epoch: number
  /** Number of the newest event; 0 before the first. */
  readonly head: number
  /** Number of the oldest event in the log; head + 1 when the log holds no events. */
  readonly earliest: number
}

/** A session, with the range of its log. */
export interface SessionInfo extends LogPosition {
  /** The session's id. */
  readonly sessionId: string
  /** When the session was created, in ms since 1970. */
  readonly createdAt: number
  /** The metadata of the session's creation, or of its last change. */
  readonly metadata: Record<string, unknown>
  /** When the session was created or last grew, in ms since 1970; up to a second too early. */
  readonly activeAt: number
  /** Id of the principal that created the session; absent when it was not given. */
  readonly createdBy?: string
}

/** A place in the order of sessions by their last activity: newest first, then by id. */
export interface Place {
  /** When the session was last active, in ms since 1970. */
  readonly activeAt: number
  /** The session's id. */
  readonly sessionId: string
}

/** The log's record of a taken key. */
export interface KeyEntry {
  /** Number of the event that the key points to; 0 when no event was appended with the key. */
  readonly seq: number
  /** The note that was stored with the key. */
  readonly note: unknown
}

/** A key to take with an append. */
export interface OnceKey {
  /** The key; unique in its session. */
  readonly key: string
  /** JSON that is stored with the key; a later `lookup` returns it. @default none */
  readonly note?: unknown
  /** Index of the appended event that the key points to. @default 0 */
  readonly index?: number
  /** The key is deleted after this many ms. @default kept as long as the session */
  readonly ttlMs?: number
}

/**
 * Something that an append opens, such as a run. It counts in a tally of its session until a later event takes one of its
 * keys.
 */
export interface Opening {
  /** Name of the tally, such as `runs`. */
  readonly tally: string
  /** Index of the appended event that opens it. @default 0 */
  readonly index?: number
  /** It is open until a later event takes one of these keys. Such keys must not expire. */
  readonly until: readonly string[]
  /** How many may be open in the tally, this one included. */
  readonly max: number
  /** What it takes, such as its bytes. @default 0 */
  readonly size?: number
  /** What all that is open in the tally may take together, this one included. @default no limit */
  readonly maxSize?: number
  /** Those of the same group have a maximum of their own. @default in no group */
  readonly group?: string | undefined
  /** How many may be open in the group, this one included. @default no limit */
  readonly maxInGroup?: number
}

/** A run's lease: the holder of the token may append to the run. */
export interface Lease {
  /** The run. */
  readonly runId: string
  /** Identifies the holder. */
  readonly token: string
  /** The lease expires after this many ms unless it is renewed. */
  readonly ttlMs: number
  /** The token of an expired lease that this lease may replace. @default none */
  readonly from?: string
  /** Whether the lease of `from` may be replaced before it expires, too: its holder hands it over. @default false */
  readonly fromLive?: boolean
}

/** See {@link AppendConditions.metadata}. */
export interface MetadataChange {
  /** The metadata that the session must have now. */
  readonly from: Record<string, unknown>
  /** The metadata that replaces it. */
  readonly to: Record<string, unknown>
}

/** The conditions of an append. They are checked in this order, in one step with the append. All are optional. */
export interface AppendConditions {
  /** Creates the session when it is missing. Without it the append to a missing session is refused. */
  readonly create?: boolean
  /** The `createdBy` of a session that this append creates. @default none */
  readonly createdBy?: string | undefined
  /** The log must have this epoch. */
  readonly epoch?: number | undefined
  /** No key may be taken, and no key may occur twice. All are taken with the append. They are checked in this order. */
  readonly once?: readonly OnceKey[]
  /** None of these keys may be taken. */
  readonly absent?: readonly string[]
  /** Each run's lease must have this token or no holder. The append takes or renews the lease. */
  readonly leases?: readonly Lease[]
  /** The append releases the leases of these runs, whatever their holder. */
  readonly release?: readonly string[]
  /**
   * Numbers the producer's events: `seq` is the number of the first one. Events that the log already has from that
   * producer are left out and count as appended, with the keys that point to them; a hole is refused. A call without
   * new events is accepted without further checks and writes nothing. A producer that is new to the log begins at 0 or
   * 1.
   */
  readonly producer?: { readonly id: string; readonly seq: number } | undefined
  /**
   * What the append opens, in the order of its events. None may exceed its maximum at its place in that order. Openings
   * of events that the log already has are left out. An append without events opens nothing.
   */
  readonly opens?: readonly Opening[]
  /** Replaces the session's metadata, which must be equal to `from` now, by its JSON text. */
  readonly metadata?: MetadataChange | undefined
  /** The append is accepted although the log is over its size limit: it ends a run, or a question. @default false */
  readonly beyondLimit?: boolean
}

/** The result of an append: accepted, or refused with the condition that did not hold. */
export type Appended =
  | {
      readonly accepted: true
      readonly epoch: number
      /**
       * Number of the first event of the call; of a repeated event, its original number. 0 if that is unknown, because
       * other writers have since parted the producer's events into more stretches than a driver remembers.
       */
      readonly first: number
      /** Number of the newest event in the log after the append. */
      readonly head: number
    }
  | { readonly accepted: false; readonly reason: 'session'; readonly epoch?: undefined }
  | { readonly accepted: false; readonly reason: 'epoch'; readonly epoch: number }
  | {
      readonly accepted: false
      readonly reason: 'key'
      readonly epoch: number
      readonly key: string
      readonly entry: KeyEntry
    }
  | { readonly accepted: false; readonly reason: 'lease'; readonly epoch: number }
  | {
      readonly accepted: false
      readonly reason: 'producer'
      readonly epoch: number
      readonly expected: number
    }
  | {
      readonly accepted: false
      readonly reason: 'open'
      readonly epoch: number
      /** The tally that has as many open entries as it may. */
      readonly tally: string
      readonly max: number
      /** Set when the maximum is that of a group. */
      readonly group?: string
      /** Set when the maximum is that of the sizes. */
      readonly isSize?: true
    }
  | { readonly accepted: false; readonly reason: 'metadata'; readonly epoch: number }

/** The size of a log as a whole. */
export interface LogSize {
  /** Bytes that the log takes, by the measure of its driver. */
  readonly bytes: number
  /** The limit. `Infinity` without one. */
  readonly maxBytes: number
}

/** A page of a log: events without holes, and the range of the log at the same moment. */
export interface LogPage extends LogPosition {
  /** The events, in order. */
  readonly events: readonly LogEvent[]
}

/** The maximum size of a page that `read` returns. A page has at least one event if there is one. */
export interface ReadBounds {
  /** Number of events. */
  readonly events: number
  /** UTF-16 units of text, a cheap measure of bytes. */
  readonly bytes: number
  /** Number of the last event to read. @default the newest */
  readonly through?: number
}

/**
 * Is called with everything that any process appends to a session. Calls are synchronous; a follower must not throw.
 */
export interface Follower {
  /**
   * New events, in order and without holes, from the first append after `follow`; from an earlier one when the store was away
   * then.
   */
  events(epoch: number, events: readonly LogEvent[]): void
  /** An ephemeral event, as JSON. */
  ephemeral(json: string): void
  /** The session was deleted. No call follows. */
  deleted(): void
  /** A mark of the session was set and expires in `ttlMs`, or was removed when `ttlMs` is 0. Expiry is not notified. */
  marked?(name: string, ttlMs: number): void
  /**
   * The store lost events that this process has seen. The remaining events are now the log of this epoch, up to `head`;
   * `events` continues from there. Only drivers whose store can lose data call it.
   */
  lost?(epoch: number, head: number): void
}

/** A named sign that a process leaves on a session for all other processes. It expires unless it is renewed. */
export interface Mark {
  /** The mark's name; unique in its session. */
  readonly name: string
  /** Time until it expires, in ms. */
  readonly leftMs: number
}

/** A session's state folded up to `seq`, so that folding need not start at the first event. */
export interface Snapshot {
  /** Number of the last event in the state. */
  readonly seq: number
  /** The state, as JSON. */
  readonly state: unknown
}

/** A lease that expired without being released. */
export interface ExpiredLease {
  /** The session of the run. */
  readonly sessionId: string
  /** The epoch of the session's log. */
  readonly epoch: number
  /** The run whose holder is gone. */
  readonly runId: string
  /** The token of the last holder. */
  readonly token: string
}

/** Something open in a tally. It is closed once a later event has taken one of the keys. */
export interface Open {
  /** Number of the event that opened it. */
  readonly seq: number
  /** Keys, of which the first that is taken closes it. */
  readonly until: readonly string[]
  /** What it is counted with besides, such as its run. @default none */
  readonly group?: string
  /** @default 0 */
  readonly size?: number
}

/**
 * What a log holds of a session besides its events, metadata and snapshot. Times are in ms since 1970. Marks are no
 * records: they concern running nodes only.
 */
export type SessionRecord =
  | {
      readonly kind: 'key'
      readonly name: string
      readonly seq: number
      readonly note: unknown
      /** @default never */
      readonly expiresAt?: number
    }
  | {
      readonly kind: 'producer'
      readonly name: string
      /** The number of the producer's next event. */
      readonly next: number
      /** Pairs of its own number and the log's, with which a stretch of events in a row begins; the newest are last. */
      readonly stretches?: readonly (readonly [own: number, seq: number])[]
    }
  | {
      readonly kind: 'lease'
      /** The run's id. */
      readonly name: string
      readonly token: string
      readonly expiresAt: number
    }
  | { readonly kind: 'tally'; readonly name: string; readonly open: readonly Open[] }

/** A session that is restored from a copy, before its events are appended. */
export interface RestoredSession {
  /** The epoch of the copy. @default a new one */
  readonly epoch?: number | undefined
  /** Number that the first appended event gets. */
  readonly earliest: number
  /** In ms since 1970. */
  readonly createdAt: number
  /** Id of the principal that created it. @default unknown */
  readonly createdBy?: string | undefined
  /** The application's own data about it. */
  readonly metadata: Record<string, unknown>
  /** The state up to some event. @default none */
  readonly snapshot?: Snapshot | undefined
}

/** The result of a restore: done, or why not. */
export type Restored =
  | { readonly restored: true; readonly epoch: number }
  /** `session`: a session of this id exists. `epoch`: another session of the store has the epoch. */
  | { readonly restored: false; readonly reason: 'session' | 'epoch' }

/**
 * A log of sessions; see the top of this file for the promises of every driver. All methods may be called concurrently.
 */
export interface EventLog {
  /** The name of the driver, such as `lmdb`, for operators. */
  readonly driver?: string

  /**
   * Whether the log outlives this process, so that another one can go on with a run that this one leaves.
   * @default false
   */
  readonly isDurable?: boolean

  /**
   * Creates a session, or returns the existing one with `created: false`, its metadata and creator unchanged.
   * @param createdBy id of the principal that creates it
   * @throws TwinrailError `unavailable`; `rate-limited` when the log is over its size limit
   */
  create(
    sessionId: string,
    metadata: Record<string, unknown>,
    createdBy?: string,
  ): Promise<{ created: boolean; session: SessionInfo }>

  /**
   * The session as it is now, read from the store and not from a cache; `undefined` when there is none.
   * @throws TwinrailError `unavailable`
   */
  session(sessionId: string): Promise<SessionInfo | undefined>

  /**
   * Up to `limit` sessions in the order of their ids, from the first id greater than `after`.
   * @throws TwinrailError `unavailable`
   */
  list(after: string | undefined, limit: number): Promise<SessionInfo[]>

  /**
   * Up to `limit` sessions in the order of their last activity, from the first one behind the place `after`, which need
   * not be taken. A session moves to the front when it grows, unless it moved less than a second ago. Of sessions that do
   * not move none is left out and none comes twice while pages are read. What an append of this process has moved is moved
   * once the append resolves.
   * @throws TwinrailError `unavailable`
   */
  recent(after: Place | undefined, limit: number): Promise<SessionInfo[]>

  /**
   * Appends event texts made by `encodeEvent`, all or none. An empty list appends nothing but may take keys and leases.
   * Resolves once the events are stored. A refused condition resolves with `accepted: false`; it does not throw.
   * @throws TwinrailError `unavailable`; the events may have been stored nevertheless
   * @throws TwinrailError `rate-limited` when the log is over its size limit; nothing has changed then
   */
  append(sessionId: string, texts: readonly string[], conditions?: AppendConditions): Promise<Appended>

  /**
   * The entries of these keys, in the same order; `undefined` for a key that is not taken or whose session is missing.
   * @throws TwinrailError `unavailable`
   */
  lookup(sessionId: string, keys: readonly string[]): Promise<(KeyEntry | undefined)[]>

  /**
   * The events after number `after`, in order; from the oldest held on when that was trimmed. Returns fewer than
   * `bounds.events` when they reach `bounds.bytes`. `undefined` when there is no session.
   * @throws TwinrailError `unavailable`
   */
  read(sessionId: string, after: number, bounds: ReadBounds): Promise<LogPage | undefined>

  /**
   * Calls the follower for everything that is appended from now on, by any process. Returns the function that ends
   * this. The session need not exist. Never throws.
   */
  follow(sessionId: string, follower: Follower): () => void

  /**
   * Sends the JSON of an ephemeral event to all current followers of the session, on every node. Nothing is stored.
   * @throws TwinrailError `unavailable`
   */
  publishEphemeral(sessionId: string, json: string): Promise<void>

  /**
   * Sets a mark that expires in `ttlMs`; 0 removes it. All followers of the session are notified. Without a session it
   * does nothing; marks are deleted with their session.
   * @param ttlMs in ms
   * @throws TwinrailError `unavailable`
   */
  mark(sessionId: string, name: string, ttlMs: number): Promise<void>

  /**
   * The session's marks that have not expired.
   * @param prefix only those whose names begin with it; default all
   * @throws TwinrailError `unavailable`
   */
  marks(sessionId: string, prefix?: string): Promise<Mark[]>

  /**
   * Stores a snapshot. Does nothing when the log is of another epoch or has a newer snapshot.
   * @throws TwinrailError `unavailable`
   */
  saveSnapshot(sessionId: string, epoch: number, snapshot: Snapshot): Promise<void>

  /** The latest snapshot of this epoch; `undefined` when there is none. @throws TwinrailError `unavailable` */
  loadSnapshot(sessionId: string, epoch: number): Promise<Snapshot | undefined>

  /**
   * Deletes the events up to and including number `through`, and stores the snapshot. Does nothing in another epoch.
   * @throws RangeError when the snapshot does not reach `through`
   * @throws TwinrailError `unavailable`
   */
  trim(sessionId: string, epoch: number, through: number, snapshot: Snapshot): Promise<void>

  /**
   * Deletes the session with its events, keys, leases and marks. Resolves with `false` when there was none. Later
   * appends to its epoch are refused.
   * @throws TwinrailError `unavailable`
   */
  delete(sessionId: string): Promise<boolean>

  /**
   * Renews a lease for `lease.ttlMs` from now on. Resolves with `false` when the token does not hold it.
   * @throws TwinrailError `unavailable`
   */
  renew(sessionId: string, lease: Lease): Promise<boolean>

  /**
   * Up to `limit` expired leases, oldest first. A lease stays in this list until it is released or renewed.
   * @throws TwinrailError `unavailable`
   */
  expired(limit: number): Promise<ExpiredLease[]>

  /**
   * Resolves when the store accepts appends now.
   * @throws TwinrailError `unavailable` with the reason in its message; `details.reason` is `full` when the store is
   * full, and `max-log-bytes` when the log is over its size limit
   */
  ready(): Promise<void>

  /** The number of incidents of each kind since the driver was opened, for metrics. */
  counts?(): Readonly<Record<string, number>>

  /** The size of the log, for metrics. @throws TwinrailError `unavailable` */
  size?(): Promise<LogSize>

  /**
   * The number of sessions that exist and were created by this principal. Where several nodes create a session at once,
   * or the store lost data, it may be wrong by as many.
   * @throws TwinrailError `unavailable`
   */
  countCreated(createdBy: string): Promise<number>

  /**
   * Uses up some of a token bucket that all nodes share. It fills by `perSecond` up to `burst`, where it begins, and is
   * forgotten once it is full. Only drivers for several nodes have it.
   * @returns what is left, which may be below 0
   * @throws TwinrailError `unavailable`
   */
  spend?(bucket: string, cost: number, perSecond: number, burst: number): Promise<number>

  /**
   * Says how many of some things this node has; the other nodes believe it for `ttlMs`. Only drivers for several nodes
   * have it.
   * @returns the sums of what the other nodes have said
   * @throws TwinrailError `unavailable`
   */
  hold?(name: string, counts: readonly number[], ttlMs: number): Promise<readonly number[]>

  /**
   * The records of a session, in no particular order. Keys that have expired are left out, and so are keys whose names a
   * driver cannot give back. Records that change while they are read may come in either form, or twice. Ends early when the
   * session is deleted or gets another epoch.
   * @throws TwinrailError `unavailable`
   */
  records(sessionId: string, epoch: number): AsyncIterable<SessionRecord>

  /**
   * Creates a session as a copy has it: without events, and with the head before `earliest`. Then append its events, in
   * order, and write its records by {@link restoreRecords}; the leases last, since a run whose lease has expired is ended
   * by any node. Later epochs of the store are greater than this one.
   * @throws TwinrailError `unavailable`; `rate-limited` when the log is over its size limit
   */
  restore(sessionId: string, session: RestoredSession): Promise<Restored>

  /**
   * Writes records of a session, in place of those of the same kind and name, and says when it was last active, in ms since
   * 1970. Does nothing in another epoch.
   * @throws TwinrailError `unavailable`; `rate-limited` when the log is over its size limit
   */
  restoreRecords(
    sessionId: string,
    epoch: number,
    records: readonly SessionRecord[],
    activeAt: number,
  ): Promise<void>

  /** Ends all following and frees all resources. Later calls reject with `unavailable`. */
  close(): Promise<void>
}
