/** The interface that a log driver implements, and the in-memory driver. */
export { encodeEvent, LogEvent } from './event.ts'
export type * from './log.ts'
export { createMemoryLog } from './memory.ts'
