/** The folder's LMDB file, opened by one process at a time. */
import { dirname } from 'node:path'
import { type Database, open, type RootDatabase } from 'lmdb'
import { TwinrailError } from '../../protocol/index.ts'
import { isFull } from '../refusals.ts'
import { checkFolder, FORMAT, LogFolderError, probeDisk } from './folder.ts'
import { type Demand, Room } from './room.ts'
import { FIRST, LAST, openTables, pagesOf, type Tables, type TreeStats } from './tables.ts'
import type { Transaction } from './writer.ts'

/** The process that owns a log. */
interface Owner {
  readonly pid: number
  /** ms since 1970. */
  readonly since: number
}

const OWNER = 'owner'

/**
 * Size of LMDB's table of readers; an entry takes 64 bytes. A server uses one entry as long as it runs; the others are
 * for other programs that open the file, such as a backup.
 */
const MAX_READERS = 256

/** LMDB's `MDB_READERS_FULL`: living programs use every entry. */
const READERS_FULL = -30790

/** Logs that this process has open. LMDB would let it open them twice. */
const opened = new Set<string>()

export interface StoreOptions {
  readonly folder: string
  /** See {@link Room}. */
  readonly reserveBytes: number
}

export interface Store {
  readonly tables: Tables
  /** Whether the file's last attempt to grow failed. */
  readonly isShort: boolean
  /** Bytes of the file's pages that hold something. */
  readonly usedBytes: number
  /** Numbers of commits without space, and of commits that failed in LMDB, since the store was opened. */
  readonly counts: Readonly<Record<'full' | 'failed-commit', number>>
  /**
   * Writes the transaction to the disk, all or nothing.
   * @param frees the transaction frees space
   * @throws TwinrailError `unavailable`; with `details.reason` `full` when there is no space
   */
  commit(transaction: Transaction, frees: boolean): Promise<void>
  /** Resolves when an append of a usual size would be accepted. @throws TwinrailError as {@link commit} */
  ready(): Promise<void>
  close(): Promise<void>
}

/** The open file and its ownership. */
interface Holding {
  readonly root: RootDatabase
  readonly owners: Database<Owner, string>
  /** The number of this ownership. Commits check that it is still the current one. */
  readonly term: number
}

const NOTHING: Demand = { places: 0, removed: 0, large: 0, bytes: 0 }

/** The demand of opening a log: the tables and the owner's row. */
const START: Demand = { places: 16, removed: 0, large: 0, bytes: 4096 }

/** Minimum time between two attempts to reopen the file after a failed commit, in ms. */
const REOPEN_MS = 1000

/** @throws LogFolderError */
export async function openStore({ folder, reserveBytes }: StoreOptions): Promise<Store> {
  const path = checkFolder(folder)
  if (opened.has(path)) throw inUse(path, process.pid)
  opened.add(path)
  let root: RootDatabase | undefined
  let room: Room | undefined
  try {
    root = openRoot(path)
    let tables: Tables | undefined
    room = await Room.open({
      path,
      reserveBytes,
      usedBytes: () => (tables ? usedBytes(tables) : 0),
      hasGarbage: () => tables !== undefined && tables.garbage.keys(FIRST, LAST, 1).length > 0,
    })
    await room.provide(START, true)
    const owners = openOwners(root)
    tables = openTables(root)
    return new OpenStore(path, room, tables, { root, owners, term: takeOver(path, root, owners) })
  } catch (error) {
    await room?.close()
    await root?.close()
    opened.delete(path)
    if (error instanceof LogFolderError) throw error
    const { message } = error as Error
    throw new LogFolderError('unusable', `the log ${path} cannot be opened: ${message}`, error)
  }
}

function openRoot(path: string): RootDatabase {
  return open({
    path,
    noSubdir: true,
    maxDbs: 16,
    maxReaders: MAX_READERS,
    // A commit resolves when it is on the disk, so that a power cut cannot lose what a client has seen.
    overlappingSync: false,
    // `Writer` makes the batches. Those of `lmdb` cause an unhandled rejection when a commit fails.
    eventTurnBatching: false,
  })
}

function openOwners(root: RootDatabase): Database<Owner, string> {
  return root.openDB<Owner, string>(FORMAT, { encoding: 'json', useVersions: true })
}

/** Makes this process the owner, after all tables have been opened. @returns the number of this ownership */
function takeOver(path: string, root: RootDatabase, owners: Database<Owner, string>): number {
  takePlace(path, root)
  return own(path, root, owners)
}

/** Size of the used pages, in bytes. */
function usedBytes(tables: Tables): number {
  const stats = tables.sessions.db.getStats() as { pageSize: number; root: TreeStats; free: TreeStats }
  const pages = Object.values(tables).reduce((sum, table) => sum + table.pages, 0)
  // Two meta pages, and the owner's page.
  return (pages + pagesOf(stats.root) + pagesOf(stats.free) + 3) * stats.pageSize
}

/**
 * Takes an entry for this process in LMDB's table of readers. The `lmdb` package keeps the read transaction that this
 * begins, resets it at the end of each turn of the event loop and renews it for the next read, in the same entry. It would
 * release the entry if a table were opened later. The kernel's file locks release the entry when the process dies, also
 * when it runs in another container.
 */
