/** The one door to a log: nothing else outside `src/log` calls a driver. */
import { encodeEvent, type LogEvent } from '../log/event.ts'
import { keys } from '../log/keys.ts'
import type {
  AppendConditions,
  Appended,
  EventLog,
  ExpiredLease,
  Follower,
  KeyEntry,
  Lease,
  LogPage,
  LogSize,
  Mark,
  OnceKey,
  Place,
  ReadBounds,
  Restored,
  RestoredSession,
  SessionInfo,
  SessionRecord,
  Snapshot,
} from '../log/log.ts'
import { formatOffset, limits, TwinrailError } from '../protocol/index.ts'
import type { RunRange } from './cursor.ts'
import { JointAppends } from './joint-appends.ts'
import { endsRun, type OpenLimits, openDefaults, openingsOf } from './open-limits.ts'
import { shareLoop } from './share-loop.ts'
import type { Tracing } from './tracing.ts'

export type { LogSize } from '../log/log.ts'

/** An event as its producer gives it, already checked. */
export interface Body {
  type: string
  runId?: string | undefined
  data: unknown
}

/** Events that this process has just appended. */
export interface Growth {
  readonly sessionId: string
  readonly epoch: number
  /** Number of the first event of the call. */
  readonly first: number
  /** Number of the last event in the log. */
  readonly head: number
  /** The keys that the call took; they tell which runs have begun and ended and which questions have their answer. */
  readonly taken: readonly OnceKey[]
  /** The runs whose holders have appended, in the leases of the call. */
  readonly runs: readonly string[]
}

/** The most bytes that the offset adds to an event's JSON. */
const OFFSET_BYTES = '"offset":"",'.length + 33

/**
 * Appends to a log and reads from it. Every call may throw a TwinrailError `unavailable` while the log is away. See
 * {@link EventLog} for what the calls of the same name promise.
 */
