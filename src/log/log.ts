/**
 * The interface of a log of append-only sessions. A driver implements it and must pass the contract suite
 * (`twinrail/log/contract`).
 *
 * What every driver promises:
 * - `append` is atomic and contiguous, and resolves only when the events are as safe as the driver makes them.
 *   Conditions are checked in the same step; a refused append changes nothing.
 * - Numbers (`seq`) count 1, 2, 3 … without holes within an epoch. A session that is deleted and made again, or whose
 *   store lost data, gets a new epoch, greater than any this store ever gave.
 * - Methods reject with TwinrailError `unavailable` while the store cannot be reached, and after `close`. An append that was rejected may still have been stored; a retry needs a `once` key or a producer.
 * - `read` and `follow` give events in order, without holes, and byte for byte the same text for ever.
 */
import type { LogEvent } from './event.ts'

/** Where a session's log stands. */
export interface LogPosition {
  readonly epoch: number
  /** Number of the last event, 0 when there was none yet. */
  readonly head: number
  /** Number of the oldest event held; head + 1 when nothing is held. */
  readonly earliest: number
}

/** A session as its creator described it. */
export interface SessionInfo extends LogPosition {
  readonly sessionId: string
  /** ms since 1970. */
  readonly createdAt: number
  readonly metadata: Record<string, unknown>
}

/** What the log remembers of a key that was taken. */
export interface KeyEntry {
  /** Number of the event it points to; 0 when nothing was appended with it. */
  readonly seq: number
  /** What the taker left for those who come later. */
  readonly note: unknown
}

/** A key to take with an append. */
export interface OnceKey {
  readonly key: string
  readonly note?: unknown
  /** Which of the appended events it points to. @default 0 */
  readonly index?: number
  /** Forgotten after so many ms. @default kept as long as the session */
  readonly ttlMs?: number
}

/** A run's lease: who holds the token may append to the run. */
export interface Lease {
  readonly runId: string
  readonly token: string
  /** Runs out after so many ms unless renewed. */
  readonly ttlMs: number
  /** The token of a lease that ran out, which this one may replace. */
  readonly from?: string
}

/** Checked in the order given here, together with the append, all or nothing. */
export interface AppendConditions {
  /** Makes the session when it is missing; without it a missing session refuses. */
  readonly create?: boolean
  /** The log must be of this incarnation. */
  readonly epoch?: number | undefined
  /** None of these keys may be taken, none may come twice; all are taken with the append. Checked in order. */
  readonly once?: readonly OnceKey[]
  /** None of these keys may be taken. */
  readonly absent?: readonly string[]
  /** Each run's lease must carry this token, or nobody holds one; it is taken or renewed. */
  readonly leases?: readonly Lease[]
  /** Gives these runs' leases up, whoever holds them. */
  readonly release?: readonly string[]
  /**
   * Numbers the producer's events: `seq` is the first one's. What the log already has from that producer is left out
   * and counts as done, with the keys that point to it; a hole refuses. A call that is done as a whole is accepted
   * without further checks and writes nothing. A producer that the log does not know begins at 0 or 1.
   */
  readonly producer?: { readonly id: string; readonly seq: number } | undefined
}

/** What became of an append. */
export type Appended =
  | {
      readonly accepted: true
      readonly epoch: number
      /** Number of the first event of the call (as first appended, where a producer repeats itself), 0 if unknown. */
      readonly first: number
      /** Number of the last event in the log now. */
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

/** A stretch of a log. */
export interface LogPage extends LogPosition {
  readonly events: readonly LogEvent[]
}

/** How much `read` gives at the most; at least one event if there is one. */
export interface ReadBounds {
  readonly events: number
  /** UTF-16 units of text, a driver's cheap measure of bytes. */
  readonly bytes: number
  /** Nothing beyond this number. */
  readonly through?: number
}

/** Gets what anybody appends to a session. Called synchronously, must not throw. */
export interface Follower {
  /** In order, without holes, from the first append after `follow`. */
  events(epoch: number, events: readonly LogEvent[]): void
  /** JSON of an ephemeral event. */
  ephemeral(json: string): void
  /** The session was deleted; nothing follows. */
  deleted(): void
  /** A mark of the session lasts so long from now on, in ms; 0: it was taken away. Expiry is not notified. */
  marked?(name: string, ttlMs: number): void
  /**
   * The store lost events that were seen here. What is left is now the log of this epoch, up to `head`; `events` goes
   * on from there. Only drivers whose store can forget call it.
   */
  lost?(epoch: number, head: number): void
}

/** A named sign that a process leaves on a session for all others. It expires unless it is renewed. */
export interface Mark {
  readonly name: string
  /** How long it lasts from now on, in ms. */
  readonly leftMs: number
}

/** A session's state folded up to `seq`, so that folding need not start at the first event. */
export interface Snapshot {
  readonly seq: number
  readonly state: unknown
}

/** A lease that ran out without being given up. */
export interface ExpiredLease {
  readonly sessionId: string
  readonly epoch: number
  readonly runId: string
  readonly token: string
}

export interface EventLog {
  /**
   * Creates a session, or returns the existing one with `created: false` and its metadata unchanged.
   * @throws TwinrailError `unavailable`
   */
  create(
    sessionId: string,
    metadata: Record<string, unknown>,
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
   * Appends event texts made by `encodeEvent`, all or none. An empty list appends nothing but may take keys and leases.
   * Resolves once the events are stored. A refused condition resolves with `accepted: false`; it does not throw.
   * @throws TwinrailError `unavailable`; the events may have been stored nevertheless
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

  /** The session's marks that have not expired. @throws TwinrailError `unavailable` */
  marks(sessionId: string): Promise<Mark[]>

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
   * Deletes the session with its events, keys, leases and marks. Resolves with `false` when there was none. Later appends
   * to its epoch are refused.
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
   * Resolves when the store takes appends now.
   * @throws TwinrailError `unavailable` that says why it does not, with `details.reason` `full` when it has no room
   */
  ready(): Promise<void>

  /** How often the driver had to deal with each kind of incident since it was opened, for metrics. */
  counts?(): Readonly<Record<string, number>>

  /** Ends all following and frees all resources. Later calls reject with `unavailable`. */
  close(): Promise<void>
}
