/** Group commit: what is asked for while one commit is under way makes the next one. */
import { isFull } from '../refusals.ts'
import type { Demand } from './room.ts'
import type { Table } from './tables.ts'

interface Change {
  readonly table: Table<unknown>
  readonly key: Buffer
  readonly value: unknown
  /** Nothing: it is removed. */
  readonly text: string | undefined
}

/** What the jobs of one commit see and change: the store with what the ones before have changed. */
export class Transaction {
  readonly #changes = new Map<Table<unknown>, Map<string, Change>>()
  /** What the job under way has changed, with what was there before. */
  #undo: { changes: Map<string, Change>; id: string; before: Change | undefined }[] = []
  /** Called after the commit, in order. */
  readonly afterwards: (() => void)[] = []
  /** Sessions with changes in sequential tables: all of one session's lie beside one another. */
  readonly #stretches = new Map<Table<unknown>, Set<string>>()
  #demand: Demand = { places: 0, removed: 0, large: 0, bytes: 0 }

  /** What it needs room for in the file. */
  get demand(): Demand {
    return this.#demand
  }

  get isEmpty(): boolean {
    return this.#changes.size === 0
  }

  get<V>(table: Table<V>, key: Buffer): V | undefined {
    const change = this.#changes.get(table as Table<unknown>)?.get(key.toString('latin1'))
    return change ? (change.value as V | undefined) : table.get(key)
  }

  put<V>(table: Table<V>, key: Buffer, value: V): void {
    this.#change(table as Table<unknown>, key, value, table.codec.write(value))
  }

  remove<V>(table: Table<V>, key: Buffer): void {
    this.#change(table as Table<unknown>, key, undefined, undefined)
  }

  /** Does a job as a whole: when it throws, nothing of it stays. */
  attempt<T>(job: (transaction: Transaction) => T): T {
    const demand = this.#demand
    const told = this.afterwards.length
    this.#undo = []
    try {
      return job(this)
    } catch (error) {
      for (const { changes, id, before } of this.#undo.reverse()) {
        if (before) changes.set(id, before)
        else changes.delete(id)
      }
      this.afterwards.length = told
      this.#demand = demand
      this.#stretches.clear()
      throw error
    }
  }

  /** Hands all changes to LMDB. */
  write(): void {
    for (const changes of this.#changes.values()) {
      for (const { table, key, text } of changes.values()) {
        if (text === undefined) void table.db.remove(key)
        else void table.db.put(key, text)
      }
    }
  }

  #change(table: Table<unknown>, key: Buffer, value: unknown, text: string | undefined): void {
    let changes = this.#changes.get(table)
    if (!changes) {
      changes = new Map()
      this.#changes.set(table, changes)
    }
    const id = key.toString('latin1')
    const before = changes.get(id)
    this.#undo.push({ changes, id, before })
    changes.set(id, { table, key, value, text })
    const isNewPlace = !before && this.#isNewPlace(table, id)
    const { places, removed, large, bytes } = this.#demand
    const size = text === undefined ? 0 : Buffer.byteLength(text)
    this.#demand = {
      places: places + (isNewPlace ? 1 : 0),
      removed: removed + (text === undefined ? 1 : 0),
      large: large + (size > LARGE ? 1 : 0),
      bytes: bytes + (text === undefined ? 0 : key.length + size + ROW_BYTES),
    }
  }

  /** @param id the key, a character for each byte */
  #isNewPlace(table: Table<unknown>, id: string): boolean {
    if (!table.isSequential) return true
    const stretches = this.#stretches.get(table) ?? new Set()
    this.#stretches.set(table, stretches)
    const epoch = id.slice(0, EPOCH_BYTES)
    const isNew = !stretches.has(epoch)
    stretches.add(epoch)
    return isNew
  }
}

/** Keys of sequential tables begin with their session's epoch. */
const EPOCH_BYTES = 8

/** Bytes from which a value may get pages of its own; LMDB's own limit is just below half a page. */
const LARGE = 1000

/** What LMDB keeps beside a row's key and value, in bytes. */
const ROW_BYTES = 16

interface Job {
  /** It is there to make room. */
  readonly frees: boolean
  run(transaction: Transaction): unknown
  resolve(value: unknown): void
  reject(error: unknown): void
}

/** Bytes that one commit writes, unless one job alone is larger. */
const COMMIT_BYTES = 4 * 1024 * 1024

const COMMIT_JOBS = 5000

/** Places in the trees that one commit changes, unless one job alone changes more: it needs room for six pages each. */
const COMMIT_PLACES = 2000

/** Does jobs one after the other and commits them together; each is settled once its commit is on the disk. */
export class Writer {
  readonly #commit: (transaction: Transaction, frees: boolean) => Promise<void>
  #queue: Job[] = []
  #working: Promise<void> | undefined

  /** @param commit rejects when nothing was written; `frees`: all that the transaction does is to make room */
  constructor(commit: (transaction: Transaction, frees: boolean) => Promise<void>) {
    this.#commit = commit
  }

  /**
   * Resolves with what the job gave, when that is committed. The job sees all that was done before it. It may be run
   * again, on another transaction, when the first could not be committed.
   * @param frees the job is there to make room, and may take what is kept for such
   */
  run<T>(job: (transaction: Transaction) => T, { frees = false } = {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ frees, run: job, resolve: resolve as (value: unknown) => void, reject })
      this.#working ??= this.#work()
    })
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#working) await this.#working
  }

  async #work(): Promise<void> {
    // What the same turn still asks for belongs to the same commit.
    await undefined
    while (this.#queue.length > 0) {
      const refused = await this.#commitSome(this.#queue)
      // What has no room together may have it alone: above all what makes room.
      for (const job of refused) await this.#commitSome([job])
    }
    // In the turn that found the queue empty, so that no job waits for nobody.
    this.#working = undefined
  }

  /** Commits the first jobs of a queue and takes them off it. @returns those for which together there is no room */
  async #commitSome(queue: Job[]): Promise<Job[]> {
    const transaction = new Transaction()
    const done: { job: Job; value: unknown }[] = []
    let taken = 0
    for (const job of queue) {
      const { bytes, places } = transaction.demand
      if (taken > 0 && (bytes > COMMIT_BYTES || places > COMMIT_PLACES || taken >= COMMIT_JOBS)) break
      taken++
      try {
        done.push({ job, value: transaction.attempt(job.run) })
      } catch (error) {
        job.reject(error)
      }
    }
    queue.splice(0, taken)
    try {
      const frees = done.every(({ job }) => job.frees)
      if (!transaction.isEmpty) await this.#commit(transaction, frees)
    } catch (error) {
      if (done.length > 1 && isFull(error)) return done.map(({ job }) => job)
      for (const { job } of done) job.reject(error)
      return []
    }
    for (const tell of transaction.afterwards) tell()
    for (const { job, value } of done) job.resolve(value)
    return []
  }
}
