/** A corpus in a thread of its own: reading, indexing and searching never hold up the server's event loop. */
import { Worker } from 'node:worker_threads'
import { leftOutText } from './answer.ts'
import type { Corpus, LeftOut } from './corpus.ts'
import type { FromWorker, ToWorker, WorkerInput } from './corpus-worker.ts'
import type { SearchResult } from './search-index.ts'

/** A search that waits for the thread. */
interface Waiting {
  resolve(result: SearchResult): void
  reject(error: Error): void
}

/** Room for young objects, in MB. In what Node gives by default, tokens of documents are often copied before they are dropped. */
const YOUNG_MB = 96

/** How far the documents are read. */
export interface Progress {
  readonly files: number
  readonly of: number
}

/**
 * A corpus whose thread starts with the object. The thread does not keep the process alive. When it dies, all that
 * waits for it is rejected, and {@link CorpusThread.failed} is set.
 */
export class CorpusThread {
  /** Resolves when the documents can be searched. */
  readonly ready: Promise<Corpus>
  progress: Progress = { files: 0, of: 0 }
  /** Whether the thread has died; a new object may fare better. */
  failed = false
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  #searches = 0

  /** @param log takes a line about what was left out and what went wrong */
  constructor(input: WorkerInput, log: (message: string) => void) {
    // The build has JavaScript beside this file, the tests TypeScript.
    const file = import.meta.url.endsWith('.ts') ? './corpus-worker.ts' : './corpus-worker.js'
    this.#worker = new Worker(new URL(file, import.meta.url), {
      workerData: input,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    })
    this.ready = new Promise((resolve, reject) => {
      this.#worker.on('message', (message: FromWorker) => this.#message(message, resolve, log))
      const fail = (error: Error) => {
        this.failed = true
        reject(error)
        for (const { reject } of this.#waiting.values()) reject(error)
        this.#waiting.clear()
      }
      this.#worker.on('error', error => {
        log(`the documents cannot be searched: ${error}`)
        fail(error instanceof Error ? error : new Error(String(error)))
      })
      this.#worker.on('exit', () => fail(new Error('the thread of the documents has ended')))
    })
    // Nobody may be waiting.
    this.ready.catch(() => {})
    // After the listeners: one for `message` makes the thread keep the process alive again.
    this.#worker.unref()
  }

  /** While a run waits, the thread keeps the process alive. */
  async search(question: string, hintText: string, limit: number): Promise<SearchResult> {
    if (this.failed) throw new Error('the thread of the documents has ended')
    const id = ++this.#searches
    const message: ToWorker = { id, question, hintText, limit }
    this.#worker.ref()
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting.set(id, { resolve, reject })
        this.#worker.postMessage(message)
      })
    } finally {
      this.#waiting.delete(id)
      if (this.#waiting.size === 0) this.#worker.unref()
    }
  }

  /** Waits until the documents can be searched; meanwhile the thread keeps the process alive. */
  async untilReady(): Promise<Corpus> {
    this.#worker.ref()
    try {
      return await this.ready
    } finally {
      if (this.#waiting.size === 0) this.#worker.unref()
    }
  }

  #message(message: FromWorker, ready: (corpus: Corpus) => void, log: (message: string) => void): void {
    switch (message.type) {
      case 'progress':
        this.progress = message
        break
      case 'ready':
        if (message.warning) return log(message.warning)
        tellLeftOut(message.leftOut, log)
        ready({
          documents: message.documents,
          leftOut: message.leftOut,
          index: { search: (question, hintText, limit) => this.search(question, hintText, limit) },
        })
        break
      case 'found':
        this.#waiting.get(message.id)?.resolve(message.result)
        break
      case 'failed':
        this.#waiting.get(message.id)?.reject(new Error(message.message))
    }
  }
}

function tellLeftOut(leftOut: LeftOut, log: (message: string) => void): void {
  const text = leftOutText(leftOut)
  if (text !== '') log(`left out of the documents: ${text}`)
}
