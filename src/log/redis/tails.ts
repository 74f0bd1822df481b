/** The sessions that this process follows. Messages of Redis are only hints; events are read from the streams. */
import { type Cancel, startInterval } from '../../protocol/timers.ts'
import type { LogEvent } from '../event.ts'
import type { Follower, LogPage } from '../log.ts'
import type { Connection } from './connection.ts'

/** The result of comparing a log with what this process has seen of it. */
export type Recovery =
  | { readonly outcome: 'same' }
  | { readonly outcome: 'deleted' }
  | { readonly outcome: 'lost'; readonly epoch: number; readonly head: number }

export interface TailsParts {
  readonly subscriber: Connection
  /** Id of this process, which ignores its own hints. */
  readonly node: string
  channelOf(sessionId: string): string
  sessionOf(channel: string): string
  /** Reads ahead of the commands that wait for a connection. */
  read(sessionId: string, after: number): Promise<LogPage | undefined>
  /** See the script `lost`. */
  recover(sessionId: string, epoch: number, head: number, last: LogEvent | undefined): Promise<Recovery>
  /** A followed session without a hint is read again after this time, in ms, or later: see {@link RECHECKED}. */
  readonly recheckMs: number
  onError(error: unknown): void
}

interface Following {
  readonly follower: Follower
}

/** The position of this process in a followed session. */
interface Tail {
  readonly sessionId: string
  readonly followings: Set<Following>
  /** 0 while the session does not exist. */
  epoch: number
  head: number
  last: LogEvent | undefined
  /** The position at which following began is known. */
  placed: boolean
  placing: Promise<void>
  checkedAt: number
  /** The read in progress. */
  work: Promise<void>
  queued: Promise<void> | undefined
}

/**
 * Maximum number of sessions without a hint that are read again in a fifth of `recheckMs`, longest unread first. Hints are
 * lost only with a connection, which is detected separately: this is a safety net.
 */
const RECHECKED = 15

const FAR = Number.MAX_SAFE_INTEGER

/** The sessions that this process follows. */
export class Tails {
  readonly #parts: TailsParts
  readonly #tails = new Map<string, Tail>()
  readonly #stopRechecking: Cancel

