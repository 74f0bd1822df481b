/**
 * The driver `lmdb`, the server's default: the log in a folder, stored by LMDB. Concurrent appends share one commit, and
 * each resolves when its commit is on the disk. Only one process at a time can open the folder. The file never shrinks;
 * freed space in it is reused. While the disk is full, appends are refused; reading, deleting and trimming continue.
 */
import { adds, entryOf, judge } from './conditions.ts'
import { LogEvent } from './event.ts'
import { Followers } from './followers.ts'
import { type Backup, copyLog } from './lmdb/backup.ts'
import { findExpired, moveEnds } from './lmdb/leases.ts'
import { recordsOf } from './lmdb/records.ts'
import { OpenSession } from './lmdb/session.ts'
import { openStore } from './lmdb/store.ts'
import { Sweeper } from './lmdb/sweeper.ts'
import {
  activityKey,
  eventKey,
  FIRST,
  idOfActivityKey,
  LAST,
  LAST_EPOCH,
  nameKey,
  numberKey,
  PRESENT,
  type SessionRow,
} from './lmdb/tables.ts'
import { Usage } from './lmdb/usage.ts'
import { type Transaction, Writer } from './lmdb/writer.ts'
import type { Appended, EventLog, SessionInfo } from './log.ts'
import { Marks } from './marks.ts'
import { logClosed, mustReach } from './refusals.ts'
import { lengthOf, SizeLimit } from './size-limit.ts'

export type { Backup } from './lmdb/backup.ts'
export type { FolderProblem } from './lmdb/folder.ts'
export { LogFolderError } from './lmdb/folder.ts'

/** The options of {@link openLmdbLog}. */
export interface LmdbLogOptions {
  /** Created when it is missing. */
  folder: string
  /**
   * The log's file does not grow while its disk has fewer free bytes than this: appends reject with `unavailable` and
   * `details.reason` `full`; deleting and trimming continue. @default 64 MiB
   */
  reserveBytes?: number
  /**
   * The size of the log from which on appends and new sessions are refused as `rate-limited`, in bytes of the file's pages
   * that hold something. The file itself never shrinks. @default no limit
   */
  maxLogBytes?: number | undefined
  /** ms since 1970; tests of expiry pass their own. */
  clock?: () => number
}

/** A log in a folder. */
export interface LmdbLog extends EventLog {
  /** Resolves when the space of all trimmed, deleted and expired data has been freed. */
  settled(): Promise<void>
}

/** Options of a job that frees space. */
const FREES = { frees: true }

/** See {@link LmdbLogOptions.reserveBytes}. */
export const RESERVE_BYTES = 64 * 1024 * 1024

/**
 * Opens the driver `lmdb`.
 * @throws LogFolderError when the folder has other files, is damaged, of another version or in use; it is not changed
 * @example
 * ```ts
 * import { createServer } from 'twinrail'
 * import { openLmdbLog } from 'twinrail/log/lmdb'
 *
 * const log = await openLmdbLog({ folder: '.twinrail', maxLogBytes: 10 * 1024 ** 3 })
 * const server = await createServer({ log })
 * ```
 */
