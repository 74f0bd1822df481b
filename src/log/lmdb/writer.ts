/** Group commit: jobs that arrive during one commit share the next one. */
import { setImmediate as turn } from 'node:timers/promises'
import { isFull } from '../refusals.ts'
import type { Demand } from './room.ts'
import type { Table } from './tables.ts'

interface Change {
  readonly table: Table<unknown>
  readonly key: Buffer
  readonly value: unknown
  readonly isRemoval: boolean
  /** The value's text, unless it is written with the commit: see {@link Codec.maxBytes}. */
  readonly text: string | undefined
  /** What it adds to the demand, in bytes. */
  readonly bytes: number
}

/** A row that is new, and that no job of its commit reads. */
interface Addition {
  readonly table: Table<string>
  readonly key: Buffer
  readonly text: string
}

/** The changes of one commit. Its jobs see the store with the changes of the jobs before. */
export class Transaction {
  readonly #changes = new Map<Table<unknown>, Map<string, Change>>()
  readonly #additions: Addition[] = []
  /** The changes of the current job, with the previous values. */
  #undo: { changes: Map<string, Change>; id: string; before: Change | undefined }[] = []
  /** What jobs keep for the later jobs of the commit, such as the sessions that they have read. */
  readonly kept = new Map<string, object>()
  /** Called after the commit, in order. */
  readonly afterwards: (() => void)[] = []
  /** Epochs with changes in sequential tables, where the rows of one are contiguous. */
  readonly #stretches = new Map<Table<unknown>, Set<number>>()
  #demand: { -readonly [K in keyof Demand]: Demand[K] } = { places: 0, removed: 0, large: 0, bytes: 0 }

  /** The space that it needs in the file. */
  get demand(): Demand {
    return this.#demand
  }

  get isEmpty(): boolean {
    return this.#changes.size === 0 && this.#additions.length === 0
  }

  get<V>(table: Table<V>, key: Buffer): V | undefined {
    const change = this.#changes.get(table as Table<unknown>)?.get(key.toString('latin1'))
    return change ? (change.value as V | undefined) : table.get(key)
  }

  put<V>(table: Table<V>, key: Buffer, value: V): void {
    const text = table.codec.maxBytes ? undefined : table.codec.write(value)
    const size = text === undefined ? (table.codec.maxBytes?.(value) ?? 0) : Buffer.byteLength(text)
    if (size > LARGE) this.#demand.large++
    const bytes = key.length + size + ROW_BYTES
    this.#change({ table: table as Table<unknown>, key, value, isRemoval: false, text, bytes })
  }

  remove<V>(table: Table<V>, key: Buffer): void {
    this.#demand.removed++
    const removal = { value: undefined, isRemoval: true, text: undefined, bytes: 0 }
    this.#change({ table: table as Table<unknown>, key, ...removal })
  }

