/** What the benchmark uses of the package `twinrail`: the one place that knows where it lies. */
export {
  type Agent,
  createMemoryLog,
  createRedisLog,
  createServer,
  defineAgent,
  type EventBody,
  type EventLog,
  openLmdbLog,
  playback,
  type ServerOptions,
  type TwinrailServer,
} from '../../src/index.ts'
