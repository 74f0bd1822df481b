/** The interface of logs for those who write a driver, and the log in memory. */
export { encodeEvent, LogEvent } from './event.ts'
export type * from './log.ts'
export { createMemoryLog } from './memory.ts'
