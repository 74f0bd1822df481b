/** The thread of a corpus: reads and indexes the documents, then searches. Started by corpus-thread.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { type CorpusOptions, indexFiles, type LeftOut, type LoadedCorpus, listFiles } from './corpus.ts'
import { cacheFile, keyOf, readCached, writeCached } from './index-cache.ts'
import type { SearchResult } from './search-index.ts'

/** What the thread is started with. */
export interface WorkerInput {
  readonly roots: readonly string[]
  readonly limits: Pick<CorpusOptions, 'maxFileBytes' | 'maxFiles' | 'maxTotalBytes'>
  /** Folder of the kept index; `undefined` to keep none. */
  readonly cache: string | undefined
}

/** thread → server */
export type FromWorker =
  | { type: 'progress'; files: number; of: number }
  | { type: 'ready'; documents: number; leftOut: LeftOut; cached: boolean; warning?: string }
  | { type: 'found'; id: number; result: SearchResult }
  | { type: 'failed'; id: number; message: string }

/** server → thread */
export interface ToWorker {
  readonly id: number
  readonly question: string
  readonly hintText: string
  readonly limit: number
}

/** An index that took less than this to make is not worth keeping, in ms. */
const MIN_KEPT_MS = 2_000

/** Time between two reports of progress, in ms. */
const PROGRESS_MS = 500

const say = (message: FromWorker) => parentPort?.postMessage(message)

async function open({ roots, limits, cache }: WorkerInput): Promise<LoadedCorpus> {
  const begun = performance.now()
  const list = await listFiles(roots, limits)
  const file = cache && cacheFile(cache, roots)
  const key = file && keyOf(list.files, limits)
  const cached = file && key ? await readCached(file, key) : undefined
  if (cached) {
    say({ type: 'ready', documents: cached.documents, leftOut: cached.leftOut, cached: true })
    return cached
  }
  let told = begun
  const onProgress = (files: number) => {
    if (performance.now() - told < PROGRESS_MS) return
    told = performance.now()
    say({ type: 'progress', files, of: list.files.length })
  }
  const corpus = await indexFiles(list, { ...limits, onProgress })
  const isWorthKeeping = performance.now() - begun >= MIN_KEPT_MS
  const ready = {
    type: 'ready' as const,
    documents: corpus.documents,
    leftOut: corpus.leftOut,
    cached: false,
  }
  say(ready)
  if (file && key && isWorthKeeping) {
    // Without it the next start is slower, and nothing else.
    await writeCached(file, key, corpus).catch(error => {
      say({ ...ready, warning: `the index could not be kept: ${error.message}` })
    })
  }
  return corpus
}

const opening = open(workerData as WorkerInput)

parentPort?.on('message', async ({ id, question, hintText, limit }: ToWorker) => {
  try {
    const { index } = await opening
    say({ type: 'found', id, result: await index.search(question, hintText, limit) })
  } catch (error) {
    say({ type: 'failed', id, message: String(error) })
  }
})
