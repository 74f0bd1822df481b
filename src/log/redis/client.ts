/**
 * Structural types for the parts of an ioredis client (version 6) that the log uses. A project without ioredis compiles
 * against them, and `Redis`, `Cluster` and clients of compatible libraries satisfy them.
 */

/** The options that a client must be created with, as ioredis defines them. */
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
  /** Returns the pause before a reconnect, in ms. */
  retryStrategy(attempt: number): number
}

export interface RedisClient {
  /** The client's options: `db` and `username`, which a Cluster does not have. */
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
  hscan(key: string, cursor: string, option: 'COUNT', count: number): Promise<[string, string[]]>
  zadd(key: string, score: number, member: string): Promise<unknown>
  zadd(key: string, only: 'LT', score: number, member: string): Promise<unknown>
  zrem(key: string, member: string): Promise<unknown>
  sadd(key: string, member: string): Promise<unknown>
  srem(key: string, member: string): Promise<unknown>
  scard(key: string): Promise<number>
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

/** The number of the client's database; 0 for the first one and for a Cluster, which has only that. */
export function databaseOf({ options }: RedisClient): number {
  return (options as { db?: number } | undefined)?.db ?? 0
}

/** The user that the client logs in as. */
export function userOf({ options }: RedisClient): string {
  return (options as { username?: string | null } | undefined)?.username ?? 'default'
}
