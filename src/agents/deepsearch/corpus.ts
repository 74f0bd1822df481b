/** Loads folders of documents into a search index. */
import type { Dirent } from 'node:fs'
import { lstat, readdir, readFile, realpath } from 'node:fs/promises'
import path from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { type Block, documentBlocks } from './document.ts'
import { type Passage, SearchIndex } from './search-index.ts'
import { slices } from './text.ts'

/** Loading yields to the event loop after this time, in ms. */
const TURN_MS = 8

/** Longer blocks are cut into several passages, in chars. */
const PASSAGE_CHARS = 2_000

const DOCUMENT_NAME = /\.(?:md|markdown|txt|html?)$/i
const SKIPPED_NAME = /^(?:\.|node_modules$|dist$)/

export interface CorpusOptions {
  /** A larger file is left out and counted as unreadable, in bytes. @default 1 MiB */
  maxFileBytes?: number
  /** Maximum number of files to read, and of folders to list below each given one. @default 10 000 */
  maxFiles?: number
  /** No further file is read once this many bytes of text are read. @default 16 MiB */
  maxTotalBytes?: number
  /** Ends the loading: {@link loadCorpus} rejects with the signal's reason. */
  signal?: AbortSignal
}

/** Documents that are loaded and can be searched. */
export interface Corpus {
  /** Number of documents in the index. */
  readonly documents: number
  /** Number of files and folders left out because they are missing, unreadable, too large or not UTF-8. */
  readonly unreadable: number
  /** Whether files were left out because of `maxFiles` or `maxTotalBytes`. */
  readonly truncated: boolean
  readonly index: SearchIndex
}

/**
 * Reads the Markdown, text and HTML files below `roots` into a {@link Corpus}. A root is a folder, or a file of any name.
 * A file that cannot be read is counted and left out. Yields to the event loop every few milliseconds.
 * @throws the reason of `options.signal` once it aborts; nothing else
 */
export async function loadCorpus(
  roots: string | readonly string[],
  {
    maxFileBytes = 1024 * 1024,
    maxFiles = 10_000,
    maxTotalBytes = 16 * 1024 * 1024,
    signal,
  }: CorpusOptions = {},
): Promise<Corpus> {
  const yieldWhenDue = eventLoopYielder(signal)
  const corpus = { documents: 0, unreadable: 0, truncated: false, index: new SearchIndex() }
  const countUnreadable = () => {
    corpus.unreadable++
  }
  let files = 0
  let bytes = 0
  for await (const file of findFiles([roots].flat(), maxFiles, countUnreadable)) {
    await yieldWhenDue()
    if (files++ >= maxFiles || bytes >= maxTotalBytes) {
      corpus.truncated = true
      break
    }
    try {
      const text = await readText(file.location, maxFileBytes)
      bytes += Buffer.byteLength(text)
      for (const passage of passagesOf(file.path, documentBlocks(file.path, text))) {
        if (passage) corpus.index.add(passage)
        await yieldWhenDue()
      }
      corpus.documents++
    } catch {
      // One bad file must not prevent the others from being loaded.
      signal?.throwIfAborted()
      countUnreadable()
    }
  }
  return corpus
}

/** Returns a function that yields to the event loop once {@link TURN_MS} have passed, and throws after an abort. */
function eventLoopYielder(signal: AbortSignal | undefined): () => Promise<void> {
  let turnStart = performance.now()
  return async () => {
    signal?.throwIfAborted()
    if (performance.now() - turnStart < TURN_MS) return
    await setImmediate()
    turnStart = performance.now()
  }
}

interface CorpusFile {
  /** Absolute path on disk. */
  readonly location: string
  /** Path relative to the folder that contains all roots, separated by `/`. */
  readonly path: string
}

/**
 * Finds the documents below the roots, each once and in a stable order. Symbolic links below a root are not followed:
 * their targets are outside the root, or found without them.
 */
async function* findFiles(
  roots: readonly string[],
  maxFolders: number,
  onUnreadable: () => void,
): AsyncGenerator<CorpusFile> {
  const entries = await Promise.all(roots.map(root => rootEntry(root).catch(onUnreadable)))
  const readable = entries.filter(entry => entry !== undefined)
  const base = commonFolder(readable.map(entry => entry.folder))
  const seen = new Set<string>()
  for (const { location, isFile } of readable) {
    for await (const file of isFile ? [location] : walk(location, maxFolders, onUnreadable)) {
      if (seen.has(file)) continue
      seen.add(file)
      yield { location: file, path: path.relative(base, file).split(path.sep).join('/') }
    }
  }
}

