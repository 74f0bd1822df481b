/** The folder's LMDB file, opened by one process at a time. */
import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Database, open, type RootDatabase } from 'lmdb'
import { TwinrailError } from '../../protocol/index.ts'
import { checkFolder, FORMAT, LogFolderError } from './folder.ts'
import { openTables, type Tables } from './tables.ts'
import type { Transaction } from './writer.ts'

/** The process that a log belongs to. */
interface Owner {
  readonly pid: number
  /** ms since 1970. */
  readonly since: number
}

const OWNER = 'owner'

/**
 * Places in LMDB's table of readers, 64 bytes each. A server takes one for as long as it runs; the others are for
 * programs that look at the file beside it, such as a backup or a second start.
 */
const MAX_READERS = 256

/** LMDB's `MDB_READERS_FULL`: every place is taken by a program that is alive. */
const READERS_FULL = -30790

/** Free bytes below which a failed write is put down to a full disk. */
const FULL = 1024 * 1024

/** Logs that this process has open: LMDB would share them. */
const opened = new Set<string>()

export interface Store {
  readonly tables: Tables
  /** Writes on the disk, all or nothing. @throws TwinrailError `unavailable` */
  commit(transaction: Transaction): Promise<void>
  close(): Promise<void>
}

/** @throws LogFolderError */
export async function openStore(folder: string): Promise<Store> {
  const path = checkFolder(folder)
  if (opened.has(path)) throw inUse(path, process.pid)
  let root: RootDatabase | undefined
  try {
    root = open({
      path,
      noSubdir: true,
      maxDbs: 16,
      maxReaders: MAX_READERS,
      // A commit is on the disk when it resolves: what a client has seen, a power cut cannot take back.
      overlappingSync: false,
      // Batches are made here. LMDB's own leave a rejection behind that nobody can handle when a commit fails.
      eventTurnBatching: false,
    })
    const owners = root.openDB<Owner, string>(FORMAT, { encoding: 'json', useVersions: true })
    const tables = openTables(root)
    takePlace(path, root)
    const term = own(path, root, owners)
    opened.add(path)
    return new OpenStore({ path, root, owners, tables, term })
  } catch (error) {
    await root?.close()
    if (error instanceof LogFolderError) throw error
    const { message } = error as Error
    throw new LogFolderError(
      'unusable',
      `the log ${path} cannot be opened: ${message}${diskHint(path)}`,
      error,
    )
  }
}

/**
 * Takes this process's place in LMDB's table of readers. The `lmdb` package keeps the one read transaction that this
 * begins, resets it when a turn of the event loop ends and renews it for the next read, always in the same place: no read
 * needs another one. It would give the place up if a table were opened later. The kernel's file locks free the place when
 * the process dies, whatever kills it and in whichever container it lives.
 */
function takePlace(path: string, root: RootDatabase): void {
  try {
    root.useReadTransaction().done()
  } catch (cause) {
    if ((cause as { code?: unknown }).code === READERS_FULL) {
      throw new LogFolderError(
        'unusable',
        `the log ${path} cannot be opened now: other programs have taken all places in LMDB's table of readers; stop some of them and start again`,
        cause,
      )
    }
    // Somebody has it: another process of the same id, in another container.
    throw inUse(path, process.pid, cause)
  }
}

/**
 * Makes this process the owner, unless the one that was is alive.
 * @returns the number of this ownership, by which commits tell that it is still held
 */
function own(path: string, root: RootDatabase, owners: Database<Owner, string>): number {
  // Within one write transaction, so that of two who start at once the second sees the first.
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

/** What to add to the message of a failed write. */
function diskHint(path: string): string {
  try {
    const { bavail, bsize } = statfsSync(dirname(path))
    return bavail * bsize < FULL ? ' (the disk is full)' : ''
  } catch {
    // The hint is all that is lost.
    return ''
  }
}

interface StoreParts {
  readonly path: string
  readonly root: RootDatabase
  readonly owners: Database<Owner, string>
  readonly tables: Tables
  readonly term: number
}

class OpenStore implements Store {
  readonly tables: Tables
  readonly #parts: StoreParts

  constructor(parts: StoreParts) {
    this.tables = parts.tables
    this.#parts = parts
  }

  async commit(transaction: Transaction): Promise<void> {
    const { path, root, owners, term } = this.#parts
    let held: boolean
    try {
      // Even if two processes took themselves for the owner, only the later one could write.
      held = await owners.ifVersion(OWNER, term, () => transaction.write())
    } catch (cause) {
      const failed = cause as { commitError?: Promise<unknown> }
      failed.commitError?.catch(() => {})
      const why = diskHint(path) || ' (the server’s output has the cause)'
      throw new TwinrailError('unavailable', `the log could not be written${why}; try again later`, { cause })
    }
    if (!held) {
      throw new TwinrailError(
        'unavailable',
        'the log belongs to another process now; this one must be restarted',
      )
    }
    // What is read from here on, such as by followers, has this commit in it.
    root.resetReadTxn()
  }

  async close(): Promise<void> {
    await this.#parts.root.close()
    opened.delete(this.#parts.path)
  }
}
