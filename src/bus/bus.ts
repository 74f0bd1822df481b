/** The bus: publish and subscribe over a log. The one thing that every transport is fed by. */
import { randomUUID } from 'node:crypto'
import type { z } from 'zod'
import { encodeEvent, type LogEvent } from '../log/event.ts'
import { keys } from '../log/keys.ts'
import type { AppendConditions, Appended, EventLog, SessionInfo } from '../log/log.ts'
import {
  type EndReason,
  formatOffset,
  type LagPolicy,
  limits,
  type SubscriptionOptions,
  TwinrailError,
} from '../protocol/index.ts'
import { type RunRange, startOf } from './cursor.ts'
import { isHeldBy, Node } from './elsewhere.ts'
import { defaultHoldBounds, type HoldBounds } from './holds.ts'
import { defaultLagLimits, type LagLimits } from './lag.ts'
import { type BusObserver, nobody } from './observer.ts'
import { PageBudget } from './page-budget.ts'
import type { Rail } from './rail.ts'
import { type Beginning, Subscription } from './subscription.ts'
import { Topic, type TopicParts, type Watcher } from './topic.ts'
import { Viewers } from './viewers.ts'
import { Window } from './window.ts'

/** An event as its producer gives it, already checked. */
export interface Body {
  type: string
  runId?: string | undefined
  data: unknown
}

/** Who wants which events on which rail. */
export interface SubscribeRequest<B> {
  sessionId: string
  options: Pick<SubscriptionOptions, 'after' | 'last' | 'run' | 'replay' | 'coalesceMs'>
  rail: Rail<B>
  /** UTF-8 bytes of event JSON that may be outstanding; none: as much as the rail takes. */
  windowBytes?: number | undefined
  /** What happens when the subscriber falls behind. @default "conflate" */
  lag?: { policy: z.output<typeof LagPolicy>; limits?: Partial<LagLimits> } | undefined
  /** Called once when `lag.policy` is `disconnect` and the subscriber fell too far behind; nothing was sent. */
  onTooSlow?(): void
  /** Called once when the subscription ends by itself, after its `end` was written. */
  onEnd(reason: EndReason): void
}

export interface BusOptions {
  /** Recent events that a followed session keeps at hand. @default 1000 */
  ringEvents?: number
  /** The same in UTF-16 units of JSON. @default 1 MiB */
  ringBytes?: number
  /** What pages that were folded for subscribers who catch up take, in bytes, of all sessions together. @default 16 MiB */
  pageBytes?: number
  /** How far subscribers may lag at the most, under the policies that have a limit. @default 1000 events, 1 MiB */
  lag?: LagLimits
  /** Who measures. @default nobody */
  observer?: BusObserver
  /** How long `wait` subscribers may hold producers. @default 30 s in any 60 s */
  hold?: HoldBounds
}

/** See {@link Bus.watchViewers}. */
export interface ViewersWatch {
  /** Resolves when all marks in the log are known, and any change was told. @throws TwinrailError `unavailable` */
  lookAgain(): Promise<void>
  stop(): void
}

interface OpenTopic {
  topic: Topic
  users: number
}

/** What the envelope adds to a body's JSON once the offset is known. */
const OFFSET_BYTES = '"offset":"",'.length + 33

export class Bus {
  readonly log: EventLog
  /** Who watches what in this process. */
  readonly viewers = new Viewers((sessionId, run) => this.#node.watches(sessionId, run))
  readonly #node: Node
  readonly #topicParts: TopicParts
  readonly #topics = new Map<string, OpenTopic>()
  readonly #lag: LagLimits

  constructor(log: EventLog, options: BusOptions = {}) {
    const { ringEvents = 1000, ringBytes = 1024 * 1024, pageBytes = 16 * 1024 * 1024 } = options
    this.log = log
    this.#node = new Node(log, randomUUID())
    this.#topicParts = {
      log,
      node: this.#node,
      ring: { events: ringEvents, bytes: ringBytes },
      hold: options.hold ?? defaultHoldBounds,
      pageBudget: new PageBudget(pageBytes),
      observer: options.observer ?? nobody,
    }
    this.#lag = options.lag ?? defaultLagLimits
  }

