/** Group commit: what is asked for while one commit is under way makes the next one. */
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
  /** UTF-16 units of all values. */
  size = 0

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
    const { size } = this
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
      this.size = size
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
    this.#undo.push({ changes, id, before: changes.get(id) })
    changes.set(id, { table, key, value, text })
    this.size += text?.length ?? 0
  }
}

interface Job {
  run(transaction: Transaction): unknown
  resolve(value: unknown): void
  reject(error: unknown): void
}

/** UTF-16 units that one commit writes, unless one job alone is larger. */
const COMMIT_SIZE = 4 * 1024 * 1024

const COMMIT_JOBS = 5000

/** Does jobs one after the other and commits them together; each is settled once its commit is on the disk. */
export class Writer {
  readonly #commit: (transaction: Transaction) => Promise<void>
  #queue: Job[] = []
  #working: Promise<void> | undefined

  /** @param commit rejects when nothing was written */
  constructor(commit: (transaction: Transaction) => Promise<void>) {
    this.#commit = commit
  }

  /** Resolves with what the job gave, when that is committed. The job sees all that was done before it. */
  run<T>(job: (transaction: Transaction) => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ run: job, resolve: resolve as (value: unknown) => void, reject })
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
      const transaction = new Transaction()
      const done: { job: Job; value: unknown }[] = []
      let taken = 0
      for (const job of this.#queue) {
        if (taken > 0 && (transaction.size > COMMIT_SIZE || taken >= COMMIT_JOBS)) break
        taken++
        try {
          done.push({ job, value: transaction.attempt(job.run) })
        } catch (error) {
          job.reject(error)
        }
      }
      this.#queue = this.#queue.slice(taken)
      try {
        if (!transaction.isEmpty) await this.#commit(transaction)
      } catch (error) {
        for (const { job } of done) job.reject(error)
        continue
      }
      for (const tell of transaction.afterwards) tell()
      for (const { job, value } of done) job.resolve(value)
    }
    // In the turn that found the queue empty, so that no job waits for nobody.
    this.#working = undefined
  }
}
