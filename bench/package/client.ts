/** What the benchmark uses of `twinrail-client`: the one place that knows where it lies. */
export { createClient } from '../../client/index.ts'
export { SessionStore } from '../../client/view/index.ts'
