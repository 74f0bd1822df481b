/** What the benchmark uses of `twinrail-client/worker`. */
export { createWorker } from '../../client/worker/index.ts'
