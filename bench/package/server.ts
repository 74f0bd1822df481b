/** What the benchmark uses of the package `twinrail`: the one place that knows where it lies. */
export { playback } from '../../src/agents/playback.ts'
export {
  type Agent,
  apiKeyAuthorize,
  createServer,
  defineAgent,
  type EventBody,
  type EventLog,
  type RunContext,
  type ServerOptions,
  type TwinrailServer,
} from '../../src/index.ts'
export { createMemoryLog } from '../../src/log/index.ts'
export { openLmdbLog } from '../../src/log/lmdb.ts'
export { createRedisLog } from '../../src/log/redis.ts'
