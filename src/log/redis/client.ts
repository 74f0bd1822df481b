/**
 * Structural types for the parts of an ioredis client (version 6) that the log uses. A project without ioredis compiles
 * against them, and `Redis`, `Cluster` and clients of compatible libraries satisfy them.
 */

/** The options that a client must be created with, as ioredis defines them. */
export interface RedisClientOptions {
  /** Always true: the log connects when it is used. */
  lazyConnect: boolean
  /** Always false: a command without a connection fails at once. */
  enableOfflineQueue: boolean
  /** Always false: the log repeats commands itself, where that is safe. */
  autoResendUnfulfilledCommands: boolean
  /** Always false: the log subscribes again itself, and reads what it missed. */
  autoResubscribe: boolean
  /** Always 0: a command fails when its connection does. */
  maxRetriesPerRequest: number
  /** ms */
  commandTimeout: number
  /** ms */
  connectTimeout: number
  /** Returns the pause before a reconnect, in ms. */
  retryStrategy(attempt: number): number
}

/** A connection that can hold back what is written, as streams of Node.js do. */
export interface RedisStream {
  cork(): void
  uncork(): void
}

/**
 * A client of Redis, as the log uses it: the methods have the names and meanings of ioredis and of the
 * commands of Redis.
 */
export interface RedisClient {
  /** The client's options: `db` and `username`, which a Cluster does not have. */
  readonly options?: object
  /** The connection, which a Cluster has for each node. */
  readonly stream?: RedisStream | null
  /** Calls the listener when the connection fails. */
  on(event: 'error', listener: (error: Error) => void): unknown
  /** Calls the listener when the client is ready for commands, or its connection has ended. */
  on(event: 'ready' | 'close', listener: () => void): unknown
  /** Calls the listener for each message of a subscribed channel, in order. */
  on(event: 'message', listener: (channel: string, message: string) => void): unknown
  /** Removes a listener. */
  off(event: 'error', listener: (error: Error) => void): unknown
  /** Resolves once the client is connected. */
  connect(): Promise<void>
  /** Drops the connection at once. @param reconnect whether the client connects again */
  disconnect(reconnect?: boolean): void
  /** Ends the connection after the answers to earlier commands. */
  quit(): Promise<unknown>
  /** `INFO`. */
  info(section: string): Promise<string>
  /** `CONFIG GET`. */
  config(subcommand: 'GET', parameter: string): Promise<unknown>
  /**
   * Adds a method that runs a script, by `EVALSHA` where the server knows it. Without `numberOfKeys` it is the first
   * argument of each call.
   */
  defineCommand(name: string, definition: { numberOfKeys?: number; lua: string }): void
  /** `TIME`: seconds and microseconds. */
  time(): Promise<(number | string)[]>
  /** `HGET`. */
  hget(key: string, field: string): Promise<string | null>
  /** `HMGET`. */
  hmget(key: string, ...fields: string[]): Promise<(string | null)[]>
  /** `HSCAN`. */
  hscan(key: string, cursor: string, option: 'COUNT', count: number): Promise<[string, string[]]>
  /** `ZADD`. Resolves with 1 when the member was not there, else with 0. */
  zadd(key: string, score: number, member: string): Promise<unknown>
  /** `ZADD` that only lowers a score. Resolves as the other. */
  zadd(key: string, only: 'LT', score: number, member: string): Promise<unknown>
  /** `ZREM`. */
  zrem(key: string, member: string): Promise<unknown>
  /** `SADD`. */
  sadd(key: string, member: string): Promise<unknown>
  /** `SREM`. */
  srem(key: string, member: string): Promise<unknown>
  /** `SCARD`. */
  scard(key: string): Promise<number>
  /** `ZRANGEBYLEX`. */
  zrangebylex(
    key: string,
    min: string,
    max: string,
    limit: 'LIMIT',
    offset: number,
    count: number,
  ): Promise<string[]>
  /** `PING`. */
  ping(): Promise<unknown>
  /** A Cluster's masters. */
  nodes?(role: 'master'): { readonly stream?: RedisStream | null; info(section: string): Promise<string> }[]
  /** `PUBLISH`. */
  publish(channel: string, message: string): Promise<unknown>
  /** `SUBSCRIBE`. Resolves once the server has taken the subscriptions. */
  subscribe(...channels: string[]): Promise<unknown>
  /** `UNSUBSCRIBE`; without channels, from all. */
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
