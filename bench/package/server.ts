/** What the benchmark uses of the package `twinrail`: the one place that knows where it lies. */
export { playback } from '../../src/agents/playback.ts'
export {
  type Agent,
  apiKeyAuthorize,
  defineAgent,
  type EventBody,
  type EventLog,
  type RunContext,
} from '../../src/index.ts'
export { createMemoryLog } from '../../src/log/index.ts'
export { openLmdbLog } from '../../src/log/lmdb.ts'
export { createRedisLog, type RedisClient } from '../../src/log/redis.ts'
/** With the server's inside, whose costs the benchmark measures, too. */
export { createServer, type ServerOptions, type WholeServer } from '../../src/server.ts'
