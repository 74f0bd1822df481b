/** Keys, scripts and reads of the log in one Redis. */
import { createHash } from 'node:crypto'
import { LogEvent } from '../event.ts'
import type { LogPage, Place, ReadBounds, SessionInfo, SessionRecord } from '../log.ts'
import { needsAllKeys } from './arguments.ts'
import { databaseOf, type RedisClient, type RedisClientOptions } from './client.ts'
import type { Connection } from './connection.ts'
import { globalScripts } from './global-scripts.ts'
import type { LeaseCommands } from './leases.ts'
import { RECORD_HASHES, recordOf } from './records.ts'
import { HEADER_AND_EVENTS, SESSION_KEYS, sessionScripts } from './scripts.ts'
import type { Recovery } from './tails.ts'

type SessionScript = keyof typeof sessionScripts
type GlobalScript = keyof typeof globalScripts

/** A client with the scripts as commands. */
type Scripted = Record<string, (...args: string[]) => Promise<unknown>>

/** Fields of a hash that are read at a time, about. */
const SCAN = 500

/** Whether a command waits for the connection, or is sent first after a connect. */
type Turn = 'in-turn' | 'first'

export class Store {
  readonly commands: Connection
  readonly #prefix: string
  readonly #node: string
  readonly #clock: (() => number) | undefined
  /** The number of the database; '' for the first. */
  readonly #database: string

  constructor(commands: Connection, prefix: string, node: string, clock: (() => number) | undefined) {
    this.commands = commands
    this.#prefix = prefix
    this.#node = node
    this.#clock = clock
    const { client } = commands
    this.#database = String(databaseOf(client) || '')
    for (const [name, lua] of Object.entries(sessionScripts)) {
      client.defineCommand(`twinrail_${name}`, { lua })
    }
    for (const [name, lua] of Object.entries(globalScripts)) {
      client.defineCommand(`twinrail_${name}`, { numberOfKeys: 1, lua })
    }
  }

  /** For scripts: ms since 1970, or '' for Redis's own time. */
  get now(): string {
    return this.#clock ? String(this.#clock()) : ''
  }

  keyOf(sessionId: string, part: string): string {
    return `${this.#prefix}{${sessionId}}:${part}`
  }

  /**
   * The channel of a session. All databases of a Redis share their channels, so the names for other databases than the
   * first contain the database's number.
   */
  readonly channelOf = (sessionId: string) => this.keyOf(sessionId, `c${this.#database}`)

