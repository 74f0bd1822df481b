/** The live end of a session's log in this process: its recent events, its subscriptions and its listeners. */
import type { LogEvent } from '../log/event.ts'
import type { Follower } from '../log/log.ts'
import { TwinrailError } from '../protocol/index.ts'
import { EphemeralEvent } from './encoding.ts'
import type { Journal } from './journal.ts'
import { type GroupSpec, LiveGroup } from './live-group.ts'
import type { BusObserver } from './observer.ts'
import type { PageBudget } from './page-budget.ts'
import { Pages } from './pages.ts'
import type { Peers, SessionPeers } from './peers.ts'
import { type HoldBounds, type Holder, ProducerGate } from './producer-gate.ts'
import { Ring, type RingBounds } from './ring.ts'
import type { Member, Subscriber, Tail } from './tail.ts'

/** Gets every event of a session in order, in this process. */
export interface Listener {
  event(event: LogEvent): void
  deleted(): void
  /** The log lost events that were handed over already. Nothing more comes. */
  lost(): void
}

/** What the topics of a bus have in common. */
export interface TopicParts {
  readonly journal: Journal
  readonly peers: Peers
  readonly ring: RingBounds
  readonly hold: HoldBounds
  readonly pageBudget: PageBudget
  readonly observer: BusObserver
}

/** Events read from the log at once to fill a hole. */
const FILL = { events: 1000, bytes: 1024 * 1024 }

/** Pause before a hole that could not be filled is tried again, in ms. */
const FILL_RETRY_MS = 500

/**
 * Receives a session's events from the log in offset order and delivers them: to listeners at once, to live subscribers
 * as one batch per event-loop turn (or per `coalesceMs`). Holes are filled by reading. All changes to what is live
 * happen here and in {@link LiveGroup}, in one turn, so there is no hand-over from replay to live that could race.
 */
export class Topic implements Follower, Tail {
  readonly sessionId: string
  readonly #journal: Journal
  readonly ring: Ring
  readonly pages: Pages
  /** Makes producers of this session wait for slow subscribers. */
  readonly gate: ProducerGate
  readonly observer: BusObserver
  readonly subscriptions = new Set<Subscriber>()
  readonly #peers: SessionPeers
  readonly #groups = new Map<string, LiveGroup<unknown>>()
  readonly #listeners = new Set<Listener>()
  /** Nodes whose subscribers have held producers, so that the cooldown of one is found again. */
  readonly #remoteHolders = new Map<string, Holder>()
  readonly #toListeners: LogEvent[] = []
  #epoch = 0
  #head = 0
  #written = 0
  #state: 'open' | 'deleted' | 'lost' = 'open'
  #notifying = false
  #flushing = false
  /** When the oldest event that is not flushed yet arrived, in ms, monotonic. */
  #arrivedAt = 0
  #filling: Promise<void> | undefined
  readonly #unfollow: () => void

  constructor(sessionId: string, { journal, peers, ring, hold, pageBudget, observer }: TopicParts) {
    this.#journal = journal
    this.sessionId = sessionId
    this.ring = new Ring(ring)
    this.pages = new Pages(journal, sessionId, this.ring, pageBudget)
    this.gate = new ProducerGate(
      hold,
      () => observer.held(),
      () => peers.addHold(sessionId),
    )
    this.#peers = peers.open(sessionId, (node, holds) => this.#heldBy(node, holds))
    this.observer = observer
    this.#unfollow = journal.follow(sessionId, this)
    this.#refreshPeers()
  }

  /** Number of the last event that has arrived here. */
  get head(): number {
    return this.#head
  }

  /** How long the oldest event that is not flushed yet has been here, in ms. */
  get delayMs(): number {
    return performance.now() - this.#arrivedAt
  }

  /** UTF-16 units of all events that have arrived here: what lag in bytes is measured by. */
  get written(): number {
    return this.#written
  }

  get epoch(): number {
    return this.#epoch
  }

  /** Whether the session, or this incarnation of its log, is over. */
  get isOver(): boolean {
    return this.#state !== 'open'
  }

  get isLost(): boolean {
    return this.#state === 'lost'
  }

