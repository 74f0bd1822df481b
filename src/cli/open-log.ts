/** Opens the log that `--log` names; only that driver is loaded. */
import type { EventLog } from '../log/log.ts'
import { type ServeSettings, SettingsError } from './config.ts'

type LogSettings = Pick<ServeSettings, 'log' | 'reserveBytes' | 'maxLogBytes' | 'redisPrefix'>

/** @param warn receives warnings for the operator @throws SettingsError when the log cannot be opened */
export async function openLog(
  { log: driver, reserveBytes, maxLogBytes, redisPrefix }: LogSettings,
  warn: (message: string) => void,
): Promise<EventLog> {
  if (driver === 'memory') return (await import('../log/memory.ts')).createMemoryLog({ maxLogBytes })
  if (driver.startsWith('lmdb:')) {
    const { LogFolderError, openLmdbLog } = await import('../log/lmdb.ts')
    return openLmdbLog({ folder: driver.slice('lmdb:'.length), reserveBytes, maxLogBytes }).catch(error => {
      throw error instanceof LogFolderError ? new SettingsError(`--log: ${error.message}`) : error
    })
  }
  const { createRedisLog, RedisUnfit } = await import('../log/redis.ts')
  return createRedisLog({ url: driver, prefix: redisPrefix, maxLogBytes, warn }).catch(error => {
    throw error instanceof RedisUnfit ? new SettingsError(`--log: ${error.message}`) : error
  })
}