  readonly sessionOf = (channel: string) =>
    channel.slice(this.#prefix.length + 1, -`}:c${this.#database}`.length)

  /** The pattern of all channels of the log, for access lists. */
  get channelPattern(): string {
    return `${this.#prefix}*`
  }

  /** Writes a value to test that the store accepts writes. @throws TwinrailError as an append would */
  async probe(): Promise<void> {
    await this.#run('probe', [`${this.#prefix}probe`, this.#node])
  }

  /** Runs a script over all keys of a session. */
  script<T>(
    name: SessionScript,
    sessionId: string,
    args: readonly unknown[],
    turn: Turn = 'in-turn',
  ): Promise<T> {
    const keys = SESSION_KEYS.map(part => this.keyOf(sessionId, part))
    return this.#run<T>(name, [String(keys.length), ...keys, ...args.map(String)], turn)
  }

  /** Runs the script `append`. @param args see {@link appendArguments} */
  async append(sessionId: string, args: readonly string[]): Promise<readonly string[]> {
    const keys = needsAllKeys(args) ? SESSION_KEYS : HEADER_AND_EVENTS
    const answer = await this.#run<string | string[]>('append', [
      String(keys.length),
      ...keys.map(part => this.keyOf(sessionId, part)),
      ...args,
    ])
    return typeof answer === 'string' ? answer.split(' ') : answer
  }

  /** Assigns a new epoch. @param least its minimum */
  giveEpoch(least = 0, turn: Turn = 'in-turn'): Promise<string> {
    return this.#run('giveEpoch', [`${this.#prefix}epoch`, this.now, String(least)], turn)
  }

  async headerOf(sessionId: string): Promise<SessionInfo | undefined> {
    const fields = ['epoch', 'head', 'earliest', 'created', 'metadata', 'by', 'active']
    const key = this.keyOf(sessionId, 'h')
    return infoOf(sessionId, await this.commands.send(client => client.hmget(key, ...fields)))
  }

  async read(
    sessionId: string,
    after: number,
    { events, bytes, through = '' }: Omit<ReadBounds, 'through'> & { through?: number | string },
    turn: Turn = 'in-turn',
  ): Promise<LogPage | undefined> {
    const args = [after, events, Math.min(bytes, Number.MAX_SAFE_INTEGER), through]
    const [header, texts = []] = await this.script<[string[], string[]] | []>('read', sessionId, args, turn)
    if (!header) return undefined
    const [epoch = 0, head = 0, earliest = 0] = header.map(Number)
    const from = Math.max(after + 1, earliest)
    return { epoch, head, earliest, events: texts.map((text, i) => new LogEvent(epoch, from + i, text)) }
  }

  /** Adds the session to {@link listed} and {@link recent} before it is created, so that none is ever missing. */
  async listNew(sessionId: string): Promise<void> {
    await Promise.all([
      this.commands.send(client => client.zadd(this.#sessionsKey, 0, sessionId)),
      this.#run('enter', [this.#activityKey, sessionId, this.now]),
    ])
  }

  /** Lists a session that is there, also when a deletion of the one before has just unlisted it. */
  async list(sessionId: string, activeAt: number, turn: Turn = 'in-turn'): Promise<void> {
    const [added] = await Promise.all([
      this.#send(turn, client => client.zadd(this.#sessionsKey, 0, sessionId)),
      this.move(sessionId, activeAt, turn),
    ])
    if (added === 1) await this.unlistUnlessThere(sessionId)
  }

  /** Moves the session in {@link recent}; never back, since calls of different processes may come in any order. */
  async move(sessionId: string, activeAt: number, turn: Turn = 'in-turn'): Promise<void> {
    const added = await this.#send(turn, client => client.zadd(this.#activityKey, 'LT', -activeAt, sessionId))
    if (added === 1) await this.unlistUnlessThere(sessionId)
  }

  /** Called when a session may be listed that another process has deleted, or that was not created. */
  async unlistUnlessThere(sessionId: string): Promise<void> {
    if (!(await this.headerOf(sessionId))) await this.unlist(sessionId)
  }

  /** Gives the session a place in {@link recent}, also one further back. */
  async place(sessionId: string, activeAt: number): Promise<void> {
    const added = await this.commands.send(client => client.zadd(this.#activityKey, -activeAt, sessionId))
    if (added === 1) await this.unlistUnlessThere(sessionId)
  }

  /** The records of a session, expired keys included, until it has another epoch. */
  async *records(sessionId: string, epoch: number): AsyncGenerator<SessionRecord, void, void> {
    for (const hash of RECORD_HASHES) {
      const key = this.keyOf(sessionId, hash)
      for (let cursor: string | undefined; cursor !== '0'; ) {
        const from: string = cursor ?? '0'
        const [next, found] = await this.commands.send(client => client.hscan(key, from, 'COUNT', SCAN))
        if ((await this.headerOf(sessionId))?.epoch !== epoch) return
        for (let i = 0; i < found.length; i += 2) {
          const record = recordOf(hash, found[i] as string, found[i + 1] as string)
          if (record) yield record
        }
        cursor = next
      }
    }
  }

  async unlist(sessionId: string): Promise<void> {
    await Promise.all([
      this.commands.send(client => client.zrem(this.#sessionsKey, sessionId)),
      this.commands.send(client => client.zrem(this.#activityKey, sessionId)),
    ])
    // The session may have been created again concurrently.
    const header = await this.headerOf(sessionId)
    if (header) await this.list(sessionId, header.activeAt)
  }

  /** Counts the session as one that this principal has created, before it does. */
  async countIn(createdBy: string | undefined, sessionId: string): Promise<void> {
    if (createdBy === undefined) return
    await this.commands.send(client => client.sadd(this.#createdKey(createdBy), sessionId))
  }

  async countOut(createdBy: string | undefined, sessionId: string): Promise<void> {
    if (createdBy === undefined) return
    await this.commands.send(client => client.srem(this.#createdKey(createdBy), sessionId))
  }

  countCreated(createdBy: string): Promise<number> {
    return this.commands.send(client => client.scard(this.#createdKey(createdBy)))
  }

  /** See the script `spend`. */
  async spend(bucket: string, cost: number, perSecond: number, burst: number): Promise<number> {
    const args = [this.now, cost, perSecond, burst].map(String)
    return Number(await this.#run<string>('spend', [`${this.#prefix}bucket:${bucket}`, ...args]))
  }

  /** See the script `hold`. */
  async hold(name: string, counts: readonly number[], ttlMs: number): Promise<readonly number[]> {
    const args = [this.now, this.#node, String(ttlMs), counts.join(' ')]
    return this.#run<number[]>('hold', [`${this.#prefix}held:${name}`, ...args])
  }

  /** Names of principals may be long. */
  #createdKey(createdBy: string): string {
    return `${this.#prefix}created:${createHash('sha256').update(createdBy).digest('base64url')}`
  }

  /** Ids of possible sessions, in order. */
  listed(after: string | undefined, limit: number): Promise<string[]> {
    const min = after === undefined ? '-' : `(${after}`
    return this.commands.send(client => client.zrangebylex(this.#sessionsKey, min, '+', 'LIMIT', 0, limit))
  }

  /** Places of possible sessions in the order of their last activity, behind one of them. */
  async recent(after: Place | undefined, limit: number): Promise<Place[]> {
    const args = after ? [String(-after.activeAt), after.sessionId] : ['-inf', '']
    const found = await this.#run<string[]>('behind', [this.#activityKey, ...args, String(limit)])
    const places: Place[] = []
    for (let i = 0; i < found.length; i += 2) {
      places.push({ sessionId: found[i] as string, activeAt: -Number(found[i + 1]) })
    }
    return places
  }

  /** Corrects what {@link recent} gave for a session, unless the session moved since. */
  async settle({ sessionId, activeAt }: Place, real: number): Promise<void> {
    await this.#run('settle', [this.#activityKey, sessionId, String(-activeAt), String(-real)])
  }

  /** See the script `lost`. */
  async recover(
    sessionId: string,
    epoch: number,
    head: number,
    last: LogEvent | undefined,
  ): Promise<Recovery> {
    const fresh = await this.giveEpoch(epoch + 1, 'first')
    const text = last ? `{${last.json.slice(last.json.indexOf(',') + 1)}` : ''
    const args = [this.now, this.#node, this.channelOf(sessionId), fresh, epoch, head, text]
    const answer = await this.script<['lost' | 'same' | 'deleted', string[]?]>(
      'lost',
      sessionId,
      args,
      'first',
    )
    const [outcome, position = []] = answer
    if (outcome !== 'lost') return { outcome }
    const [newEpoch = 0, newHead = 0, , activeAt = 0] = position.map(Number)
    await this.list(sessionId, activeAt, 'first')
    return { outcome, epoch: newEpoch, head: newHead }
  }

  readonly leases: LeaseCommands = {
    touch: async (member, ms) =>
      Number(await this.#run('touch', [this.#leasesKey, member, String(ms), this.now])),
    settle: (member, seen, real) => this.#run('settle', [this.#leasesKey, member, seen, real]),
    due: async limit => {
      const args = [this.#leasesKey, String(limit), this.now]
      const [time, found] = await this.#run<[string, string[]]>('due', args)
      const members = []
      for (let i = 0; i < found.length; i += 2) {
        members.push({ member: found[i] as string, score: found[i + 1] as string })
      }
      return { now: Number(time), members }
    },
    held: async (sessionId, runId) => {
      const [epoch, lease] = await Promise.all([
        this.commands.send(client => client.hget(this.keyOf(sessionId, 'h'), 'epoch')),
        this.commands.send(client => client.hget(this.keyOf(sessionId, 'r'), runId)),
      ])
      return { epoch, lease }
    },
  }

  /** ms since 1970, by the clock that scripts use. */
  async time(): Promise<number> {
    if (this.#clock) return this.#clock()
    const [seconds, micros] = await this.commands.send(client => client.time())
    return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)
  }

  get #sessionsKey(): string {
    return `${this.#prefix}sessions`
  }

  get #activityKey(): string {
    return `${this.#prefix}activity`
  }

  get #leasesKey(): string {
    return `${this.#prefix}leases`
  }

  #run<T>(name: SessionScript | GlobalScript, args: string[], turn: Turn = 'in-turn'): Promise<T> {
    const run = (client: RedisClient) => {
      const command = (client as unknown as Scripted)[`twinrail_${name}`] as Scripted[string]
      return command.apply(client, args) as Promise<T>
    }
    return this.#send(turn, run)
  }

  #send<T>(turn: Turn, command: (client: RedisClient) => Promise<T>): Promise<T> {
    return turn === 'first' ? this.commands.sendNow(command) : this.commands.send(command)
  }
}

/** Parses a session's header, whose fields are in the order above. */
export function infoOf(sessionId: string, header: readonly (string | null)[]): SessionInfo | undefined {
  const [epoch, head, earliest, created, metadata, createdBy, active] = header
  if (!epoch) return undefined
  return {
    sessionId,
    epoch: Number(epoch),
    head: Number(head),
    earliest: Number(earliest),
    createdAt: Number(created),
    activeAt: Number(active ?? created),
    metadata: JSON.parse(metadata ?? '{}'),
    ...(typeof createdBy === 'string' && { createdBy }),
  }
}

/** Creates clients from a URL. @throws Error when the package `ioredis` is not installed */
export async function connectorTo(url: string): Promise<(options: RedisClientOptions) => RedisClient> {
  const { Redis } = await import('ioredis').catch(cause => {
    throw new Error('the log in Redis needs the package ioredis: npm install ioredis', { cause })
  })
  return options => new Redis(url, options as object)
}