function takePlace(path: string, root: RootDatabase): void {
  try {
    root.useReadTransaction().done()
  } catch (cause) {
    if ((cause as { code?: unknown }).code === READERS_FULL) {
      throw new LogFolderError(
        'unusable',
        `the log ${path} cannot be opened now: other programs use all entries of LMDB's table of readers; stop some of them and start again`,
        cause,
      )
    }
    // Another process with the same id has the entry, in another container.
    throw inUse(path, process.pid, cause)
  }
}

/**
 * Makes this process the owner, unless the previous owner is alive.
 * @returns the number of this ownership
 */
function own(path: string, root: RootDatabase, owners: Database<Owner, string>): number {
  // In one write transaction, so that of two processes that start at once the second sees the first.
  return root.transactionSync(() => {
    const held = owners.getEntry(OWNER)
    const alive = held && held.value.pid !== process.pid && readers(root).has(held.value.pid)
    if (alive) throw inUse(path, held.value.pid)
    const term = (held?.version ?? 0) + 1
    owners.putSync(OWNER, { pid: process.pid, since: Date.now() }, term)
    return term
  })
}

/** Ids of the processes that have the file open. */
function readers(root: RootDatabase): Set<number> {
  root.readerCheck()
  return new Set([...root.readerList().matchAll(/^\s*(\d+)/gm)].map(([, pid]) => Number(pid)))
}

function inUse(path: string, pid: number, cause?: unknown): LogFolderError {
  const who = pid === process.pid ? 'this process or one in another container' : `process ${pid}`
  return new LogFolderError(
    'in-use',
    `the log ${path} is in use by ${who}; stop that one, or name another folder`,
    cause,
  )
}

/** A commit that failed in LMDB. */
interface Failure {
  error: TwinrailError
  /** When the file was last reopened or tried to be, in ms, monotonic. */
  triedAt: number
  isClosed: boolean
}

class OpenStore implements Store {
  readonly tables: Tables
  readonly counts = { full: 0, 'failed-commit': 0 }
  readonly #path: string
  readonly #room: Room
  #holding: Holding
  /** The last commit failed in LMDB, whose memory may be damaged: the file must be reopened before the next write. */
  #failed: Failure | undefined
  #reopening: Promise<void> | undefined

  constructor(path: string, room: Room, tables: Tables, holding: Holding) {
    this.#path = path
    this.#room = room
    this.tables = tables
    this.#holding = holding
  }

  get isShort(): boolean {
    return this.#room.isShort
  }

  get usedBytes(): number {
    return usedBytes(this.tables)
  }

  async commit(transaction: Transaction, frees: boolean): Promise<void> {
    await this.#ensureUsable()
    try {
      await this.#room.provide(transaction.demand, frees)
    } catch (error) {
      if (isFull(error)) this.counts.full++
      throw error
    }
    const { root, owners, term } = this.#holding
    let held: boolean
    try {
      // Even if two processes believed to be the owner, only the later one could write.
      held = await owners.ifVersion(OWNER, term, () => transaction.write())
    } catch (cause) {
      const { commitError } = cause as { commitError?: Promise<unknown> }
      const reason = (await commitError?.catch(error => error)) ?? cause
      throw this.#stop(reason)
    }
    if (!held) throw lostOwnership()
    // Later reads, such as those of followers, must see this commit.
    root.resetReadTxn()
  }

  async ready(): Promise<void> {
    await this.#ensureUsable()
    const { owners, term } = this.#holding
    if (owners.getEntry(OWNER)?.version !== term) throw lostOwnership()
    await this.#room.provide(NOTHING, false)
  }

  async close(): Promise<void> {
    await this.#reopening?.catch(() => {})
    if (!this.#failed?.isClosed) await this.#holding.root.close()
    await this.#room.close()
    opened.delete(this.#path)
  }

  #stop(cause: unknown): TwinrailError {
    this.counts['failed-commit']++
    const error = unwritable('nothing is written until its file has been reopened', cause)
    this.#failed = { error, triedAt: -Infinity, isClosed: false }
    return error
  }

  /** Reopens the file after a failed commit. Reads are refused until it is open. @throws TwinrailError */
  #ensureUsable(): Promise<void> | undefined {
    if (!this.#failed) return
    this.#reopening ??= this.#reopen(this.#failed).finally(() => {
      this.#reopening = undefined
    })
    return this.#reopening
  }

  async #reopen(failed: Failure): Promise<void> {
    if (performance.now() - failed.triedAt < REOPEN_MS) throw failed.error
    failed.triedAt = performance.now()
    try {
      probeDisk(dirname(this.#path))
      if (!failed.isClosed) await this.#holding.root.close()
      failed.isClosed = true
      const root = openRoot(this.#path)
      try {
        const owners = openOwners(root)
        for (const table of Object.values(this.tables)) table.reopen(root)
        await this.#room.provide(START, true)
        this.#holding = { root, owners, term: takeOver(this.#path, root, owners) }
      } catch (error) {
        await root.close()
        throw error
      }
      this.#failed = undefined
    } catch (cause) {
      if (isFull(cause)) throw cause
      failed.error = unwritable(`its file cannot be reopened: ${(cause as Error).message}`, cause)
      throw failed.error
    }
  }
}

function unwritable(why: string, cause: unknown): TwinrailError {
  return new TwinrailError('unavailable', `the log could not be written; ${why}; try again later`, {
    cause,
    retryAfterMs: REOPEN_MS,
  })
}

function lostOwnership(): TwinrailError {
  return new TwinrailError(
    'unavailable',
    'the log belongs to another process now; this one must be restarted',
  )
}
