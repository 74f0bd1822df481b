/**
 * The log in Redis (or Valkey) 7 or later, for several processes: per session a header and a stream on one hash slot,
 * changed by one script at a time. Entry `0-<seq>` of the stream under the header's epoch E is the event `E-<seq>`.
 */
import { randomUUID } from 'node:crypto'
import { TwinrailError } from '../protocol/index.ts'
import { adds, type Held, judge } from './conditions.ts'
import { LogEvent } from './event.ts'
import type { AppendConditions, Appended, EventLog, Place, SessionInfo, Snapshot } from './log.ts'
import {
  addedOf,
  appendArguments,
  appendedOf,
  movedAt,
  noteOf,
  OVER_LIMIT,
  UNANNOUNCED,
} from './redis/arguments.ts'
import type { RedisClient, RedisClientOptions } from './redis/client.ts'
import { Connection, clientOptions } from './redis/connection.ts'
import { mustFit, mustHear, RedisUnfit } from './redis/fitness.ts'
import { Heartbeat } from './redis/heartbeat.ts'
import { LeaseIndex } from './redis/leases.ts'
import { RedisMemory } from './redis/memory.ts'
import { argumentsOf } from './redis/records.ts'
import { connectorTo, infoOf, Store } from './redis/store.ts'
import { Tails } from './redis/tails.ts'
import { logClosed, mustReach } from './refusals.ts'
import { lengthOf, SizeLimit } from './size-limit.ts'

export type { RedisClient, RedisClientOptions } from './redis/client.ts'
export { RedisUnfit } from './redis/fitness.ts'

/** The options of {@link createRedisLog}. */
export interface RedisLogOptions {
  /** For example `redis://:password@host:6379/0`, or `rediss://…` for TLS. @default redis://127.0.0.1:6379 */
  url?: string
  /**
   * Creates the clients, for Sentinel, Cluster and settings that a URL cannot express. Called once for commands and once
   * for the subscriber. The client must have these options (a Cluster as its `redisOptions`, with `lazyConnect: true` and
   * `enableOfflineQueue: false`).
   */
  connect?: (options: RedisClientOptions) => RedisClient
  /**
   * Prefix of the names of all keys and channels. Deployments in one database need different prefixes; deployments in
   * different databases are separate. @default "twinrail:"
   */
  prefix?: string
  /**
   * The size of the log from which on appends and new sessions are refused as `rate-limited`, in bytes of memory that
   * the data in Redis takes (`used_memory_dataset`, of all masters of a Cluster together), whoever wrote it. @default no
   * limit
   */
  maxLogBytes?: number | undefined
  /** Time after which a call without an answer from Redis rejects with `unavailable`, in ms. @default 5 s */
  deadlineMs?: number
  /**
   * A followed session without new events is read again after this time, in ms, or later when many are followed: at
   * most fifteen are read in a fifth of this time. @default 5 s
   */
  recheckMs?: number
  /** Receives warnings for the operator. @default process.emitWarning */
  warn?: (message: string) => void
  /**
   * Receives background failures that no call reports, such as a lost connection.
   * @default calls `warn`, at most once a minute with the same message
   */
  onError?: (error: unknown) => void
  /** ms since 1970; tests of expiry pass their own. @default Redis's time, so that nodes' clocks need not agree */
  clock?: () => number
}

/** A session that nobody has written to yet, as its conditions are judged. */
const EMPTY: Held = {
  epoch: 0,
  head: 0,
  key: () => undefined,
  lease: () => undefined,
  producer: () => undefined,
  tally: () => [],
  metadata: () => ({}),
}

/** Maximum number of announcements of a lease that expires each time before it is taken. */
const ANNOUNCEMENTS = 5

/** No creation of a session takes longer, in ms. */
const CREATING_MS = 60_000

/** No call that restores leases takes longer, in ms. */
const RESTORING_MS = 60_000

/** Page size for reading a followed session. */
const PAGE = { events: 1000, bytes: 1024 * 1024 }

