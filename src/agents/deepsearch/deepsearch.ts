/** The `deepsearch` agent. Entry of `twinrail/agents/deepsearch`: nothing else of this folder is public. */
import { type Agent, defineAgent } from '../agent.ts'
import type { Corpus } from './corpus.ts'
import { DeepsearchInput, Research } from './research.ts'

export { DeepsearchInput }

export interface DeepsearchOptions {
  /**
   * The documents: paths of folders, which are searched recursively for Markdown (`.md`, `.markdown`), text (`.txt`) and
   * HTML (`.html`, `.htm`) files, and paths of single files of any name. Relative paths start at the working directory.
   * Folders `node_modules` and `dist`, hidden files and symbolic links below a folder are skipped. Limits: 10 000 files,
   * 1 MiB per file, 16 MiB in all; files beyond a limit, and files that are not UTF-8, are left out.
   */
  corpus: string | readonly string[]
  /** Delay after each delta of the answer, in ms, so that a demo looks like a language model. 0: no delay. @default 0 */
  paceMs?: number
}

/**
 * Creates the `deepsearch` agent. It splits a query into questions, searches the documents for each, and streams an
 * answer of literal quotes with citations. It needs no language model and no network.
 *
 * The documents are read and indexed in memory when the first run searches, and shared by all runs of this agent; later
 * changes to the files have no effect. A missing or unreadable file does not throw: it is left out, and with no document
 * at all the answer says so.
 *
 * A run completes with `result: { answer, sources, questions }` and one of these finish reasons: `stop` (something was
 * found), `no-results`, `declined` (the user did not approve the plan). Messages sent into the run are answered as further
 * questions.
 */
export function createDeepsearch({ corpus, paceMs = 0 }: DeepsearchOptions): Agent<DeepsearchInput> {
  let loading: Promise<Corpus> | undefined
  const load = () => {
    loading ??= importAndLoad(corpus)
    return loading
  }
  return defineAgent({
    name: 'deepsearch',
    description:
      'Answers questions from a folder of documents, with citations. Needs no model and no network.',
    input: DeepsearchInput,
    run: (input, context) => new Research(input, context, load, paceMs).run(),
  })
}

/** Imports the parsers and the index with the first search, so that a server that never searches does not load them. */
async function importAndLoad(corpus: DeepsearchOptions['corpus']): Promise<Corpus> {
  const { loadCorpus } = await import('./corpus.ts')
  return loadCorpus(corpus)
}
