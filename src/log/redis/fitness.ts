/** Checks that a Redis can store a log. */
import { type RedisClient, userOf } from './client.ts'

/** Thrown for a Redis that cannot store a log; the message says what to change. */
export class RedisUnfit extends Error {
  /** The name of the class, also where the class itself was loaded twice. */
  override readonly name = 'RedisUnfit'
}

/**
 * Refuses a Redis that may evict events, and warns of one that may lose the newest events in a crash. For hosted servers
 * that hide their settings it only warns.
 * @throws RedisUnfit
 */
export async function mustFit(client: RedisClient, warn: (message: string) => void): Promise<void> {
  const version = /redis_version:(\d+)\.(\d+)/.exec(await client.info('server'))
  if (version && Number(version[1]) < 7) {
    throw new RedisUnfit(`the log needs Redis or Valkey 7 or later, this one is ${version[1]}.${version[2]}`)
  }
  let settings: Record<string, string>
  try {
    settings = await settingsOf(client)
  } catch {
    warn(
      'this Redis hides its settings: make sure that it never evicts keys, and that it writes every append to disk',
    )
    return
  }
  const policy = settings['maxmemory-policy']
  if (policy !== undefined && policy !== 'noeviction') {
    throw new RedisUnfit(
      `Redis may evict sessions (maxmemory-policy ${policy}); set maxmemory-policy noeviction, or use another Redis`,
    )
  }
  if (settings['appendonly'] !== 'yes' || settings['appendfsync'] !== 'always') {
    warn(
      'a crash of this Redis may take back the last events: sessions then begin a new epoch and clients get reset. Set appendonly yes and appendfsync always to keep every accepted event',
    )
  }
}

async function settingsOf(client: RedisClient): Promise<Record<string, string>> {
  const settings: Record<string, string> = {}
  for (const name of ['maxmemory-policy', 'appendonly', 'appendfsync']) {
    const [key, value] = (await client.config('GET', name)) as string[]
    if (key !== undefined && value !== undefined) settings[key] = value
  }
  return settings
}

/**
 * Tries to subscribe and publish to the log's channels, which an access list may forbid.
 * @param channel one of the log's channels
 * @param pattern matches all channels of the log
 * @throws RedisUnfit with the access rule to add
 */
export async function mustHear(
  commands: RedisClient,
  subscriber: RedisClient,
  channel: string,
  pattern: string,
): Promise<void> {
  try {
    await subscriber.subscribe(channel)
    await subscriber.unsubscribe(channel)
    await commands.publish(channel, '')
  } catch (error) {
    if (!/^NOPERM\b/.test((error as Error).message)) throw error
    const user = userOf(commands)
    throw new RedisUnfit(
      `the Redis user ${user} has no right to the log's channels, through which nodes notify each other of events; add it: ACL SETUSER ${user} &${pattern} +subscribe +unsubscribe +publish`,
    )
  }
}
