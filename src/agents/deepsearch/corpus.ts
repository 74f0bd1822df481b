/** Loads folders of documents into a search index. */
import { type Dirent, lstatSync, readFileSync } from 'node:fs'
import { lstat, readdir, realpath } from 'node:fs/promises'
import path from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Block } from './block.ts'
import { documentBlocks } from './document.ts'
import { decodeText } from './encoding.ts'
import type { Passage } from './passage.ts'
import { SearchIndex } from './search-index.ts'
import { slices } from './text.ts'

/** Loading yields to the event loop after this time, in ms. */
const TURN_MS = 8

/** Longer blocks are cut into several passages, in chars. */
const PASSAGE_CHARS = 2_000

/** Markdown, HTML, reStructuredText, AsciiDoc, plain text, and files that are text by custom. */
const DOCUMENT_NAME =
  /\.(?:md|mdx|markdown|txt|text|html?|rst|adoc|asciidoc)$|^(?:README|CHANGELOG|CHANGES|CONTRIBUTING|HISTORY|INSTALL|NEWS|FAQ|TODO)$/i
const SKIPPED_NAME = /^(?:\.|node_modules$|dist$)/

export interface CorpusOptions {
  /** A larger file is left out, in bytes. @default 4 MiB */
  maxFileBytes?: number
  /** Maximum number of files to read, and of folders to list below each given one. @default 10 000 */
  maxFiles?: number
  /** No further file is read once this many bytes of text are read. @default 64 MiB */
  maxTotalBytes?: number
  /** Ends the loading: {@link loadCorpus} rejects with the signal's reason. */
  signal?: AbortSignal
  /** Called after each file with the number of files so far. */
  onProgress?: (files: number) => void
}

/** Documents that are loaded and can be searched. */
export interface Corpus {
  /** Number of documents in the index. */
  readonly documents: number
  readonly leftOut: LeftOut
  readonly index: Pick<SearchIndex, 'search'>
}

/** What a corpus lacks of the files that it was given, as numbers of files and folders. */
export interface LeftOut {
  /** Missing, or refused by the operating system or by the parser. */
  readonly unreadable: number
  /** No text in an encoding that is known. */
  readonly notText: number
  /** Larger than `maxFileBytes`. */
  readonly tooLarge: number
  /** Beyond `maxFiles` or `maxTotalBytes`. */
  readonly beyondLimits: number
}

/** A corpus in this thread. */
export interface LoadedCorpus extends Corpus {
  readonly index: SearchIndex
}

/**
 * Reads the documents below `roots` into a {@link Corpus}. A root is a folder, or a file of any name. A file that cannot
 * be read is counted and left out. Yields to the event loop every few milliseconds.
 * @throws the reason of `options.signal` once it aborts; nothing else
 */
export async function loadCorpus(
  roots: string | readonly string[],
  options: CorpusOptions = {},
): Promise<LoadedCorpus> {
  return indexFiles(await listFiles([roots].flat(), options), options)
}

/** The files of a corpus, before they are read. */
export interface FileList {
  readonly files: readonly CorpusFile[]
  readonly unreadable: number
  readonly beyondLimits: number
}

/** Finds the files of a corpus, with what shows a change. @throws as {@link loadCorpus} */
export async function listFiles(
  roots: readonly string[],
  { maxFiles = 10_000, signal }: CorpusOptions = {},
): Promise<FileList> {
  const files: CorpusFile[] = []
  let unreadable = 0
  let beyondLimits = 0
  const countUnreadable = () => {
    unreadable++
  }
  for await (const file of findFiles(roots, maxFiles, countUnreadable)) {
    signal?.throwIfAborted()
    if (files.length < maxFiles) files.push(file)
    else beyondLimits++
  }
  return { files, unreadable, beyondLimits }
}

/**
 * Reads and indexes files. Reads synchronously, which takes a third of the time: it runs in a thread of its own.
 * @throws as {@link loadCorpus}
 */