  /** Brings the topic to a reading of the log; resolves when it holds everything up to `head`. */
  async reach(epoch: number, head: number): Promise<void> {
    if (this.#epoch === 0) {
      this.#epoch = epoch
      this.#head = head
    }
    if (this.#epoch !== epoch) this.deleted()
    while (!this.isOver && this.#head < head) {
      const before = this.#head
      await this.#fill()
      if (this.#head === before)
        throw new TwinrailError('unavailable', 'the log does not give what it says it holds')
    }
  }

  events(epoch: number, events: readonly LogEvent[]): void {
    if (this.isOver || events.length === 0) return
    if (this.#epoch === 0) {
      this.#epoch = epoch
      this.#head = (events[0] as LogEvent).seq - 1
    }
    if (this.#epoch !== epoch) return this.deleted()
    for (const event of events) {
      if (event.seq <= this.#head) continue
      if (event.seq > this.#head + 1) {
        this.#fillSoon()
        return
      }
      this.#take(event)
    }
    this.#scheduleFlush()
    this.#notifyListeners()
  }

  ephemeral(json: string): void {
    const event = new EphemeralEvent(json)
    const runId = (JSON.parse(json) as { runId?: string }).runId
    for (const group of this.#groups.values()) group.addEphemeral(event, runId)
    this.#scheduleFlush()
  }

  marked(name: string, ttlMs: number): void {
    this.#peers.marked(name, ttlMs)
  }

  deleted(): void {
    if (!this.#leave('deleted')) return
    for (const subscription of [...this.subscriptions]) subscription.end('deleted')
    this.#dismissListeners()
  }

  /** The log lost events that were seen. The rest of it belongs to another topic. */
  lost(): void {
    if (!this.#leave('lost')) return
    for (const subscription of [...this.subscriptions]) subscription.lost()
    this.#dismissListeners()
  }

  /** Adds a subscription, and gives the group that it becomes a member of whenever it is live. */
  enter<B>(subscription: Subscriber & Member<B>, spec: GroupSpec<B>): LiveGroup<B> {
    const key = keyOf(spec)
    let group = this.#groups.get(key) as LiveGroup<B> | undefined
    if (!group) {
      group = new LiveGroup(this, spec)
      this.#groups.set(key, group as LiveGroup<unknown>)
    }
    // A newcomer must find everything flushed that the topic holds, so that its replay has a firm end.
    group.flush()
    group.attach(subscription)
    this.subscriptions.add(subscription)
    return group
  }

  /** Removes a subscription, and its group with the last one. */
  leave<B>(subscription: Subscriber & Member<B>, group: LiveGroup<B>, spec: GroupSpec<B>): void {
    if (!this.subscriptions.delete(subscription)) return
    group.remove(subscription)
    if (group.users > 0) return
    group.close()
    const key = keyOf(spec)
    if (this.#groups.get(key) === group) this.#groups.delete(key)
  }

  /** Hands every later event to the listener, in order, never from within an append of its own or from within this call. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener)
    if (this.isOver) queueMicrotask(() => this.#dismissListeners())
    return () => this.#listeners.delete(listener)
  }

  /** Resolves when producers may go on, whichever node's subscribers hold them up; nothing when they may at once. */
  admitted(): Promise<void> | undefined {
    if (this.#peers.isKnown) return this.gate.held
    return this.#refreshPeers().then(() => this.gate.held)
  }

  close(): void {
    this.#unfollow()
    this.pages.close()
    this.#peers.close()
    this.gate.close()
    for (const group of this.#groups.values()) group.close()
  }

  /** While the log is away nothing is known of other nodes; they renew their marks when it is back. */
  #refreshPeers(): Promise<void> {
    return this.#peers.refresh().catch(() => {})
  }

  #leave(state: 'deleted' | 'lost'): boolean {
    if (this.isOver) return false
    this.#state = state
    this.#unfollow()
    this.pages.close()
    return true
  }

  #heldBy(node: string, holds: boolean): void {
    const holder = this.#remoteHolders.get(node) ?? { fullness: 1, isRemote: true }
    this.#remoteHolders.set(node, holder)
    if (holds) this.gate.hold(holder)
    else this.gate.release(holder)
  }

  /** Tells the listeners of a topic that is over that nothing more comes. */
  #dismissListeners(): void {
    const listeners = [...this.#listeners]
    this.#listeners.clear()
    for (const listener of listeners) {
      if (this.isLost) listener.lost()
      else listener.deleted()
    }
  }

  #take(event: LogEvent): void {
    // A group that waits for its window must not lose what it has not written yet.
    for (const group of this.#groups.values()) {
      if (this.ring.wouldDrop(group.flushed, event.json.length)) group.flush()
    }
    this.ring.push(event)
    this.#head = event.seq
    this.#written += event.json.length
    if (this.#listeners.size > 0) this.#toListeners.push(event)
  }

  #fill(): Promise<void> {
    this.#filling ??= (async () => {
      try {
        const page = await this.#journal.read(this.sessionId, this.#head, FILL)
        if (!page || page.epoch !== this.#epoch) return this.deleted()
        // Events that were trimmed before they arrived here are gone; subscribers get their `gap` when they read the log.
        if (page.earliest > this.#head + 1) this.#head = page.earliest - 1
        this.#filling = undefined
        this.events(page.epoch, page.events)
      } finally {
        this.#filling = undefined
      }
    })()
    return this.#filling
  }

  /** Fills a hole; retries while the log is unavailable. */
  #fillSoon(): void {
    this.#fill().catch(() => {
      if (!this.isOver) setTimeout(() => this.#fillSoon(), FILL_RETRY_MS).unref()
    })
  }

  #scheduleFlush(): void {
    if (this.#flushing || this.#groups.size === 0) return
    this.#flushing = true
    this.#arrivedAt = performance.now()
    setImmediate(() => {
      this.#flushing = false
      for (const group of [...this.#groups.values()]) group.due()
      for (const subscription of this.subscriptions) if (subscription.isLagging) subscription.checkLag()
    })
  }

  /** A listener may append. What it adds is handed out after the events before it, so that all listeners get the same order. */
  #notifyListeners(): void {
    if (this.#notifying) return
    this.#notifying = true
    for (let event = this.#toListeners.shift(); event; event = this.#toListeners.shift()) {
      for (const listener of [...this.#listeners]) listener.event(event)
    }
    this.#notifying = false
  }
}

/** Subscriptions with the same key get the same bytes. Without a coalescing window nothing is folded. */
function keyOf({ encoding, run, coalesceMs, folds }: GroupSpec<unknown>): string {
  return `${encoding.name} ${run ?? '*'} ${coalesceMs} ${coalesceMs > 0 && folds}`
}