  /** Puts a row under a new key. Later jobs of this commit do not see it. */
  add(table: Table<string>, key: Buffer, text: string): void {
    this.#additions.push({ table, key, text })
    const size = Buffer.byteLength(text)
    if (this.#isNewPlace(table as Table<unknown>, key)) this.#demand.places++
    if (size > LARGE) this.#demand.large++
    this.#demand.bytes += key.length + size + ROW_BYTES
  }

  /** Runs a job. When it throws, all its changes are undone. */
  attempt<T>(job: (transaction: Transaction) => T): T {
    const demand = { ...this.#demand }
    const told = this.afterwards.length
    const added = this.#additions.length
    this.#undo = []
    try {
      return job(this)
    } catch (error) {
      for (const { changes, id, before } of this.#undo.reverse()) {
        if (before) changes.set(id, before)
        else changes.delete(id)
      }
      this.#additions.length = added
      this.afterwards.length = told
      this.#demand = demand
      this.#stretches.clear()
      this.kept.clear()
      throw error
    }
  }

  /** Passes all changes to LMDB. */
  write(): void {
    for (const changes of this.#changes.values()) {
      for (const { table, key, value, isRemoval, text } of changes.values()) {
        if (isRemoval) void table.db.remove(key)
        else void table.db.put(key, text ?? table.codec.write(value))
      }
    }
    for (const { table, key, text } of this.#additions) void table.db.put(key, text)
  }

  #change(change: Change): void {
    const { table, key, bytes } = change
    let changes = this.#changes.get(table)
    if (!changes) {
      changes = new Map()
      this.#changes.set(table, changes)
    }
    const id = key.toString('latin1')
    const before = changes.get(id)
    this.#undo.push({ changes, id, before })
    changes.set(id, change)
    this.#demand.bytes += bytes - (before?.bytes ?? 0)
    if (!before && this.#isNewPlace(table, key)) this.#demand.places++
  }

  #isNewPlace(table: Table<unknown>, key: Buffer): boolean {
    if (!table.isSequential) return true
    let stretches = this.#stretches.get(table)
    if (!stretches) {
      stretches = new Set()
      this.#stretches.set(table, stretches)
    }
    // Keys of sequential tables begin with their session's epoch.
    const epoch = key.readDoubleBE(0)
    const isNew = !stretches.has(epoch)
    if (isNew) stretches.add(epoch)
    return isNew
  }
}

/** Size from which a value may get its own pages, in bytes; LMDB's limit is just below half a page. */
const LARGE = 1000

/** LMDB's overhead for each row, in bytes. */
const ROW_BYTES = 16

interface Job {
  /** The job frees space. */
  readonly frees: boolean
  run(transaction: Transaction): unknown
  resolve(value: unknown): void
  reject(error: unknown): void
}

/** Maximum time that a commit waits for jobs that come in one turn of the event loop after the other, in ms. */
const GATHER_MS = 2

/** Maximum size of one commit, in bytes, unless a single job is larger. */
const COMMIT_BYTES = 4 * 1024 * 1024

const COMMIT_JOBS = 5000

/** Maximum number of changed places of one commit, unless a single job changes more. Each needs six pages. */
const COMMIT_PLACES = 2000

/** Runs jobs one after the other and commits them in groups. A job settles once its commit is on the disk. */
export class Writer {
  readonly #commit: (transaction: Transaction, frees: boolean) => Promise<void>
  #queue: Job[] = []
  #working: Promise<void> | undefined

  /** @param commit rejects when nothing was written; `frees`: the transaction only frees space */
  constructor(commit: (transaction: Transaction, frees: boolean) => Promise<void>) {
    this.#commit = commit
  }

  /**
   * Resolves with the job's result once it is committed. The job sees the changes of all earlier jobs. It may be run
   * again, on another transaction, when the first could not be committed.
   * @param frees the job frees space, and may use the reserve
   */
  run<T>(job: (transaction: Transaction) => T, { frees = false } = {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ frees, run: job, resolve: resolve as (value: unknown) => void, reject })
      this.#working ??= this.#work()
    })
  }

  /** Resolves when no commit is in progress. */
  async idle(): Promise<void> {
    while (this.#working) await this.#working
  }

  async #work(): Promise<void> {
    await this.#gather()
    while (this.#queue.length > 0) {
      const refused = await this.#commitSome(this.#queue)
      // Jobs that do not fit together may fit alone, above all those that free space.
      for (const job of refused) await this.#commitSome([job])
      if (this.#queue.length > 0) await this.#gather()
    }
    // In the same turn in which the queue was empty, so that no later job is left without a commit.
    this.#working = undefined
  }

  /**
   * Waits for the end of the first turn of the event loop that brings no further job. A commit costs much more than an
   * append in it, and what many clients send comes over several turns.
   */
  async #gather(): Promise<void> {
    const until = performance.now() + GATHER_MS
    let known: number
    do {
      known = this.#queue.length
      await turn()
    } while (this.#queue.length > known && performance.now() < until)
  }

  /** Removes the first jobs from a queue and commits them. @returns the jobs for which there is no space together */
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
