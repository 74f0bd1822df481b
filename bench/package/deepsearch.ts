/** What the benchmark uses of `twinrail/agents/deepsearch`: the one place that knows where it lies. */
export { CorpusThread } from '../../src/agents/deepsearch/corpus-thread.ts'
