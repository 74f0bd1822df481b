/** Keeps a corpus' index on disk, so that the next start need not read the documents again. */
import { createHash } from 'node:crypto'
import { lstatSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { deserialize, serialize } from 'node:v8'
import type { CorpusFile, LeftOut, LoadedCorpus } from './corpus.ts'
import type { PostingsData } from './postings.ts'
import { SearchIndex } from './search-index.ts'

/** Raised whenever the same files give another index. */
const VERSION = 3

interface Kept {
  readonly key: string
  readonly documents: number
  readonly leftOut: LeftOut
  readonly index: PostingsData
}

/** The folder of this user's caches. */
export function defaultCacheFolder(): string {
  const base = process.env['XDG_CACHE_HOME'] || path.join(homedir(), '.cache')
  return path.join(base, 'twinrail')
}

/** What the index of these files depends on: their paths, sizes and times, the limits, and the versions of what reads them. */
export function keyOf(files: readonly CorpusFile[], limits: unknown): string {
  const hash = createHash('sha256')
  hash.update(JSON.stringify([VERSION, process.versions['icu'], process.versions['unicode'], limits]))
  for (const file of files) {
    const found = lstatSync(file.location, { throwIfNoEntry: false })
    hash.update(`\n${JSON.stringify([file.path, file.location, found?.size, found?.mtimeMs])}`)
  }
  return hash.digest('hex')
}

/** The file that keeps the index of these roots. Each set of roots has one, which the next index replaces. */
export function cacheFile(folder: string, roots: readonly string[]): string {
  const name = createHash('sha256')
    .update(JSON.stringify(roots.map(root => path.resolve(root))))
    .digest('hex')
  return path.join(folder, `deepsearch-${name.slice(0, 32)}`)
}

/** The corpus that is kept under this key; `undefined` where there is none, or it cannot be read. */
export async function readCached(file: string, key: string): Promise<LoadedCorpus | undefined> {
  try {
    const bytes = await readFile(file)
    const start = bytes.indexOf('\n') + 1
    if (bytes.toString('latin1', 0, start) !== `${key}\n`) return undefined
    const { documents, leftOut, index } = deserialize(bytes.subarray(start)) as Kept
    return { documents, leftOut, index: new SearchIndex(index) }
  } catch {
    // It is only a copy: the documents are read instead.
    return undefined
  }
}

/** Keeps a corpus. Only this user can read the file. @throws when it cannot be written */
export async function writeCached(file: string, key: string, corpus: LoadedCorpus): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
  const { documents, leftOut, index } = corpus
  const draft = `${file}.${process.pid}`
  try {
    const kept: Kept = { key, documents, leftOut, index: index.data }
    await writeFile(draft, [`${key}\n`, serialize(kept)], { mode: 0o600 })
    // Another process may read it at this moment.
    await rename(draft, file)
  } finally {
    await rm(draft, { force: true })
  }
}
