/** The `deepsearch` agent: answers questions from a folder of documents, with citations, no model and no network. */
import { type Agent, defineAgent } from '../agent.ts'
import { type Corpus, loadCorpus } from './corpus.ts'
import { DeepsearchInput } from './input.ts'
import { Research } from './research.ts'

export interface DeepsearchOptions {
  /** Folders, and files by themselves, of Markdown, text and HTML. Read once, when the first question comes. */
  corpus: string | readonly string[]
  /** How long to wait after each piece of the answer, in ms, so that a demo looks like a model; 0 never waits. @default 0 */
  paceMs?: number
}

/** Makes the `deepsearch` agent. Its runs share one corpus. */
export function createDeepsearch({ corpus, paceMs = 0 }: DeepsearchOptions): Agent<DeepsearchInput> {
  let loading: Promise<Corpus> | undefined
  const load = () => {
    loading ??= loadCorpus(corpus)
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
