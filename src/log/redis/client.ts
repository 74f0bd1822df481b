/**
 * What the log uses of an ioredis client (version 6), by structure. So a project without ioredis compiles against this
 * package, and `Redis`, `Cluster` and clients of compatible libraries fit.
 */

/** The options that a client must be made with; each has ioredis's meaning. */
export interface RedisClientOptions {
  lazyConnect: boolean
  enableOfflineQueue: boolean
  autoResendUnfulfilledCommands: boolean
  autoResubscribe: boolean
  maxRetriesPerRequest: number
  /** ms */
  commandTimeout: number
  /** ms */
  connectTimeout: number
  /** Gives the pause before a reconnect, in ms. */
  retryStrategy(attempt: number): number
}

export interface RedisClient {
  /** What it was made with: `db` and `username`, but for a Cluster. */
  readonly options?: object
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'ready' | 'close', listener: () => void): unknown
  on(event: 'message', listener: (channel: string, message: string) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
  connect(): Promise<void>
  disconnect(reconnect?: boolean): void
  quit(): Promise<unknown>
  info(section: string): Promise<string>
  config(subcommand: 'GET', parameter: string): Promise<unknown>
  defineCommand(name: string, definition: { numberOfKeys: number; lua: string }): void
  time(): Promise<(number | string)[]>
  hget(key: string, field: string): Promise<string | null>
  hmget(key: string, ...fields: string[]): Promise<(string | null)[]>
  zadd(key: string, score: number, member: string): Promise<unknown>
  zrem(key: string, member: string): Promise<unknown>
  zrangebylex(
    key: string,
    min: string,
    max: string,
    limit: 'LIMIT',
    offset: number,
    count: number,
  ): Promise<string[]>
  ping(): Promise<unknown>
  /** A Cluster's masters. */
  nodes?(role: 'master'): { info(section: string): Promise<string> }[]
  publish(channel: string, message: string): Promise<unknown>
  subscribe(...channels: string[]): Promise<unknown>
  unsubscribe(...channels: string[]): Promise<unknown>
}

/** The number of the client's database; 0 for the first one, and in a Cluster, which has no other. */
export function databaseOf({ options }: RedisClient): number {
  return (options as { db?: number } | undefined)?.db ?? 0
}

/** The user that the client logs in as. */
export function userOf({ options }: RedisClient): string {
  return (options as { username?: string | null } | undefined)?.username ?? 'default'
}