async function rootEntry(root: string) {
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
  for (let listed = 0; listed < maxFolders; listed++) {
    const folder = folders.shift()
    if (folder === undefined) return
    const entries = await readdir(folder, { withFileTypes: true }).catch(onUnreadable)
    for (const entry of (entries ?? []).sort(byName)) {
      if (SKIPPED_NAME.test(entry.name)) continue
      const location = path.join(folder, entry.name)
      if (entry.isDirectory()) folders.push(location)
      else if (entry.isFile() && DOCUMENT_NAME.test(entry.name)) yield location
    }
  }
}

function byName(a: Dirent, b: Dirent): number {
  return a.name < b.name ? -1 : 1
}

/** Reads a UTF-8 file. @throws when the file cannot be read, is larger than `maxBytes` or is not UTF-8 text */
async function readText(location: string, maxBytes: number): Promise<string> {
  const { size } = await lstat(location)
  if (size > maxBytes) throw new Error(`${location} is larger than ${maxBytes} bytes`)
  const bytes = await readFile(location)
  if (bytes.includes(0)) throw new Error(`${location} is not text`)
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
}

/**
 * Cuts a document into passages; yields `undefined` where the caller may yield to the event loop.
 * @param file the document's path in the corpus, separated by `/`
 */
export function* passagesOf(file: string, blocks: Iterable<Block>): Generator<Passage | undefined> {
  const section = new Section(file)
  let number = 0
  let lead = ''
  let opensSection = true
  for (const block of blocks) {
    if (block.kind === 'pause') {
      yield undefined
      continue
    }
    if (block.kind === 'title' || block.kind === 'heading') {
      section.enter(block)
      lead = ''
      opensSection = true
      continue
    }
    const { kind } = block
    if (kind === 'prose') lead = ''
    const { title, heading, url } = section
    const language = (kind === 'code' && block.language) || ''
    for (const text of slices(block.text, PASSAGE_CHARS)) {
      if (!/[\p{L}\p{N}]/u.test(text)) continue
      number++
      yield { id: `${url}:${number}`, number, title, heading, url, kind, language, text, opensSection, lead }
      opensSection = false
    }
    if (kind === 'prose' && /[:：]$/.test(block.text)) lead = block.text
  }
}

/** The section of a document that is being read: the document's title and the headings above. */
class Section {
  private readonly path: string
  private documentTitle: string
  private headings: { level: number; text: string }[] = []
  private fragment = ''
  private hasHeading = false
  private readonly slugs = new Map<string, number>()

  constructor(file: string) {
    this.path = file.split('/').map(encodeURIComponent).join('/')
    this.documentTitle = path.posix.basename(file, path.posix.extname(file))
  }

  get title(): string {
    return [this.documentTitle, ...this.headings.map(heading => heading.text)].join(' > ')
  }

  get heading(): string {
    return this.headings.at(-1)?.text ?? this.documentTitle
  }

  get url(): string {
    return this.fragment ? `${this.path}#${this.fragment}` : this.path
  }

  enter(block: Extract<Block, { kind: 'title' | 'heading' }>): void {
    const text = block.text.replaceAll('`', '')
    if (!text) return
    if (block.kind === 'heading') this.fragment = block.id ?? this.slug(text)
    // The first heading is the document's title, whatever its level.
    if (block.kind === 'title' || !this.hasHeading) {
      this.documentTitle = text
    } else {
      const above = this.headings.filter(heading => heading.level < block.level)
      this.headings = [...above, { level: block.level, text }]
    }
    this.hasHeading ||= block.kind === 'heading'
  }

  /** The fragment that GitHub generates for a heading. */
  private slug(heading: string): string {
    const slug = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
      .replaceAll(' ', '-')
    const earlier = this.slugs.get(slug) ?? 0
    this.slugs.set(slug, earlier + 1)
    return earlier ? `${slug}-${earlier}` : slug
  }
}