/**
 * Opens the driver `redis`.
 * @throws RedisUnfit when Redis may evict sessions, is too old or cannot be reached
 * @example
 * ```ts
 * import { createServer } from 'twinrail'
 * import { createRedisLog } from 'twinrail/log/redis'
 *
 * const log = await createRedisLog({ url: 'redis://127.0.0.1:6379' })
 * const server = await createServer({ log })
 * ```
 */
export async function createRedisLog(options: RedisLogOptions = {}): Promise<EventLog> {
  const { prefix = 'twinrail:', deadlineMs = 5000, recheckMs = 5000 } = options
  const { url = 'redis://127.0.0.1:6379', warn = message => process.emitWarning(message) } = options
  const { onError = rarely(message => warn(`the log in Redis: ${message}`)) } = options
  const connect = options.connect ?? (await connectorTo(url))
  const client = () => connect(clientOptions(deadlineMs))
  const node = randomUUID()
  let closed = false
  const pending = new Set<Promise<unknown>>()

  const counts = { 'silent-subscriber': 0, 'not-master': 0 }
  const onNotMaster = () => {
    counts['not-master']++
    commands.renew()
    subscriber.renew()
  }
  const common = { deadlineMs, onNotMaster, onError }
  const commands: Connection = new Connection({
    client: client(),
    onReady: async () => tails.pullAll(),
    ...common,
  })
  const subscriber: Connection = new Connection({
    client: client(),
    onReady: async () => tails.subscribeAll(),
    ...common,
  })
  const limit = new SizeLimit(options.maxLogBytes)
  const memory = new RedisMemory(commands)
  /** Whether the log has no room for so many bytes. */
  const isOver = async (added: number) => limit.isSet && limit.isOver(await memory.bytes(), added)
  const store = new Store(commands, prefix, node, options.clock)
  const leases = new LeaseIndex(store.leases, options.clock ?? (() => performance.now()))
  const tails: Tails = new Tails({
    subscriber,
    node,
    channelOf: store.channelOf,
    sessionOf: store.sessionOf,
    read: (sessionId, after) => store.read(sessionId, after, PAGE, 'first'),
    recover: (...known) => store.recover(...known),
    recheckMs,
    onError: error => {
      // Nothing is lost while Redis is unreachable: the next check or connection tries again.
      if (!(error instanceof TwinrailError)) onError(error)
    },
  })
  const heartbeat = new Heartbeat(subscriber, () => {
    counts['silent-subscriber']++
  })
  try {
    await commands.connect()
    await mustFit(commands.client, warn)
    await subscriber.connect()
    await mustHear(commands.client, subscriber.client, store.channelOf('probe'), store.channelPattern)
  } catch (error) {
    heartbeat.close()
    tails.close()
    await Promise.all([commands.close(), subscriber.close()])
    if (error instanceof RedisUnfit) throw error
    const { message } = error as Error
    throw new RedisUnfit(`cannot use the Redis at ${url.replace(/\/\/[^@/]*@/, '//')}: ${message}`)
  }

  /** Wraps a method of the log: it rejects after `close`, and `close` waits for calls in progress. */
  function open<A extends unknown[], T>(call: (...args: A) => Promise<T>): (...args: A) => Promise<T> {
    return async (...args) => {
      if (closed) throw logClosed()
      const work = call(...args)
      pending.add(work)
      try {
        return await work
      } finally {
        pending.delete(work)
      }
    }
  }

  async function append(
    sessionId: string,
    texts: readonly string[],
    conditions: AppendConditions,
  ): Promise<Appended> {
    const { leases: taken = [], release = [] } = conditions
    const channel = store.channelOf(sessionId)
    const bytes = lengthOf(texts)
    const over = !conditions.beyondLimit && (await isOver(bytes))
    const run = async (fresh: string) => {
      for (let attempt = 0; attempt < ANNOUNCEMENTS; attempt++) {
        const announced = leases.announce(sessionId, taken)
        const takenBy = announced instanceof Promise ? await announced : announced
        const sender = { now: store.now, fresh, node, channel, takenBy, isOver: over }
        const args = appendArguments(texts, conditions, sender)
        const answer = await store.append(sessionId, args)
        if (answer[0] === OVER_LIMIT) throw limit.refusal()
        if (answer[0] !== UNANNOUNCED) return answer
        // This process or Redis paused for longer than the lease's duration.
        leases.forget(
          sessionId,
          taken.map(({ runId }) => runId),
        )
      }
      throw new TwinrailError(
        'unavailable',
        'Redis took longer for each append than the lease lasts; try again',
      )
    }
    let answer = await run('')
    const moved = movedAt(answer)
    if (answer[0] === 'session' && conditions.create && conditions.epoch === undefined) {
      // A refused append must not create a session or use up an epoch.
      const verdict = judge(EMPTY, texts.length, conditions, 0)
      if (!verdict.writes) return verdict.appended
      if (over && adds(texts.length, verdict.writes)) throw limit.refusal()
      const { createdBy } = conditions
      const [fresh] = await Promise.all([
        store.giveEpoch(),
        store.listNew(sessionId),
        store.countIn(createdBy, sessionId),
      ])
      answer = await run(fresh)
      const createdAt = movedAt(answer)
      // It was refused, or another process was faster.
      if (createdAt === undefined) await store.unlistUnlessThere(sessionId)
      else await store.list(sessionId, createdAt)
    } else if (moved !== undefined) {
      // The order of activity is on another slot. A move that is lost is made up for by the next one.
      await store.move(sessionId, moved).catch(() => {})
    }
    const appended = appendedOf(answer)
    if (!appended.accepted) return appended
    leases.forget(sessionId, release)
    const { epoch, head } = appended
    const added = addedOf(answer)
    memory.add(bytes)
    const fresh = texts.slice(texts.length - added)
    tails.appended(sessionId, epoch, () =>
      fresh.map((text, i) => new LogEvent(epoch, head - added + 1 + i, text)),
    )
    return appended
  }

  /** Corrects a place that a process which died did not move or remove. */
  function correct(place: Place, session: SessionInfo | undefined): void {
    // It may be about to be created.
    if (!session && (options.clock?.() ?? Date.now()) - place.activeAt < CREATING_MS) return
    const corrected = session ? store.settle(place, session.activeAt) : store.unlist(place.sessionId)
    corrected.catch(() => {})
  }

  return {
    driver: 'redis',
    isDurable: true,

    create: open(async (sessionId, metadata, createdBy) => {
      const there = await store.headerOf(sessionId)
      if (there) return { created: false, session: there }
      const bytes = JSON.stringify(metadata).length
      if (await isOver(bytes)) throw limit.refusal()
      memory.add(bytes)
      const [fresh] = await Promise.all([
        store.giveEpoch(),
        store.listNew(sessionId),
        store.countIn(createdBy, sessionId),
      ])
      const args = [store.now, fresh, JSON.stringify(metadata), createdBy ?? '']
      const [made, header] = await store.script<[number, string[]]>('create', sessionId, args)
      const session = infoOf(sessionId, header) as SessionInfo
      await store.list(sessionId, session.activeAt)
      // Another one was faster.
      if (session.createdBy !== createdBy) await store.countOut(createdBy, sessionId)
      return { created: made === 1, session }
    }),

    session: open(async sessionId => {
      const session = await store.headerOf(sessionId)
      return (await tails.contradicts(sessionId, session)) ? store.headerOf(sessionId) : session
    }),

    list: open(async (after, limit) => {
      const found: SessionInfo[] = []
      for (let last = after; found.length < limit; ) {
        const want = limit - found.length
        const ids = await store.listed(last, want)
        for (const session of await Promise.all(ids.map(id => store.headerOf(id)))) {
          if (session) found.push(session)
        }
        if (ids.length < want) break
        last = ids.at(-1)
      }
      return found
    }),

    recent: open(async (after, limit) => {
      const found: SessionInfo[] = []
      for (let last = after; found.length < limit; ) {
        const want = limit - found.length
        const places = await store.recent(last, want)
        const sessions = await Promise.all(places.map(({ sessionId }) => store.headerOf(sessionId)))
        for (const [i, session] of sessions.entries()) {
          const place = places[i] as Place
          if (session?.activeAt !== place.activeAt) correct(place, session)
          // Its place is that of the list, so that the next page goes on behind it.
          if (session) found.push({ ...session, activeAt: place.activeAt })
        }
        if (places.length < want) break
        last = places.at(-1)
      }
      return found
    }),

    append: open((sessionId, texts, conditions = {}) => append(sessionId, texts, conditions)),

    lookup: open(async (sessionId, keys) => {
      if (keys.length === 0) return []
      const key = store.keyOf(sessionId, 'k')
      const [held, now] = await Promise.all([
        commands.send(client => client.hmget(key, ...keys)),
        store.time(),
      ])
      return held.map(entry => {
        const [, seq, expires, note = ''] = /^(\d+) (\S+) (.*)$/s.exec(entry ?? '') ?? []
        if (seq === undefined || (expires !== '-' && Number(expires) <= now)) return undefined
        return { seq: Number(seq), note: noteOf(note) }
      })
    }),

    read: open(async (sessionId, after, bounds) => {
      const page = await store.read(sessionId, after, bounds)
      return (await tails.contradicts(sessionId, page)) ? store.read(sessionId, after, bounds) : page
    }),

    follow(sessionId, follower) {
      if (closed) throw logClosed()
      return tails.follow(sessionId, follower)
    },

    publishEphemeral: open(async (sessionId, json) => {
      await tails.placed(sessionId)
      await commands.send(client => client.publish(store.channelOf(sessionId), `t ${json}`))
    }),

    mark: open(async (sessionId, name, ttlMs) => {
      await store.script('mark', sessionId, [store.now, name, ttlMs, store.channelOf(sessionId)])
    }),

    marks: open(async (sessionId, prefix = '') => {
      // Subscribe first: marks that are set after the reading are notified.
      await tails.placed(sessionId)
      const found = await store.script<string[]>('marks', sessionId, [store.now, prefix])
      return found.flatMap((name, i) => (i % 2 === 0 ? [{ name, leftMs: Number(found[i + 1]) }] : []))
    }),

    saveSnapshot: open(async (sessionId, epoch, { seq, state }) => {
      await store.script('saveSnapshot', sessionId, [epoch, seq, JSON.stringify(state)])
    }),

    loadSnapshot: open(async (sessionId, epoch): Promise<Snapshot | undefined> => {
      const key = store.keyOf(sessionId, 's')
      const [of, seq, state] = await commands.send(client => client.hmget(key, 'epoch', 'seq', 'state'))
      return of === String(epoch) && state ? { seq: Number(seq), state: JSON.parse(state) } : undefined
    }),

    trim: open(async (sessionId, epoch, through, snapshot) => {
      mustReach(snapshot, through)
      const { seq, state } = snapshot
      await store.script('trim', sessionId, [epoch, through, seq, JSON.stringify(state)])
      memory.freed()
    }),

    delete: open(async sessionId => {
      const { createdBy } = (await store.headerOf(sessionId)) ?? {}
      const removed = await store.script<number>('remove', sessionId, [node, store.channelOf(sessionId)])
      if (removed === 0) return false
      memory.freed()
      tails.deleted(sessionId)
      await store.unlist(sessionId)
      await store.countOut(createdBy, sessionId)
      return true
    }),

    renew: open(async (sessionId, lease) => {
      const { runId, token, ttlMs } = lease
      const renewed = await store.script<number>('renew', sessionId, [store.now, runId, token, ttlMs])
      if (renewed === 0) return false
      await leases.announce(sessionId, [lease])
      return true
    }),

    expired: open(limit => leases.expired(limit)),

    ready: open(async () => {
      await store.probe()
      if (limit.isSet) limit.mustBeReady(await memory.bytes())
    }),

    countCreated: open(createdBy => store.countCreated(createdBy)),

    spend: open((...args) => store.spend(...args)),

    hold: open((...args) => store.hold(...args)),

    counts: () => ({ ...counts, 'over-limit': limit.refused }),

    size: open(async () => ({ bytes: await memory.bytes(), maxBytes: limit.maxBytes })),

    async *records(sessionId, epoch) {
      if (closed) throw logClosed()
      const now = await store.time()
      for await (const record of store.records(sessionId, epoch)) {
        if (closed) throw logClosed()
        if (record.kind !== 'key' || (record.expiresAt ?? Infinity) > now) yield record
      }
    },

    restore: open(async (sessionId, { epoch, earliest, createdAt, createdBy, metadata, snapshot }) => {
      const json = JSON.stringify(metadata)
      const state = snapshot ? JSON.stringify(snapshot.state) : ''
      if (await isOver(json.length + state.length)) throw limit.refusal()
      // Also when the epoch is given: later ones are greater.
      const fresh = await store.giveEpoch(epoch)
      const given = epoch ?? Number(fresh)
      await Promise.all([store.listNew(sessionId), store.countIn(createdBy, sessionId)])
      const args = [given, earliest, createdAt, json, createdBy ?? '', snapshot?.seq ?? '', state]
      if ((await store.script<number>('restore', sessionId, args)) === 1) {
        return { restored: true, epoch: given }
      }
      const there = await store.headerOf(sessionId)
      if (there?.createdBy !== createdBy) await store.countOut(createdBy, sessionId)
      return { restored: false, reason: 'session' }
    }),

    restoreRecords: open(async (sessionId, epoch, records, activeAt) => {
      const args = records.map(argumentsOf)
      if (await isOver(args.reduce((sum, [, name, value]) => sum + name.length + value.length, 0))) {
        throw limit.refusal()
      }
      const now = await store.time()
      const held = records.flatMap(record => (record.kind === 'lease' ? [record] : []))
      const entries = (ttlOf: (expiresAt: number) => number) =>
        held.map(({ name, token, expiresAt }) => ({ runId: name, token, ttlMs: ttlOf(expiresAt) }))
      // The index has the leases before they are taken, and then when they end.
      await leases.announce(
        sessionId,
        entries(expiresAt => Math.max(RESTORING_MS, expiresAt - now)),
      )
      const made = await store.script<number>('restoreRecords', sessionId, [epoch, activeAt, ...args.flat()])
      if (made === 0) return
      await leases.announce(
        sessionId,
        entries(expiresAt => Math.max(0, expiresAt - now)),
      )
      await store.place(sessionId, activeAt)
    }),

    async close() {
      if (closed) return
      closed = true
      heartbeat.close()
      tails.close()
      await Promise.allSettled([...pending])
      await Promise.all([commands.close(), subscriber.close()])
    },
  }
}

/** Minimum time between two reports of the same message, in ms. */
const REPEAT_MS = 60_000

/** Maximum number of messages whose last report is remembered. */
const REMEMBERED = 100

/** Reports errors, each message at most once in {@link REPEAT_MS}. */
function rarely(report: (message: string) => void): (error: unknown) => void {
  const reportedAt = new Map<string, number>()
  return error => {
    const message = error instanceof Error ? error.message || error.name : String(error)
    const now = performance.now()
    if (now - (reportedAt.get(message) ?? -Infinity) < REPEAT_MS) return
    reportedAt.delete(message)
    reportedAt.set(message, now)
    if (reportedAt.size > REMEMBERED) reportedAt.delete(reportedAt.keys().next().value as string)
    report(message)
  }
}
