/** The bus: subscriptions to the sessions of a log. Every transport gets its events here. */
import type { z } from 'zod'
import type { SessionInfo } from '../log/log.ts'
import { type EndReason, type LagPolicy, type SubscriptionOptions, TwinrailError } from '../protocol/index.ts'
import { CreditWindow } from './credit-window.ts'
import { type RunRange, startOf } from './cursor.ts'
import type { Journal } from './journal.ts'
import { defaultLagLimits, type LagLimits } from './lag.ts'
import { type BusObserver, noopObserver } from './observer.ts'
import { PageBudget } from './page-budget.ts'
import { noPeers, type Peers } from './peers.ts'
import { defaultHoldBounds, type HoldBounds } from './producer-gate.ts'
import type { Sink } from './sink.ts'
import { type Beginning, Subscription } from './subscription.ts'
import type { SubscribingConnection } from './subscription-view.ts'
import type { Subscriber } from './tail.ts'
import { type Listener, Topic, type TopicParts } from './topic.ts'

/** Which events a subscriber wants, and the sink that takes them. */
export interface SubscribeRequest<B> {
  sessionId: string
  options: Pick<SubscriptionOptions, 'after' | 'last' | 'run' | 'replay' | 'coalesceMs'>
  sink: Sink<B>
  /** The connection that it writes to, for operators. @default nobody sees the subscription */
  connection?: SubscribingConnection | undefined
  /** UTF-8 bytes of event JSON that may be outstanding; none: as much as the sink takes. */
  windowBytes?: number | undefined
  /** What happens when the subscriber falls behind. @default "conflate" */
  lag?: { policy: z.output<typeof LagPolicy>; limits?: Partial<LagLimits> } | undefined
  /** Called once when `lag.policy` is `disconnect` and the subscriber fell too far behind; nothing was sent. */
  onTooSlow?(): void
  /** Called once when the subscription ends by itself, after its `end` was written. */
  onEnd(reason: EndReason): void
}

/** Bounds on the memory of followed sessions and on the lag of their subscribers. All are optional. */
export interface BusOptions {
  /** Number of recent events that a followed session keeps in memory. @default 1000 */
  ringEvents?: number
  /** The same bound in UTF-16 units of JSON. @default 1 MiB */
  ringBytes?: number
  /**
   * Memory for the pages that subscribers share while they catch up, folded ones and those of large events; in bytes, for
   * all sessions.
   * @default 16 MiB
   */
  pageBytes?: number
  /**
   * Maximum of the lag limits that a subscriber may choose, for the policies with a limit.
   * @default 1000 events, 1 MiB
   */
  lag?: LagLimits
  /** Is called with the figures for metrics. @default none */
  observer?: BusObserver
  /** How long `wait` subscribers may hold producers. @default 30 s in any 60 s */
  hold?: HoldBounds
  /** The other nodes on the log. @default none */
  peers?: Peers
}

/** How often a session is opened whose log is replaced meanwhile. */
const OPEN_TRIES = 5

/** A topic that somebody uses, with the readings of the log that it was brought to. */
interface Opened {
  readonly topic: Topic
  readonly session: SessionInfo
  readonly run: RunRange | undefined
  /** Lets the topic go. */
  release(): void
}

interface OpenTopic {
  topic: Topic
  users: number
}

/** Delivers the events of sessions to subscriptions and listeners of this process. */
export class Bus {
  readonly #journal: Journal
  readonly #peers: Peers
  readonly #topicParts: TopicParts
  readonly #topics = new Map<string, OpenTopic>()
  readonly #lag: LagLimits

