/** What a Redis must be for a log. */
import { type RedisClient, userOf } from './client.ts'

/** A Redis that no log can live in; the message says what to change. */
export class RedisUnfit extends Error {
  override readonly name = 'RedisUnfit'
}

/**
 * Refuses a Redis that would lose events on its own, and warns of one that may lose the last of them in a crash.
 * Hosted servers that hide their settings are taken at their word.
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
      'this Redis hides its settings: see to it that it never evicts, and that it writes every append to disk',
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
 * Tries what a user's access list may forbid: to listen to the log's channels and to publish there.
 * @param channel one of the log's
 * @param pattern what the channels of the log match
 * @throws RedisUnfit that has the line to add
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
      `the Redis user ${user} has no right to the log's channels, by which nodes tell each other of events; add it: ACL SETUSER ${user} &${pattern} +subscribe +unsubscribe +publish`,
    )
  }
}
