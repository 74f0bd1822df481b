/** What the commands `twinrail run` and `twinrail tail` do. */
export { type Download, download } from './download.ts'
export { type RunOptions, runCommand } from './run.ts'
export { type TailOptions, tailCommand } from './tail.ts'
export type { TerminalOptions } from './watch.ts'
