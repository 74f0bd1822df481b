/** Finds and reads the files of a corpus. */
import type { Dirent } from 'node:fs'
import { lstat, readdir, readFile, realpath } from 'node:fs/promises'
import path from 'node:path'

/** What bounds the reading of a corpus. */
export interface FileLimits {
  /** Larger files are left out. @default 1 MiB */
  maxFileBytes: number
  /** Files read, and folders looked into, at the most. @default 10 000 */
  maxFiles: number
  /** No further file is read after this many bytes of text. @default 16 MiB */
  maxTotalBytes: number
}

export const fileLimits: FileLimits = {
  maxFileBytes: 1024 * 1024,
  maxFiles: 10_000,
  maxTotalBytes: 16 * 1024 * 1024,
}

/** A file of the corpus and its path in it. */
export interface CorpusFile {
  /** Where it is on disk. */
  readonly location: string
  /** Where it is in the corpus, with `/`. */
  readonly path: string
}

const READABLE = /\.(?:md|markdown|txt|html?)$/i
const SKIPPED = /^(?:\.|node_modules$|dist$)/

/**
 * The readable files of folders and of files named by themselves, in a stable order, each once; their paths are
 * relative to the folder that holds them all. Symbolic links below a folder are not followed: what they lead to is
 * either outside of it or found anyway. What cannot be read is told to `onUnreadable` and left out.
 */
export async function* corpusFiles(
  roots: readonly string[],
  maxFolders: number,
  onUnreadable: () => void,
): AsyncGenerator<CorpusFile> {
  const found = await Promise.all(roots.map(root => entryAt(root).catch(onUnreadable)))
  const entries = found.filter(entry => entry !== undefined)
  const base = commonFolder(entries.map(entry => entry.folder))
  const seen = new Set<string>()
  for (const entry of entries) {
    const locations = entry.isFile ? [entry.location] : walk(entry.location, maxFolders, onUnreadable)
    for await (const location of locations) {
      if (seen.has(location)) continue
      seen.add(location)
      yield { location, path: path.relative(base, location).split(path.sep).join('/') }
    }
  }
}

async function entryAt(root: string) {
  const location = await realpath(root)
  const isFile = (await lstat(location)).isFile()
  return { location, isFile, folder: isFile ? path.dirname(location) : location }
}

function commonFolder(folders: readonly string[]): string {
  let common = folders[0] ?? ''
  for (const folder of folders) {
    while (path.relative(common, folder).startsWith('..')) common = path.dirname(common)
  }
  return common
}

async function* walk(root: string, maxFolders: number, onUnreadable: () => void): AsyncGenerator<string> {
  const folders = [root]
  for (let looked = 0; looked < maxFolders; looked++) {
    const folder = folders.shift()
    if (folder === undefined) return
    const entries = await readdir(folder, { withFileTypes: true }).catch(onUnreadable)
    for (const entry of (entries ?? []).sort(byName)) {
      if (SKIPPED.test(entry.name)) continue
      const location = path.join(folder, entry.name)
      if (entry.isDirectory()) folders.push(location)
      else if (entry.isFile() && READABLE.test(entry.name)) yield location
    }
  }
}

function byName(a: Dirent, b: Dirent): number {
  return a.name < b.name ? -1 : 1
}

/**
 * The text of a UTF-8 file.
 * @throws when it cannot be read, is larger than `maxBytes` or is not UTF-8 text.
 */
export async function readText(location: string, maxBytes: number): Promise<string> {
  const { size } = await lstat(location)
  if (size > maxBytes) throw new Error(`${location} is larger than ${maxBytes} bytes`)
  const bytes = await readFile(location)
  if (bytes.includes(0)) throw new Error(`${location} is not text`)
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
}