  /** Sessions that somebody follows in this process. */
  get topics(): number {
    return this.#topics.size
  }

  /** The subscriptions of this process, for who measures them. */
  *subscriptions(): Generator<Subscription<unknown>> {
    for (const { topic } of this.#topics.values()) yield* topic.subscriptions
  }

  /**
   * Appends events; who follows the session gets them after the log has accepted them. Refusals by condition are
   * results, not errors.
   * @throws TwinrailError `too-large` when one event's JSON exceeds the limit; nothing is appended then
   */
  async append(
    sessionId: string,
    bodies: readonly Body[],
    { by, ...conditions }: AppendConditions & { by?: string | undefined } = {},
  ): Promise<Appended> {
    const texts = bodies.map(body => this.encode(sessionId, body, by))
    return this.log.append(sessionId, texts, conditions)
  }

  /** The text that the log takes for an event that is made now. @throws TwinrailError `too-large` */
  encode(sessionId: string, body: Body, by?: string): string {
    const text = encodeEvent({ ...body, sessionId, time: Date.now(), by })
    // A UTF-16 unit takes at most three bytes, so most events need no counting.
    if (text.length * 3 + OFFSET_BYTES > limits.eventBytes) {
      if (Buffer.byteLength(text) + OFFSET_BYTES > limits.eventBytes) throw tooLarge()
    }
    return text
  }

  /** Hands an event to who follows the session now; nothing is logged. */
  async tell(sessionId: string, { type, runId, data }: Body, by?: string): Promise<void> {
    const json = JSON.stringify({ sessionId, runId, type, time: Date.now(), by, ephemeral: true, data })
    if (Buffer.byteLength(json) > limits.eventBytes) throw tooLarge()
    await this.log.tell(sessionId, json)
  }

  /**
   * Makes a subscription that has sent nothing yet: call `start`, or `close`.
   * @throws TwinrailError `session-not-found`, `run-not-found`
   */
  async subscribe<B>(request: SubscribeRequest<B>): Promise<Subscription<B>> {
    const { sessionId, options, rail, windowBytes, lag, onEnd, onTooSlow = () => {} } = request
    let opened = await this.#begin(sessionId, options)
    let closed = false
    const leave = this.viewers.arrive(sessionId, options.run)
    return new Subscription<B>({
      beginning: opened,
      beginAnew: async () => {
        const anew = await this.#begin(sessionId, { run: options.run, replay: options.replay })
        opened.release()
        opened = anew
        if (closed) anew.release()
        return anew
      },
      rail,
      run: options.run,
      replay: options.replay,
      coalesceMs: options.coalesceMs,
      window: windowBytes === undefined ? undefined : new Window(windowBytes),
      lag: lag?.policy ?? 'conflate',
      limits: {
        events: Math.min(lag?.limits?.events ?? Infinity, this.#lag.events),
        bytes: Math.min(lag?.limits?.bytes ?? Infinity, this.#lag.bytes),
      },
      onTooSlow,
      onEnd,
      onClose() {
        closed = true
        leave()
        opened.release()
      },
    })
  }

  /** Hands every event after now to the watcher; resolves once it is in place. */
  async watch(sessionId: string, watcher: Watcher): Promise<{ head: number; stop: () => void }> {
    const { topic, release } = await this.#open(await this.session(sessionId))
    const unwatch = topic.watch(watcher)
    return {
      head: topic.head,
      stop() {
        unwatch()
        release()
      },
    }
  }

  /**
   * Calls back at once and after every change with whether anybody watches the run, on any node.
   * @throws TwinrailError `session-not-found`
   */
  async watchViewers(
    sessionId: string,
    run: string,
    changed: (watched: boolean) => void,
  ): Promise<ViewersWatch> {
    const { topic, release } = await this.#open(await this.session(sessionId))
    let before: boolean | undefined
    const look = () => {
      const watched = this.viewers.has(sessionId, run) || topic.elsewhere.watches(run)
      if (watched === before) return
      before = watched
      changed(watched)
    }
    const stops = [this.viewers.watch(sessionId, look), topic.watchViewers(look), release]
    await topic.askElsewhere()
    look()
    return {
      lookAgain: () => topic.elsewhere.ask(),
      stop() {
        for (const stop of stops) stop()
      },
    }
  }

  /**
   * Resolves when the session's producers may go on: slow `wait` subscribers hold them up, on any node. Commands never
   * wait.
   */
  admitted(sessionId: string): Promise<void> | undefined {
    const open = this.#topics.get(sessionId)
    return open ? open.topic.admitted() : this.#admittedFromAfar(sessionId)
  }

  /** @throws TwinrailError `session-not-found` */
  async session(sessionId: string): Promise<SessionInfo> {
    const session = await this.log.session(sessionId)
    if (!session) throw sessionNotFound(sessionId)
    return session
  }

  /** Where a run lies in its session. @throws TwinrailError `run-not-found` */
  async run(sessionId: string, runId: string): Promise<RunRange> {
    const [started, ended] = await this.log.lookup(sessionId, [keys.run(runId), keys.end(runId)])
    if (!started) throw runNotFound(runId)
    return { start: started.seq, end: ended?.seq }
  }

  /** One event by its number; `undefined` when it was trimmed. */
  async event(sessionId: string, seq: number): Promise<LogEvent | undefined> {
    const page = await this.log.read(sessionId, seq - 1, { events: 1, bytes: 1, through: seq })
    return page?.events[0]
  }

  /** A subscription's beginning, judged on a fresh reading of the log; `release` frees what it holds. */
  async #begin(
    sessionId: string,
    options: Pick<SubscriptionOptions, 'after' | 'last' | 'run' | 'replay'>,
  ): Promise<Beginning & { release: () => void }> {
    const session = await this.session(sessionId)
    const run = options.run === undefined ? undefined : await this.run(sessionId, options.run)
    const { topic, release } = await this.#open(session)
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

  /** For producers of sessions that nobody follows here. */
  async #admittedFromAfar(sessionId: string): Promise<void> {
    try {
      if (!isHeldBy(await this.log.marks(sessionId), this.#node.id)) return
      const { topic, release } = await this.#open(await this.session(sessionId))
      await topic.admitted()
      release()
    } catch {
      // The log is away, or the session gone: nothing that holds anybody up.
    }
  }

  async #open(session: SessionInfo): Promise<{ topic: Topic; release: () => void }> {
    const { sessionId, epoch, head } = session
    let open = this.#topics.get(sessionId)
    if (!open || open.topic.isOver) {
      open = {
        topic: new Topic(sessionId, this.#topicParts),
        users: 0,
      }
      this.#topics.set(sessionId, open)
    }
    const held = open
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
      await held.topic.reach(epoch, head)
    } catch (error) {
      release()
      throw error
    }
    return { topic: held.topic, release }
  }
}

function tooLarge(): TwinrailError {
  return new TwinrailError(
    'too-large',
    `the event's JSON is larger than ${limits.eventBytes} bytes; split it, or send a link to the content`,
  )
}

/** The refusal of anything that needs the session to exist. */
export function sessionNotFound(sessionId: string): TwinrailError {
  return new TwinrailError('session-not-found', 'there is no such session; create it first', {
    details: { sessionId },
  })
}

/** The refusal of anything that needs the run to exist. */
export function runNotFound(runId: string): TwinrailError {
  return new TwinrailError('run-not-found', 'the session has no such run; start it first', {
    details: { runId },
  })
}

/** The offset of an event in the log that accepted it. */
export function offsetOf({ epoch }: { epoch: number }, seq: number): string {
  return formatOffset(epoch, seq)
}
