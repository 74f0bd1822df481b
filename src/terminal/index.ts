/** What the commands `twinrail run`, `tail`, `guide` and `export` do. */
export { type Download, download } from './download.ts'
export { type GuideOptions, guideCommand } from './guide.ts'
export { guideFlags, type Typed } from './guide-questions.ts'
export { type RunOptions, runCommand } from './run.ts'
export { type TailOptions, tailCommand } from './tail.ts'
export type { TerminalOptions } from './watch.ts'