  constructor(parts: TailsParts) {
    this.#parts = parts
    const { recheckMs, subscriber } = parts
    subscriber.client.on('message', (channel: string, message: string) => this.#message(channel, message))
    this.#stopRechecking = startInterval(recheckMs / 5, () => this.#recheck(), { unref: true })
  }

  /** Number of followed sessions. */
  get size(): number {
    return this.#tails.size
  }

  follow(sessionId: string, follower: Follower): () => void {
    const tail = this.#tails.get(sessionId) ?? this.#begin(sessionId)
    const following = { follower }
    tail.followings.add(following)
    return () => {
      if (!tail.followings.delete(following) || tail.followings.size > 0) return
      if (this.#tails.get(sessionId) === tail) this.#end(tail)
    }
  }

  /** Resolves when the subscription of a followed session is active. */
  async placed(sessionId: string): Promise<void> {
    await this.#tails.get(sessionId)?.placing
  }

  /** Called when an append of this process was accepted. */
  appended(sessionId: string, epoch: number, make: () => readonly LogEvent[]): void {
    const tail = this.#tails.get(sessionId)
    if (!tail?.placed) return
    const events = make()
    const first = events[0]
    if (!first) return
    if (tail.epoch === 0 && first.seq === 1) tail.epoch = epoch
    if (tail.epoch === epoch && first.seq <= tail.head + 1) this.#take(tail, events)
    else this.#pullSoon(tail)
  }

  /** Called when this process has deleted the session. */
  deleted(sessionId: string): void {
    const tail = this.#tails.get(sessionId)
    if (tail) this.#deleted(tail)
  }

  /**
   * Whether a page contradicts what this process has seen of the log. If so, this finds out why and notifies the
   * followers, and the caller must read the page again.
   */
  async contradicts(sessionId: string, page: { epoch: number; head: number } | undefined): Promise<boolean> {
    const tail = this.#tails.get(sessionId)
    if (!tail?.placed || tail.epoch === 0) return false
    if (page && page.epoch === tail.epoch && page.head >= tail.head) return false
    await this.#pull(tail)
    return true
  }

  /** Reads all followed sessions again, after a connection was lost. */
  async pullAll(): Promise<void> {
    await Promise.all([...this.#tails.values()].map(tail => this.#pull(tail)))
  }

  /** Subscribes again, on a new connection. */
  async subscribeAll(): Promise<void> {
    const channels = [...this.#tails.keys()].map(this.#parts.channelOf)
    if (channels.length > 0) {
      await this.#parts.subscriber.sendNow(client => client.subscribe(...channels))
    }
    // Messages between the connections were missed.
    this.pullAll().catch(this.#parts.onError)
  }

  close(): void {
    this.#stopRechecking()
    this.#tails.clear()
  }

  #begin(sessionId: string): Tail {
    const tail: Tail = {
      sessionId,
      followings: new Set(),
      epoch: 0,
      head: 0,
      last: undefined,
      placed: false,
      placing: Promise.resolve(),
      checkedAt: performance.now(),
      work: Promise.resolve(),
      queued: undefined,
    }
    this.#tails.set(sessionId, tail)
    tail.placing = this.#place(tail)
    tail.work = tail.placing
    return tail
  }

  async #place(tail: Tail): Promise<void> {
    const { subscriber, channelOf, read } = this.#parts
    const { sessionId } = tail
    try {
      // Sent before the next append of this process, on the same connection.
      const position = read(sessionId, FAR)
      const subscribed = subscriber.isUp
        ? subscriber.sendNow(client => client.subscribe(channelOf(sessionId)))
        : undefined
      subscribed?.catch(() => {})
      const page = await position
      tail.epoch = page?.epoch ?? 0
      tail.head = page?.head ?? 0
      tail.placed = true
      await subscribed
    } catch {
      // The next check determines the position.
    }
    if (this.#tails.get(sessionId) === tail) this.#pullSoon(tail)
  }

  #end(tail: Tail): void {
    this.#tails.delete(tail.sessionId)
    const { subscriber, channelOf } = this.#parts
    if (!subscriber.isUp) return
    subscriber
      .sendNow(client => client.unsubscribe(channelOf(tail.sessionId)))
      .then(
        // The session may be followed again meanwhile.
        () =>
          this.#tails.has(tail.sessionId) &&
          subscriber.sendNow(client => client.subscribe(channelOf(tail.sessionId))),
      )
      .catch(() => {})
  }

  #message(channel: string, message: string): void {
    const tail = this.#tails.get(this.#parts.sessionOf(channel))
    if (!tail) return
    const kind = message[0]
    if (kind === 't') {
      const json = message.slice(2)
      this.#hand(tail, follower => follower.ephemeral(json))
      return
    }
    if (kind === 'm') {
      const [, ttlMs, name = ''] = /^m (\d+) (.*)$/s.exec(message) ?? []
      this.#hand(tail, follower => follower.marked?.(name, Number(ttlMs)))
      return
    }
    const [, node, epoch, head] = message.split(' ')
    if (node === this.#parts.node) return
    if (kind === 'd' && tail.epoch !== 0 && Number(epoch) >= tail.epoch) return this.#deleted(tail)
    if (kind === 'e' && Number(epoch) === tail.epoch && Number(head) <= tail.head) return
    this.#pullSoon(tail)
  }

  #recheck(): void {
    const now = performance.now()
    const due = [...this.#tails.values()].filter(tail => now - tail.checkedAt >= this.#parts.recheckMs)
    due.sort((a, b) => a.checkedAt - b.checkedAt)
    for (const tail of due.slice(0, RECHECKED)) this.#pullSoon(tail)
  }

  #pullSoon(tail: Tail): void {
    this.#pull(tail).catch(this.#parts.onError)
  }

  /** Reads a tail up to the head. Calls join a read that has not started yet. */
  #pull(tail: Tail): Promise<void> {
    tail.queued ??= tail.work.then(() => {
      tail.queued = undefined
      const pulled = this.#advance(tail)
      tail.work = pulled.catch(() => {})
      return pulled
    })
    return tail.queued
  }

  async #advance(tail: Tail): Promise<void> {
    const { sessionId } = tail
    const gone = () => this.#tails.get(sessionId) !== tail
    tail.checkedAt = performance.now()
    for (;;) {
      if (gone()) return
      // The last known event is read again, to detect other events under known offsets.
      const { last } = tail
      const page = await this.#parts.read(sessionId, last ? last.seq - 1 : tail.head)
      if (gone()) return
      if (!tail.placed) {
        // The store was away when following began. The newest event is handed over, though it may be older than that:
        // followers see by it that they miss others.
        tail.epoch = page?.epoch ?? 0
        tail.head = Math.max(0, (page?.head ?? 0) - 1)
        tail.placed = true
        continue
      }
      if (tail.epoch === 0) {
        if (!page) return
        tail.epoch = page.epoch
      }
      if (tail.last !== last) continue
      const again = page?.events[0]
      const same = !last || !again || again.seq !== last.seq || again.json === last.json
      if (!page || page.epoch !== tail.epoch || page.head < tail.head || !same) return this.#recover(tail)
      if (page.earliest > tail.head + 1) tail.head = page.earliest - 1
      this.#take(tail, page.events)
      if (tail.head >= page.head) return
    }
  }

  async #recover(tail: Tail): Promise<void> {
    const { sessionId, epoch, head, last } = tail
    const recovery = await this.#parts.recover(sessionId, epoch, head, last)
    if (this.#tails.get(sessionId) !== tail || tail.epoch !== epoch) return
    if (recovery.outcome === 'deleted') return this.#deleted(tail)
    if (recovery.outcome === 'same') return
    tail.epoch = recovery.epoch
    tail.head = recovery.head
    tail.last = undefined
    this.#hand(tail, follower => follower.lost?.(recovery.epoch, recovery.head))
  }

  #deleted(tail: Tail): void {
    this.#end(tail)
    this.#hand(tail, follower => follower.deleted())
    tail.followings.clear()
  }

  #take(tail: Tail, events: readonly LogEvent[]): void {
    const fresh = events.filter(event => event.seq > tail.head)
    const last = fresh.at(-1)
    if (!last) return
    tail.head = last.seq
    tail.last = last
    this.#hand(tail, follower => follower.events(tail.epoch, fresh))
  }

  #hand(tail: Tail, tell: (follower: Follower) => void): void {
    for (const following of [...tail.followings]) {
      if (tail.followings.has(following)) tell(following.follower)
    }
  }
}
