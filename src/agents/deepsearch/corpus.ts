/** A folder of documents, read into an index. */
import { setImmediate } from 'node:timers/promises'
import { type Block, textBlocks } from './blocks.ts'
import { corpusFiles, type FileLimits, fileLimits, readText } from './files.ts'
import { htmlBlocks } from './html.ts'
import { markdownBlocks } from './markdown.ts'
import { PassageIndex } from './passage-index.ts'
import { passages } from './passages.ts'

/** How long the event loop is kept from others while a corpus is loaded, in ms. */
const TURN_MS = 8

export interface CorpusOptions extends Partial<FileLimits> {
  /** Ends the loading; {@link loadCorpus} then rejects with its reason. */
  signal?: AbortSignal
}

/** Documents that can be searched. */
export interface Corpus {
  readonly documents: number
  /** Files left out: unreadable, too large, or not UTF-8. */
  readonly unreadable: number
  /** Whether a limit left files out. */
  readonly truncated: boolean
  readonly passages: PassageIndex
}

/**
 * Reads folders and files (Markdown, text, HTML) into a {@link Corpus}, a few milliseconds at a time. One unreadable
 * file never fails it: such files are left out and counted, a missing folder among them.
 */
export async function loadCorpus(
  roots: string | readonly string[],
  options: CorpusOptions = {},
): Promise<Corpus> {
  const { signal, ...given } = options
  const limits = { ...fileLimits, ...given }
  const takeTurns = turnTaker(signal)
  const corpus = { documents: 0, unreadable: 0, truncated: false, passages: new PassageIndex() }
  let files = 0
  let bytes = 0
  const leaveOut = () => {
    corpus.unreadable++
  }
  for await (const file of corpusFiles([roots].flat(), limits.maxFiles, leaveOut)) {
    await takeTurns()
    if (files++ >= limits.maxFiles || bytes >= limits.maxTotalBytes) {
      corpus.truncated = true
      break
    }
    try {
      const text = await readText(file.location, limits.maxFileBytes)
      bytes += Buffer.byteLength(text)
      for (const passage of passages(file.path, blocksOf(file.path, text))) {
        if (passage) corpus.passages.add(passage)
        await takeTurns()
      }
      corpus.documents++
    } catch {
      // One bad file must not cost the others; it is counted.
      signal?.throwIfAborted()
      leaveOut()
    }
  }
  return corpus
}

function blocksOf(file: string, text: string): Iterable<Block> {
  if (/\.html?$/i.test(file)) return htmlBlocks(text)
  return /\.(?:md|markdown)$/i.test(file) ? markdownBlocks(text) : textBlocks(text)
}

/** A function to await often: it lets others run when this turn of the event loop has taken long enough, and throws once aborted. */
function turnTaker(signal: AbortSignal | undefined): () => Promise<void> {
  let began = performance.now()
  return async () => {
    signal?.throwIfAborted()
    if (performance.now() - began < TURN_MS) return
    await setImmediate()
    began = performance.now()
  }
}