  constructor(journal: Journal, options: BusOptions = {}) {
    const { ringEvents = 1000, ringBytes = 1024 * 1024, pageBytes = 16 * 1024 * 1024 } = options
    this.#journal = journal
    this.#peers = options.peers ?? noPeers
    this.#topicParts = {
      journal,
      peers: this.#peers,
      ring: { events: ringEvents, bytes: ringBytes },
      hold: options.hold ?? defaultHoldBounds,
      pageBudget: new PageBudget(pageBytes),
      observer: options.observer ?? noopObserver,
    }
    this.#lag = options.lag ?? defaultLagLimits
  }

  /** Sessions that are followed in this process. */
  get topics(): number {
    return this.#topics.size
  }

  /** The subscriptions of one session in this process. */
  subscribersOf(sessionId: string): Iterable<Subscriber> {
    return this.#topics.get(sessionId)?.topic.subscriptions ?? []
  }

  /** The subscriptions of this process, for metrics. */
  *subscriptions(): Generator<Subscriber> {
    for (const { topic } of this.#topics.values()) yield* topic.subscriptions
  }

  /**
   * Makes a subscription that has sent nothing yet: call `start`, or `close`.
   * @throws TwinrailError `session-not-found`, `run-not-found`
   */
  async subscribe<B>(request: SubscribeRequest<B>): Promise<Subscription<B>> {
    const { sessionId, options, sink, connection, windowBytes, lag, onEnd, onTooSlow = () => {} } = request
    const beginning = await this.#begin(sessionId, options)
    return new Subscription<B>({
      beginning,
      beginAnew: () => this.#begin(sessionId, { run: options.run, replay: options.replay }),
      sink,
      connection,
      run: options.run,
      replay: options.replay,
      coalesceMs: options.coalesceMs,
      window: windowBytes === undefined ? undefined : new CreditWindow(windowBytes),
      lag: lag?.policy ?? 'conflate',
      limits: {
        events: Math.min(lag?.limits?.events ?? Infinity, this.#lag.events),
        bytes: Math.min(lag?.limits?.bytes ?? Infinity, this.#lag.bytes),
      },
      onTooSlow,
      onEnd,
      onClose: this.#peers.addViewer(sessionId, options.run),
    })
  }

  /**
   * Hands every event after `head` to the listener, in order, until `stop` is called; resolves once it is in place.
   * @throws TwinrailError `session-not-found`
   */
  async listen(sessionId: string, listener: Listener): Promise<{ head: number; stop: () => void }> {
    const { topic, release } = await this.#open(sessionId)
    const unlisten = topic.listen(listener)
    return {
      head: topic.head,
      stop() {
        unlisten()
        release()
      },
    }
  }

  /**
   * Keeps the session followed in this process until the returned function is called.
   * @throws TwinrailError `session-not-found`
   */
  async follow(sessionId: string): Promise<() => void> {
    return (await this.#open(sessionId)).release
  }

  /**
   * Resolves when the session's producers may go on: slow `wait` subscribers hold them up, on any node. Commands never
   * wait.
   */
  admitted(sessionId: string): Promise<void> | undefined {
    const open = this.#topics.get(sessionId)
    return open ? open.topic.admitted() : this.#admittedByPeers(sessionId)
  }

  /** A subscription's beginning, judged on a fresh reading of the log. */
  async #begin(
    sessionId: string,
    options: Pick<SubscriptionOptions, 'after' | 'last' | 'run' | 'replay'>,
  ): Promise<Beginning> {
    const { topic, session, run, release } = await this.#open(sessionId, options.run)
    const { head: logHead, earliest } = session
    return {
      topic,
      release,
      start: startOf(session, options, run),
      head: run?.end ?? logHead,
      logHead,
      earliest,
    }
  }

  /** For producers of sessions that are not followed here. */
  async #admittedByPeers(sessionId: string): Promise<void> {
    try {
      if (!(await this.#peers.isHeld(sessionId))) return
      const { topic, release } = await this.#open(sessionId)
      await topic.admitted()
      release()
    } catch {
      // The log is away, or the session is gone: nothing holds producers.
    }
  }

  /**
   * The session's topic, which has everything up to the head of the returned readings and was not over when they were made.
   * @throws TwinrailError `session-not-found`, `run-not-found`
   */
  async #open(sessionId: string, runId?: string): Promise<Opened> {
    for (let tries = 0; tries < OPEN_TRIES; tries++) {
      const opened = await this.#tryOpen(sessionId, runId)
      // A reading may find that the log has lost events, or that another session took this one's place. The topic is over
      // then, and the readings belong to the next one.
      if (!opened.topic.isOver) return opened
      opened.release()
    }
    throw new TwinrailError('unavailable', 'the log of the session is replaced again and again')
  }

  async #tryOpen(sessionId: string, runId: string | undefined): Promise<Opened> {
    // Nothing is followed for a session that does not exist.
    if (!this.#openTopic(sessionId)) await this.#journal.session(sessionId)
    const held = this.#openTopic(sessionId) ?? this.#newTopic(sessionId)
    held.users++
    let released = false
    const release = () => {
      if (released) return
      released = true
      if (--held.users > 0) return
      held.topic.close()
      if (this.#topics.get(sessionId) === held) this.#topics.delete(sessionId)
    }
    try {
      // Read once the topic follows the log: what is appended between a reading and the following would never arrive.
      const session = await this.#journal.session(sessionId)
      await held.topic.reach(session.epoch, session.head)
      const run = runId === undefined ? undefined : await this.#journal.run(sessionId, runId)
      return { topic: held.topic, session, run, release }
    } catch (error) {
      release()
      throw error
    }
  }

  #openTopic(sessionId: string): OpenTopic | undefined {
    const open = this.#topics.get(sessionId)
    return open?.topic.isOver ? undefined : open
  }

  #newTopic(sessionId: string): OpenTopic {
    const open = { topic: new Topic(sessionId, this.#topicParts), users: 0 }
    this.#topics.set(sessionId, open)
    return open
  }
}