export class Journal {
  readonly #log: EventLog
  readonly #limits: OpenLimits
  readonly #tracing: Tracing | undefined
  readonly #listeners = new Set<(growth: Growth) => void>()
  readonly #appended = { events: 0, bytes: 0 }
  readonly #joint = new JointAppends((sessionId, texts, createdBy) =>
    this.#appendTexts(sessionId, texts, { create: true, createdBy }),
  )

  /** @param limits what may be open in each session; each limit has a default */
  constructor(log: EventLog, limits: Partial<OpenLimits> = {}, tracing?: Tracing | undefined) {
    this.#log = log
    this.#tracing = tracing
    this.#limits = { ...openDefaults, ...limits }
  }

  /** Whether the log outlives this process. */
  get isDurable(): boolean {
    return this.#log.isDurable ?? false
  }

  /**
   * Calls the listener after each append of this process that added events, before the append resolves. Listeners must
   * not throw.
   */
  onAppended(listener: (growth: Growth) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Appends events; the session's subscribers get them after the log has accepted them. A session that is created by it
   * has the author of the events as its creator. Refusals by condition are results, not errors. An empty list appends
   * nothing but may take keys and leases. An append that takes the key of a run or of a question opens it, and is refused
   * where as many are open as may be.
   * @throws TwinrailError `too-large` when one event's JSON exceeds the limit; nothing is appended then
   */
  async append(
    sessionId: string,
    bodies: readonly Body[],
    conditions: AppendConditions & { by?: string | undefined } = {},
  ): Promise<Appended> {
    const { by, create } = conditions
    const texts = bodies.map(body => this.encode(sessionId, body, by))
    return this.appendTexts(sessionId, texts, create ? { ...conditions, createdBy: by } : conditions)
  }

  /**
   * Appends one event under no condition, and creates the session if it is missing. Such events of a session are appended
   * in the order of the calls, also when these overlap, and share calls of the log.
   * @throws TwinrailError `too-large`
   */
  async publish(sessionId: string, body: Body, by: string): Promise<Appended> {
    const text = this.encode(sessionId, body, by)
    const append = () => this.#joint.add(sessionId, text, by)
    return this.#tracing?.append({ sessionId, runId: undefined, events: 1 }, append) ?? append()
  }

  /** As `append`, for events that `encode` has made. */
  appendTexts(
    sessionId: string,
    texts: readonly string[],
    conditions: AppendConditions = {},
  ): Promise<Appended> {
    const append = () => this.#appendTexts(sessionId, texts, conditions)
    const runId = conditions.leases?.[0]?.runId
    return this.#tracing?.append({ sessionId, runId, events: texts.length }, append) ?? append()
  }

  async #appendTexts(
    sessionId: string,
    texts: readonly string[],
    conditions: AppendConditions,
  ): Promise<Appended> {
    const appended = await this.#log.append(sessionId, texts, this.#limited(texts, conditions))
    if (appended.accepted && texts.length > 0) {
      this.#appended.events += texts.length
      for (const text of texts) this.#appended.bytes += text.length
      const { epoch, first, head } = appended
      const { once: taken = [], leases = [] } = conditions
      const runs = leases.filter(({ from }) => from === undefined).map(({ runId }) => runId)
      // A producer that repeats itself may have added only the last events, and where its first one lies may be unknown.
      for (const listener of this.#listeners)
        listener({ sessionId, epoch, first: first || head, head, taken, runs })
    }
    return appended
  }

  /** The conditions, with the limits on what the append opens, and without that on the log's size where it ends a run. */
  #limited(texts: readonly string[], conditions: AppendConditions): AppendConditions {
    const { once } = conditions
    if (!once || once.length === 0) return conditions
    const opens = openingsOf(once, texts, this.#limits)
    if (opens.length > 0) return { ...conditions, opens }
    return once.some(endsRun) ? { ...conditions, beyondLimit: true } : conditions
  }

  /** The text that the log takes for an event that is made now. @throws TwinrailError `too-large` */
  encode(sessionId: string, { type, runId, data }: Body, by?: string): string {
    const text = encodeEvent({ sessionId, runId, type, time: Date.now(), by, data })
    // A UTF-16 unit takes at most three bytes, so most events need no counting.
    if (text.length * 3 + OFFSET_BYTES > limits.eventBytes) {
      if (Buffer.byteLength(text) + OFFSET_BYTES > limits.eventBytes) throw tooLarge()
    }
    return text
  }

  /**
   * Hands an event to the session's live subscribers on every node; nothing is appended.
   * @throws TwinrailError `too-large`
   */
  async publishEphemeral(sessionId: string, { type, runId, data }: Body, by?: string): Promise<void> {
    const json = JSON.stringify({ sessionId, runId, type, time: Date.now(), by, ephemeral: true, data })
    if (Buffer.byteLength(json) > limits.eventBytes) throw tooLarge()
    await this.#log.publishEphemeral(sessionId, json)
  }

  /** Creates the session, or returns the existing one. @param createdBy id of the principal that creates it */
  create(
    sessionId: string,
    metadata: Record<string, unknown>,
    createdBy?: string,
  ): Promise<{ created: boolean; session: SessionInfo }> {
    return this.#log.create(sessionId, metadata, createdBy)
  }

  /** The session as the log has it now; `undefined` when there is none. */
  findSession(sessionId: string): Promise<SessionInfo | undefined> {
    return this.#log.session(sessionId)
  }

  /** The session as the log has it now. @throws TwinrailError `session-not-found` */
  async session(sessionId: string): Promise<SessionInfo> {
    const session = await this.#log.session(sessionId)
    if (!session) throw sessionNotFound(sessionId)
    return session
  }

  /** Where a run lies in its session. @throws TwinrailError `run-not-found` */
  async run(sessionId: string, runId: string): Promise<RunRange> {
    const [started, ended] = await this.lookup(sessionId, [keys.run(runId), keys.end(runId)])
    if (!started) throw runNotFound(runId)
    return { start: started.seq, end: ended?.seq }
  }

  /** Sessions in the order of their ids, after the given one; without the server's own, whose id sorts last. */
  async list(after: string | undefined, limit: number): Promise<SessionInfo[]> {
    const found = await this.#log.list(after, limit)
    return found.at(-1)?.sessionId === AUTH_SESSION ? found.slice(0, -1) : found
  }

  /** Sessions in the order of their last activity, behind a place; without the server's own. */
  async recent(after: Place | undefined, limit: number): Promise<SessionInfo[]> {
    const found = await this.#log.recent(after, limit + 1)
    return found.filter(({ sessionId }) => sessionId !== AUTH_SESSION).slice(0, limit)
  }

  /** Forgets the session and all it holds; `false` when there was none. */
  delete(sessionId: string): Promise<boolean> {
    return this.#log.delete(sessionId)
  }

  /** Events after a number, from the oldest held on; `undefined` when there is no session. */
  read(sessionId: string, after: number, bounds: ReadBounds): Promise<LogPage | undefined> {
    return this.#log.read(sessionId, after, bounds)
  }

  /** One event by its number; `undefined` when it was trimmed. */
  async event(sessionId: string, seq: number): Promise<LogEvent | undefined> {
    const page = await this.#log.read(sessionId, seq - 1, { events: 1, bytes: 1, through: seq })
    return page?.events[0]
  }

  /**
   * Events after a number, in order, read a page at a time; ends at `through`, or at the head. Whoever goes through a
   * long session by it leaves the event loop to others every few ms.
   */
  async *events(sessionId: string, after: number, through?: number): AsyncGenerator<LogEvent, void, void> {
    const bounds = through === undefined ? WALK : { ...WALK, through }
    const sharing = shareLoop()
    while (through === undefined || after < through) {
      const page = await this.#log.read(sessionId, after, bounds)
      const last = page?.events.at(-1)
      if (!page || !last) return
      for (const event of page.events) {
        yield event
        const pause = sharing()
        if (pause) await pause
      }
      after = last.seq
    }
  }

  /**
   * Stretches of the log, the newest first, each with its events in order; from number `before` back to `oldest`. A turn of
   * the event loop passes after each. It ends early when the log gets another epoch.
   * @param count events of a stretch; fewer where they are large
   */
  async *backwards(
    { sessionId, epoch }: Pick<SessionInfo, 'sessionId' | 'epoch'>,
    before: number,
    oldest: number,
    count: number,
  ): AsyncGenerator<{ from: number; events: readonly LogEvent[] }, void, void> {
    while (before > oldest) {
      const from = Math.max(oldest, before - count)
      const bounds = { events: before - from, bytes: WALK.bytes, through: before - 1 }
      const page = await this.#log.read(sessionId, from - 1, bounds)
      if (!page || page.epoch !== epoch) return
      // A log is read forwards only. When this many events are too large together, fewer are tried.
      const last = page.events.at(-1)
      if (last && last.seq < before - 1) {
        count = Math.max(1, Math.floor(count / 2))
        continue
      }
      yield { from, events: page.events }
      before = from
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  /** The entries of these keys, in the order of the names; `undefined` for keys that were not taken. */
  lookup(sessionId: string, names: readonly string[]): Promise<(KeyEntry | undefined)[]> {
    return this.#log.lookup(sessionId, names)
  }

  /** Hands the events that any process appends from now on to the follower, until the returned function is called. */
  follow(sessionId: string, follower: Follower): () => void {
    return this.#log.follow(sessionId, follower)
  }

  /** Sets a mark of the session that expires in `ttlMs`; 0 removes it. */
  mark(sessionId: string, name: string, ttlMs: number): Promise<void> {
    return this.#log.mark(sessionId, name, ttlMs)
  }

  /** The session's marks that have not expired. */
  marks(sessionId: string, prefix?: string): Promise<Mark[]> {
    return this.#log.marks(sessionId, prefix)
  }

  /** Stores a snapshot of the session's state, unless the log has a newer one or is of another epoch. */
  saveSnapshot(sessionId: string, epoch: number, snapshot: Snapshot): Promise<void> {
    return this.#log.saveSnapshot(sessionId, epoch, snapshot)
  }

  /** The newest snapshot of this epoch; `undefined` without one. */
  loadSnapshot(sessionId: string, epoch: number): Promise<Snapshot | undefined> {
    return this.#log.loadSnapshot(sessionId, epoch)
  }

  /** Deletes the events up to and including `through`. The snapshot must reach as far. */
  trim(sessionId: string, epoch: number, through: number, snapshot: Snapshot): Promise<void> {
    return this.#log.trim(sessionId, epoch, through, snapshot)
  }

  /** Renews a lease from now on; `false` when another holder has it. */
  renew(sessionId: string, lease: Lease): Promise<boolean> {
    return this.#log.renew(sessionId, lease)
  }

  /** Up to `limit` expired leases, oldest first. A lease stays in this list until it is released or renewed. */
  expired(limit: number): Promise<ExpiredLease[]> {
    return this.#log.expired(limit)
  }

  /** Resolves when the log accepts appends now. @throws TwinrailError `unavailable` with the reason in its message */
  ready(): Promise<void> {
    return this.#log.ready()
  }

  /** What this process has appended: events, and UTF-16 units of their JSON, the cheap measure of bytes. */
  get appended(): { readonly events: number; readonly bytes: number } {
    return this.#appended
  }

  /** The name of the log's driver; `custom` for one that has none. */
  get driver(): string {
    return this.#log.driver ?? 'custom'
  }

  /** The number of incidents of each kind since the log was opened, for metrics. */
  counts(): Readonly<Record<string, number>> {
    return this.#log.counts?.() ?? {}
  }

  /** The size of the log; `undefined` when its driver does not tell. */
  async size(): Promise<LogSize | undefined> {
    return this.#log.size?.()
  }

  /** The number of sessions that exist and were created by this principal. */
  countCreated(createdBy: string): Promise<number> {
    return this.#log.countCreated(createdBy)
  }

  /** Whether other nodes may use the log, so that {@link spend} and {@link hold} have a meaning. */
  get isShared(): boolean {
    return this.#log.spend !== undefined && this.#log.hold !== undefined
  }

  /** Uses up some of a token bucket that all nodes share. Resolves with what is left. */
  async spend(bucket: string, cost: number, perSecond: number, burst: number): Promise<number> {
    return (await this.#log.spend?.(bucket, cost, perSecond, burst)) ?? burst
  }

  /** Says how many of some things this node has. Resolves with what the other nodes have. */
  async hold(name: string, counts: readonly number[], ttlMs: number): Promise<readonly number[]> {
    return (await this.#log.hold?.(name, counts, ttlMs)) ?? []
  }

  /** The records of a session: its keys, producers, leases and tallies. */
  records(sessionId: string, epoch: number): AsyncIterable<SessionRecord> {
    return this.#log.records(sessionId, epoch)
  }

  /** Creates a session as a copy has it; its events and records follow. */
  restore(sessionId: string, session: RestoredSession): Promise<Restored> {
    return this.#log.restore(sessionId, session)
  }

  /** Writes records of a restored session, and says when it was last active. */
  restoreRecords(
    sessionId: string,
    epoch: number,
    records: readonly SessionRecord[],
    activeAt: number,
  ): Promise<void> {
    return this.#log.restoreRecords(sessionId, epoch, records, activeAt)
  }

  /** Closes the log. Calls after it are refused. */
  close(): Promise<void> {
    return this.#log.close()
  }
}

/** The session in which the server keeps tickets and revocations. No id from outside begins with `~`. */
export const AUTH_SESSION = '~auth'

/** What `events` reads at once. */
const WALK = { events: 1000, bytes: 1024 * 1024 }

function tooLarge(): TwinrailError {
  return new TwinrailError(
    'too-large',
    `the event's JSON is larger than ${limits.eventBytes} bytes; split it, or send a link to the content`,
  )
}

/** The refusal of anything that needs the session to exist. */
export function sessionNotFound(sessionId: string): TwinrailError {
  return new TwinrailError('session-not-found', 'there is no such session; create it first', {
    details: { sessionId },
  })
}

/** The refusal of anything that needs the run to exist. */
export function runNotFound(runId: string): TwinrailError {
  return new TwinrailError('run-not-found', 'the session has no such run; start it first', {
    details: { runId },
  })
}

/** The offset of an event in the log that accepted it. */
export function offsetOf({ epoch }: { epoch: number }, seq: number): string {
  return formatOffset(epoch, seq)
}
