/** The `deepsearch` agent. Entry of `twinrail/agents/deepsearch`: nothing else of this folder is public. */
import { type Agent, defineAgent } from '../agent.ts'
import { CorpusThread } from './corpus-thread.ts'
import { defaultCacheFolder } from './index-cache.ts'
import { DeepsearchInput, Research } from './research.ts'

export { DeepsearchInput }

/** The options of {@link createDeepsearch}. */
export interface DeepsearchOptions {
  /**
   * The documents: paths of folders, which are searched recursively for Markdown (`.md`, `.mdx`, `.markdown`), HTML,
   * reStructuredText (`.rst`), AsciiDoc (`.adoc`) and text (`.txt`, and `README` and the like without an extension)
   * files, and paths of single files of any name. Relative paths start at the working directory. Folders
   * `node_modules` and `dist`, hidden files and symbolic links below a folder are skipped. UTF-8, UTF-16, GBK and
   * Latin-1 are read. Files beyond a limit and files that are no text are left out; the log and the answers say so.
   */
  corpus: string | readonly string[]
  /** A larger file is left out, in bytes. @default 4 MiB */
  maxFileBytes?: number
  /** Maximum number of files. @default 10 000 */
  maxFiles?: number
  /** No further file is read once this many bytes are read. @default 64 MiB */
  maxTotalBytes?: number
  /**
   * Folder in which an index that took some seconds to make is kept until the documents change; `false` to keep none.
   * @default `twinrail` in the user's cache folder
   */
  cache?: string | false
  /** Takes a line about what was left out or went wrong. @default writes it to stderr */
  log?: (message: string) => void
  /** Delay after each delta of the answer, in ms, so that a demo looks like a language model. 0: no delay. @default 0 */
  paceMs?: number
  /**
   * The address under which a web server has the documents, such as `https://docs.example/`. It is put before the path
   * of each source, so that pages can link to it. @default none: a source's `url` is its path in the corpus
   */
  baseUrl?: string
}

/** The documents are read this long after the agent was made, unless a run needs them sooner, in ms. */
const START_MS = 500

/**
 * Creates the `deepsearch` agent. It splits a query into questions, searches the documents for each, and streams an
 * answer of literal quotes with citations. It needs no language model and no network.
 *
 * The documents are read and indexed in a thread of their own, which starts soon after this call, and the index is
 * shared by all runs of this agent; later changes to the files have no effect. A missing or unreadable file does not
 * throw: it is left out, and with no document at all the answer says so.
 *
 * A run completes with `result: { answer, sources, questions }` and one of these finish reasons: `stop` (something was
 * found), `no-results`, `declined` (the user did not approve the plan). Messages sent into the run are answered as further
 * questions.
 * @example
 * ```ts
 * import { createServer } from 'twinrail'
 * import { createDeepsearch } from 'twinrail/agents/deepsearch'
 *
 * const server = await createServer({ agents: [createDeepsearch({ corpus: ['docs', 'README.md'] })] })
 * ```
 */
export function createDeepsearch(options: DeepsearchOptions): Agent<DeepsearchInput> {
  const { corpus, maxFileBytes, maxFiles, maxTotalBytes, paceMs, baseUrl, log = writeToStderr } = options
  const cache = options.cache === false ? undefined : (options.cache ?? defaultCacheFolder())
  const limits = {
    ...(maxFileBytes !== undefined && { maxFileBytes }),
    ...(maxFiles !== undefined && { maxFiles }),
    ...(maxTotalBytes !== undefined && { maxTotalBytes }),
  }
  const style = { ...(paceMs !== undefined && { paceMs }), ...(baseUrl !== undefined && { baseUrl }) }
  let thread: CorpusThread | undefined
  const open = () => {
    if (!thread || thread.failed) thread = new CorpusThread({ roots: [corpus].flat(), limits, cache }, log)
    return thread
  }
  setTimeout(open, START_MS).unref()
  return defineAgent({
    name: 'deepsearch',
    description:
      'Answers questions from a folder of documents, with citations. Needs no model and no network.',
    input: DeepsearchInput,
    run: (input, context) => new Research(input, context, open, style).run(),
  })
}

function writeToStderr(message: string): void {
  process.stderr.write(`twinrail: deepsearch: ${message}\n`)
}