export async function openLmdbLog(options: LmdbLogOptions): Promise<LmdbLog> {
  const { folder, reserveBytes = RESERVE_BYTES, maxLogBytes, clock = Date.now } = options
  const store = await openStore({ folder, reserveBytes })
  const { tables } = store
  const limit = new SizeLimit(maxLogBytes)
  const usage = new Usage(() => store.usedBytes)
  const writer = new Writer(async (transaction, frees) => {
    await store.commit(transaction, frees)
    if (frees) usage.freed()
  })
  const sweeper = new Sweeper(tables, writer, clock)
  const followers = new Followers()
  const marks = new Marks(clock)
  let closing: Promise<void> | undefined
  sweeper.poke()

  function mustBeOpen(): void {
    if (closing) throw logClosed()
  }

  /** Runs a job in the next commit; resolves when the commit is on the disk. */
  function write<T>(job: (transaction: Transaction) => T, options?: { frees: boolean }): Promise<T> {
    return closing ? Promise.reject(logClosed()) : writer.run(job, options)
  }

  /** @throws TwinrailError `rate-limited` */
  function mustHaveRoom(added: number): void {
    if (!limit.isSet) return
    limit.mustHaveRoom(usage.bytes, added)
    usage.add(added)
  }

  function rowOf(sessionId: string): SessionRow | undefined {
    mustBeOpen()
    return tables.sessions.get(Buffer.from(sessionId))
  }

  function find(transaction: Transaction, sessionId: string): OpenSession | undefined {
    const known = transaction.kept.get(sessionId)
    if (known) return known as OpenSession
    const row = transaction.get(tables.sessions, Buffer.from(sessionId))
    if (!row) return undefined
    const session = new OpenSession(tables, transaction, sessionId, row)
    transaction.kept.set(sessionId, session)
    return session
  }

  function newEpoch(transaction: Transaction): number {
    return Math.max(clock(), (transaction.get(tables.counters, LAST_EPOCH) ?? 0) + 1)
  }

  /** A session that nobody knows of yet; {@link keep} it, or it never was. */
  function draft(transaction: Transaction, sessionId: string, createdBy: string | undefined): OpenSession {
    const epoch = newEpoch(transaction)
    return new OpenSession(tables, transaction, sessionId, {
      epoch,
      head: 0,
      earliest: 1,
      createdAt: clock(),
      activeAt: clock(),
      ...(createdBy !== undefined && { createdBy }),
    })
  }

  function keep(transaction: Transaction, session: OpenSession, metadata: Record<string, unknown>): void {
    const last = transaction.get(tables.counters, LAST_EPOCH) ?? 0
    transaction.put(tables.counters, LAST_EPOCH, Math.max(last, session.epoch))
    transaction.put(tables.activity, activityKey(session.place), PRESENT)
    session.setMetadata(metadata)
    session.save({})
    transaction.kept.set(session.sessionId, session)
    count(transaction, session.row, 1)
  }

  function count(transaction: Transaction, { createdBy }: SessionRow, change: number): void {
    if (createdBy === undefined) return
    const key = nameKey(0, createdBy)
    const now = (transaction.get(tables.created, key) ?? 0) + change
    if (now > 0) transaction.put(tables.created, key, now)
    else transaction.remove(tables.created, key)
  }

  function describe(sessionId: string, row: SessionRow, metadata?: Record<string, unknown>): SessionInfo {
    return { sessionId, ...row, metadata: metadata ?? tables.metadata.get(numberKey(row.epoch)) ?? {} }
  }

  return {
    driver: 'lmdb',
    isDurable: true,

    async create(sessionId, metadata, createdBy) {
      return write(transaction => {
        const there = find(transaction, sessionId)
        const session = there ?? draft(transaction, sessionId, createdBy)
        if (!there) {
          mustHaveRoom(JSON.stringify(metadata).length)
          keep(transaction, session, metadata)
        }
        return { created: !there, session: describe(sessionId, session.row, session.metadata()) }
      })
    },

    async session(sessionId) {
      const row = rowOf(sessionId)
      return row && describe(sessionId, row)
    },

    async list(after, limit) {
      mustBeOpen()
      // The first possible key after `after` is `after` with a NUL character.
      const start = after === undefined ? FIRST : Buffer.from(`${after}\0`)
      return tables.sessions.keys(start, LAST, limit).flatMap(key => {
        const row = tables.sessions.get(key)
        return row ? [describe(key.toString(), row)] : []
      })
    },

    async recent(after, limit) {
      mustBeOpen()
      const start = after === undefined ? FIRST : Buffer.concat([activityKey(after), FIRST])
      return tables.activity.keys(start, LAST, limit).flatMap(key => {
        const sessionId = idOfActivityKey(key)
        const row = rowOf(sessionId)
        return row ? [describe(sessionId, row)] : []
      })
    },

    append(sessionId, texts, conditions = {}) {
      return write<Appended>(transaction => {
        const there = find(transaction, sessionId)
        if (!there && !(conditions.create && conditions.epoch === undefined)) {
          return { accepted: false, reason: 'session' }
        }
        const session = there ?? draft(transaction, sessionId, conditions.createdBy)
        const { epoch, head } = session
        const now = clock()
        const { appended, writes } = judge(session, texts.length, conditions, now)
        if (!writes) return appended
        const added = writes.skip > 0 ? texts.slice(writes.skip) : texts
        if (!conditions.beyondLimit && adds(texts.length, writes)) mustHaveRoom(lengthOf(added))
        if (!there) keep(transaction, session, {})

        let seq = head
        for (const text of added) transaction.add(tables.events, eventKey(epoch, ++seq), text)
        if (added.length > 0) session.grow(appended.head, now)
        if (writes.metadata) session.setMetadata(writes.metadata)
        for (const [key, held] of writes.keys) session.takeKey(key, held)
        for (const [runId, lease] of writes.leases) session.setLease(runId, lease)
        for (const runId of writes.release) session.releaseLease(runId)
        if (writes.producer) session.setProducer(...writes.producer)
        for (const [name, open] of writes.tallies ?? []) session.setTally(name, open)
        transaction.afterwards.push(() => {
          if (writes.keys.length > 0) sweeper.poke()
          if (added.length === 0 || !followers.has(sessionId)) return
          const events = added.map((text, i) => new LogEvent(epoch, head + 1 + i, text))
          followers.events(sessionId, epoch, events)
        })
        return appended
      })
    },

    async lookup(sessionId, keys) {
      const row = rowOf(sessionId)
      const now = clock()
      return keys.map(key => row && entryOf(tables.keys.get(nameKey(row.epoch, key)), now))
    },

    async read(sessionId, after, bounds) {
      const row = rowOf(sessionId)
      if (!row) return undefined
      const { epoch, head, earliest } = row
      const first = Math.max(after + 1, earliest)
      const last = Math.min(head, bounds.through ?? head)
      const events: LogEvent[] = []
      if (first <= last) {
        let bytes = 0
        const [start, end] = [eventKey(epoch, first), eventKey(epoch, last + 1)]
        for (const { value } of tables.events.rows(start, end, Math.max(1, bounds.events))) {
          bytes += value.length
          if (events.length > 0 && bytes > bounds.bytes) break
          events.push(new LogEvent(epoch, first + events.length, value))
        }
      }
      return { epoch, head, earliest, events }
    },

    follow(sessionId, follower) {
      mustBeOpen()
      return followers.follow(sessionId, follower)
    },

    async publishEphemeral(sessionId, json) {
      mustBeOpen()
      followers.ephemeral(sessionId, json)
    },

    async mark(sessionId, name, ttlMs) {
      if (!rowOf(sessionId)) return
      marks.make(sessionId, name, ttlMs)
      followers.marked(sessionId, name, ttlMs)
    },

    async marks(sessionId, prefix) {
      return rowOf(sessionId) ? marks.of(sessionId, prefix) : []
    },

    async saveSnapshot(sessionId, epoch, snapshot) {
      return write(transaction => {
        const session = find(transaction, sessionId)
        if (session?.epoch === epoch) session.setSnapshot(snapshot)
      })
    },

    async loadSnapshot(sessionId, epoch) {
      return rowOf(sessionId)?.epoch === epoch ? tables.snapshots.get(numberKey(epoch)) : undefined
    },

    async trim(sessionId, epoch, through, snapshot) {
      return write(transaction => {
        const session = find(transaction, sessionId)
        if (session?.epoch !== epoch) return
        mustReach(snapshot, through)
        const last = Math.min(through, session.head)
        if (last < session.row.earliest) return
        session.save({ earliest: last + 1 })
        session.setSnapshot(snapshot)
        transaction.put(tables.garbage, numberKey(epoch), last)
        transaction.afterwards.push(() => sweeper.poke())
      }, FREES)
    },

    async delete(sessionId) {
      const isDeleted = await write(transaction => {
        const session = find(transaction, sessionId)
        if (!session) return false
        transaction.remove(tables.sessions, Buffer.from(sessionId))
        transaction.kept.delete(sessionId)
        count(transaction, session.row, -1)
        transaction.remove(tables.activity, activityKey(session.place))
        transaction.put(tables.garbage, numberKey(session.epoch), 'all')
        transaction.afterwards.push(() => {
          marks.forget(sessionId)
          followers.deleted(sessionId)
          sweeper.poke()
        })
        return true
      }, FREES)
      // Whoever deletes because there is no room appends next.
      if (store.isShort || (limit.isSet && limit.isOver(usage.bytes))) await sweeper.settled()
      return isDeleted
    },

    async renew(sessionId, { runId, token, ttlMs }) {
      return write(transaction => {
        const session = find(transaction, sessionId)
        if (session?.lease(runId)?.token !== token) return false
        session.setLease(runId, { token, expiresAt: clock() + ttlMs })
        return true
      })
    },

    async expired(limit) {
      mustBeOpen()
      const { expired, renewed } = findExpired(tables, clock(), limit)
      if (renewed.length > 0) {
        // An optimization for the next call, which repeats it after a failure.
        write(transaction => moveEnds(tables, transaction, renewed)).catch(() => {})
      }
      return expired
    },

    async ready() {
      mustBeOpen()
      await store.ready()
      if (limit.isSet) limit.mustBeReady(usage.bytes)
    },

    async countCreated(createdBy) {
      mustBeOpen()
      return tables.created.get(nameKey(0, createdBy)) ?? 0
    },

    counts: () => ({ ...store.counts, 'over-limit': limit.refused }),

    async size() {
      mustBeOpen()
      return { bytes: usage.bytes, maxBytes: limit.maxBytes }
    },

    async *records(sessionId, epoch) {
      if (rowOf(sessionId)?.epoch !== epoch) return
      for await (const record of recordsOf(tables, epoch)) {
        mustBeOpen()
        if (record.kind !== 'key' || (record.expiresAt ?? Infinity) > clock()) yield record
      }
    },

    async restore(sessionId, { epoch, earliest, createdAt, createdBy, metadata, snapshot }) {
      // The rows of a deleted session would be removed under the same epoch.
      if (epoch !== undefined && tables.garbage.get(numberKey(epoch)) === 'all') {
        sweeper.poke()
        await sweeper.settled()
      }
      return write(transaction => {
        if (find(transaction, sessionId)) return { restored: false, reason: 'session' }
        const given = epoch ?? newEpoch(transaction)
        const key = numberKey(given)
        const isTaken = transaction.get(tables.metadata, key) || transaction.get(tables.garbage, key)
        if (isTaken) return { restored: false, reason: 'epoch' }
        mustHaveRoom(JSON.stringify([metadata, snapshot]).length)
        const session = new OpenSession(tables, transaction, sessionId, {
          epoch: given,
          head: earliest - 1,
          earliest,
          createdAt,
          activeAt: createdAt,
          ...(createdBy !== undefined && { createdBy }),
        })
        keep(transaction, session, metadata)
        if (snapshot) session.setSnapshot(snapshot)
        return { restored: true, epoch: given }
      })
    },

    async restoreRecords(sessionId, epoch, records, activeAt) {
      return write(transaction => {
        const session = find(transaction, sessionId)
        if (session?.epoch !== epoch) return
        mustHaveRoom(JSON.stringify(records).length)
        session.move(activeAt)
        for (const record of records) session.setRecord(record)
      })
    },

    settled: () => sweeper.settled(),

    close() {
      closing ??= (async () => {
        await sweeper.stop()
        await writer.idle()
        followers.clear()
        marks.clear()
        await store.close()
      })()
      return closing
    },
  }
}

/**
 * Copies the log in a folder to another folder, also while a server of another process writes to it; the copy has
 * everything that was acknowledged before the call. Then opens the copy and reads all of it. The copy is a log: to restore,
 * open its folder. The log's file grows a little more meanwhile, since pages that are being copied cannot be used again.
 * @param target a folder that is new or empty
 * @param progress called with how many sessions and events of the copy were read
 * @throws LogFolderError when there is no log in `folder`, `target` is not empty, or the copy is damaged; `target` has no
 * log then
 */
export function backupLmdb(
  folder: string,
  target: string,
  progress: (sessions: number, events: number) => void = () => {},
): Promise<Backup> {
  return copyLog(folder, target, folder => openLmdbLog({ folder, reserveBytes: 0 }), progress)
}
