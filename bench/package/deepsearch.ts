/** What the benchmark uses of `twinrail/agents/deepsearch`: the one place that knows where it lies. */
export { createDeepsearch } from '../../src/agents/deepsearch/deepsearch.ts'
