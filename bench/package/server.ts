/** What the benchmark uses of the package `twinrail`: the one place that knows where it lies. */
export {
  type Agent,
  createMemoryLog,
  createServer,
  defineAgent,
  type EventBody,
  type EventLog,
  playback,
  type ServerOptions,
  type TwinrailServer,
} from '../../src/index.ts'
export { openLmdbLog } from '../../src/log/lmdb.ts'
export { createRedisLog } from '../../src/log/redis.ts'
