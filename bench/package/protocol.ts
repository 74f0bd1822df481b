/** What the benchmark uses of `twinrail/protocol`: the one place that knows where it lies. */
export { isTerminal, parseEventBody } from '../../src/protocol/index.ts'