export async function indexFiles(
  list: FileList,
  {
    maxFileBytes = 4 * 1024 * 1024,
    maxTotalBytes = 64 * 1024 * 1024,
    signal,
    onProgress,
  }: CorpusOptions = {},
): Promise<LoadedCorpus> {
  const turn = new Turn(signal)
  const leftOut = { unreadable: list.unreadable, notText: 0, tooLarge: 0, beyondLimits: list.beyondLimits }
  const index = new SearchIndex()
  let documents = 0
  let bytes = 0
  for (const [i, file] of list.files.entries()) {
    if (turn.isOver) await turn.next()
    onProgress?.(i)
    try {
      if (bytes >= maxTotalBytes) leftOut.beyondLimits++
      else if (lstatSync(file.location).size > maxFileBytes) leftOut.tooLarge++
      else {
        const source = readFileSync(file.location)
        const text = decodeText(source)
        if (text === undefined) leftOut.notText++
        else {
          bytes += source.length
          for (const passage of passagesOf(file.path, documentBlocks(file.path, text))) {
            if (passage) index.add(passage)
            if (turn.isOver) await turn.next()
          }
          documents++
        }
      }
    } catch {
      // One bad file must not prevent the others from being loaded.
      signal?.throwIfAborted()
      leftOut.unreadable++
    }
  }
  return { documents, leftOut, index }
}

/** A turn of the event loop, which is over after {@link TURN_MS}. */
class Turn {
  readonly #signal: AbortSignal | undefined
  #end = performance.now() + TURN_MS

  constructor(signal: AbortSignal | undefined) {
    signal?.throwIfAborted()
    this.#signal = signal
  }

  get isOver(): boolean {
    return performance.now() >= this.#end
  }

  /** Yields to the event loop. @throws the signal's reason once it has aborted */
  async next(): Promise<void> {
    await setImmediate()
    this.#signal?.throwIfAborted()
    this.#end = performance.now() + TURN_MS
  }
}

export interface CorpusFile {
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
    const { kind, language } = block
    if (kind === 'prose') lead = ''
    const { title, heading, url } = section
    for (const text of slices(block.text, PASSAGE_CHARS)) {
      if (!/[a-z\d]/i.test(text) && !/[\p{L}\p{N}]/u.test(text)) continue
      number++
      yield { id: `${url}:${number}`, number, title, heading, url, kind, language, text, opensSection, lead }
      opensSection = false
    }
    if (kind === 'prose' && /[:：]$/.test(block.text)) lead = block.text
  }
}

/** The section of a document that is being read: the document's title and the headings above. */
class Section {
  /** The document's title and the headings, joined. */
  title: string
  /** The innermost heading, or the document's title. */
  heading: string
  /** The document's path, with the fragment of the innermost heading. */
  url: string
  readonly #path: string
  #documentTitle: string
  #headings: { level: number; text: string }[] = []
  #hasHeading = false
  readonly #slugs = new Map<string, number>()

  constructor(file: string) {
    this.#path = file.split('/').map(encodeURIComponent).join('/')
    this.#documentTitle = path.posix.basename(file, path.posix.extname(file))
    this.title = this.#documentTitle
    this.heading = this.#documentTitle
    this.url = this.#path
  }

  enter(block: Block): void {
    const text = block.text.replaceAll('`', '')
    if (!text) return
    if (block.kind === 'heading') {
      const fragment = block.id || this.#slug(text)
      this.url = fragment ? `${this.#path}#${fragment}` : this.#path
    }
    // The first heading is the document's title, whatever its level.
    if (block.kind === 'title' || !this.#hasHeading) {
      this.#documentTitle = text
    } else {
      const above = this.#headings.filter(heading => heading.level < block.level)
      this.#headings = [...above, { level: block.level, text }]
    }
    this.#hasHeading ||= block.kind === 'heading'
    this.title = [this.#documentTitle, ...this.#headings.map(heading => heading.text)].join(' > ')
    this.heading = this.#headings.at(-1)?.text ?? this.#documentTitle
  }

  /** The fragment that GitHub generates for a heading. */
  #slug(heading: string): string {
    const slug = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
      .replaceAll(' ', '-')
    const earlier = this.#slugs.get(slug) ?? 0
    this.#slugs.set(slug, earlier + 1)
    return earlier ? `${slug}-${earlier}` : slug
  }
}
