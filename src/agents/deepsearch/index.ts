/** The `deepsearch` agent and its corpus. */
export { type Corpus, type CorpusOptions, loadCorpus } from './corpus.ts'
export { createDeepsearch, type DeepsearchOptions } from './deepsearch.ts'
export { DeepsearchInput } from './input.ts'
