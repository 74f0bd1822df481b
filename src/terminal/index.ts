/** What the commands `twinrail run` and `twinrail tail` do. */
export { type RunOptions, runCommand } from './run.ts'
export { type TailOptions, tailCommand } from './tail.ts'
export type { TerminalOptions } from './watch.ts'
