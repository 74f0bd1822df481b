/** Follows a session for a page and sends its commands. It is independent of any framework. */
import type { ClientError } from '../errors.ts'
import type { Schemas, SessionEvent } from '../events.ts'
import { EventQueue } from '../queue.ts'
import type { Run, RunOptions } from '../run.ts'
import type { AnyServer, EventsOf, ServerTypes, Start } from '../server-types.ts'
import type { EventsOptions, Session } from '../session.ts'
import { nextFrame } from './frame.ts'
import { inputText } from './input-text.ts'
import { joined } from './join.ts'
import { emptyView, isOver, newRun, RUNS, reduce, seqOf } from './reduce.ts'
import type { Message, RunView, SessionView } from './view.ts'

/** The options of {@link SessionStore} and of `useSession`. All are optional. */
export interface StoreOptions<T extends ServerTypes = AnyServer>
  extends Pick<EventsOptions, 'after' | 'last' | 'run' | 'replay' | 'lag'> {
  /** Number of messages held between two frames. Beyond it deltas are folded, then the stream waits. @default 100 */
  limit?: number | undefined
  /** Called with each event before it is shown. The stream waits for the promise that it returns. @default none */
  onEvent?: ((event: EventsOf<T>) => unknown) | undefined
  /**
   * Schedules `draw` for the next frame; returns a cancel function.
   * @default requestAnimationFrame, once a second while the page is hidden; 16 ms where there are no frames
   */
  frame?: ((draw: () => void) => () => void) | undefined
}

/** The view of a session, and what a page shows of it. It never changes; a change makes a new one. */
export interface SessionSnapshot extends SessionView {
  /** The newest run that is starting or running; without one, the newest run. `isLoading` and `status` speak of it. */
  run: RunView | undefined
  /** The status of `run`; `idle` without a run. It does not depend on the connection. */
  status: 'idle' | RunView['status']
  /** Whether any run of the session is starting or running. */
  isLoading: boolean
  /**
   * The error that ended the stream, the refusal of the last command, or the failure of the newest run. `retry()` tries
   * again what it speaks of.
   */
  error: Error | undefined
  /** Whether the session is being followed. */
  following: boolean
}

/** The snapshot of a store that has followed nothing yet. Pages that are rendered on a server show it. */
export const emptySnapshot: SessionSnapshot = {
  ...emptyView,
  run: undefined,
  status: 'idle',
  isLoading: false,
  error: undefined,
  following: false,
}

/** The part of a session that a store uses, independent of the session's schemas. */
export type StoreSession = Pick<
  Session<Schemas>,
  'id' | 'quality' | 'page' | 'cancel' | 'steer' | 'answer'
> & {
  events(options?: EventsOptions): AsyncGenerator<unknown, void, undefined>
  run(agent: string, input: unknown, options?: RunOptions): Run
}

/** Pages that one `loadOlder()` reads at most. */
const OLDER_PAGES = 10

/**
 * The view of a session, as a store with `subscribe` and `getSnapshot`. It follows the session while it has listeners,
 * and creates the session if it does not exist. Its view changes at most once per frame. The functions may be passed on
 * without the store. Those that send commands never reject: the snapshot's `error` has the refusal. `T` is what is known of
 * the server.
 */
export class SessionStore<T extends ServerTypes = AnyServer> {
  /** The handle on the session that the store follows. */
  readonly session: StoreSession
  readonly #options: StoreOptions
  readonly #listeners = new Set<() => void>()
  readonly #onEvents = new Set<(event: SessionEvent) => unknown>()
  readonly #frame: (draw: () => void) => () => void
  /** Runs that the log does not have yet. */
  readonly #starting = new Map<string, { run: RunView; handle: Run }>()
  #view: SessionView = emptyView
  #snapshot: SessionSnapshot | undefined
  #refusal: { error: Error; again: () => Promise<unknown> } | undefined
  #failure: Error | undefined
  #queue: EventQueue
  #stop: AbortController | undefined
  #cancelFrame: (() => void) | undefined
  #cursor: string | undefined
  /** Number of ended runs to keep; it grows with those that were loaded. */
  #keep = RUNS
  #older: Promise<boolean> | undefined

  constructor(session: StoreSession, options: StoreOptions<T> = {}) {
    this.session = session
    this.#options = options as unknown as StoreOptions
    this.#frame = options.frame ?? nextFrame
    this.#queue = new EventQueue(options.limit)
    this.#cursor = options.after
    if (this.#options.onEvent) this.#onEvents.add(this.#options.onEvent)
  }

  /** Whether the store has listeners. */
  get used(): boolean {
    return this.#listeners.size > 0
  }

  /** The current snapshot. The object stays the same until something changes. */
  readonly getSnapshot = (): SessionSnapshot => {
    this.#snapshot ??= this.#makeSnapshot()
    return this.#snapshot
  }

  /**
   * Calls `listener` after each change, and follows the session while there is a listener. Returns the function that
   * removes it. Replacing the only listener within one turn does not interrupt the stream.
   */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    if (this.#view.ended === undefined) this.connect()
    return () => {
      this.#listeners.delete(listener)
      // React mounts twice in StrictMode: the second mount keeps the stream.
      queueMicrotask(() => {
        if (!this.used) this.disconnect()
      })
    }
  }

  /**
   * Calls `listener` with each event before it is shown. The stream waits for the promise that it returns. Returns the
   * function that removes it.
   */
  readonly onEvent = (listener: (event: EventsOf<T>) => unknown): (() => void) => {
    const any = listener as (event: SessionEvent) => unknown
    this.#onEvents.add(any)
    return () => this.#onEvents.delete(any)
  }

  /** Follows again after `disconnect()` or an error, from the last event shown. */
  readonly connect = (): void => {
    if (!this.#stop) void this.#follow()
  }

  /** Stops following, for all that share the store. Runs continue, and the view stays. */
  readonly disconnect = (): void => {
    if (!this.#stop) return
    this.#stop.abort()
    this.#stop = undefined
    this.#cancelFrame?.()
    this.#cancelFrame = undefined
    this.#queue = new EventQueue(this.#options.limit)
    this.#changed()
  }

  /**
   * Starts a run. The snapshot has it at once, with its id and the status `starting`. Resolves with the id once the
   * server has accepted it, and with `undefined` when the server refused it.
   */
  readonly start: Start<T> = async (agent: string, input: unknown, options: RunOptions = {}) => {
    const handle = this.session.run(agent, input, options)
    const { runId } = handle
    const again = () => (this.start as Start<AnyServer>)(agent, input, { ...options, runId })
    if (!this.#view.runs.some(run => run.runId === runId)) {
      this.#starting.set(runId, { run: startingRun(runId, agent, input), handle })
    }
    const ack = await this.#send(() => handle.started, again)
    // Where the session is followed, the run is shown as starting until its first event arrives.
    if (!ack || !this.#stop || this.#options.run !== undefined) this.#starting.delete(runId)
    this.#changed()
    return ack && runId
  }

  /** Cancels a run, by default every run of the session that is starting or running. A run may be stopped at once. */
  readonly stop = async (runId?: string, reason?: string): Promise<void> => {
    const { runs } = this.getSnapshot()
    // As a click handler it is called with an event.
    const named = typeof runId === 'string' ? [runId] : runs.filter(run => !isOver(run)).map(run => run.runId)
    const cancel = async (id: string) => {
      const starting = this.#starting.get(id)?.handle
      try {
        await (starting ? starting.cancel(reason) : this.session.cancel(id, reason))
      } catch (error) {
        // Of a start that is refused, `start` shows the refusal.
        const refused = await starting?.started.then(
          () => false,
          () => true,
        )
        if (!refused && (error as ClientError).code !== 'run-ended') throw error
      }
    }
    await this.#send(
      () => Promise.all(named.map(cancel)),
      () => this.stop(runId, reason),
    )
  }

  /** Answers a question. */
  readonly answer = async (requestId: string, value: unknown): Promise<void> => {
    await this.#send(
      () => this.session.answer(requestId, value),
      () => this.answer(requestId, value),
    )
  }

  /** Sends a message to the agent of a run, by default of the snapshot's `run`. */
  readonly steer = async (text: string, runId?: string): Promise<void> => {
    const id = runId ?? this.getSnapshot().run?.runId ?? ''
    await this.#send(
      () => this.session.steer(id, text),
      () => this.steer(text, id),
    )
  }

  /**
   * Tries again what the snapshot's `error` speaks of: follows the session, sends the refused command, or starts the
   * failed run's agent with the same input. With a run's id it starts that run's agent again.
   */
  readonly retry = async (runId?: string): Promise<unknown> => {
    const { runs } = this.getSnapshot()
    const named = typeof runId === 'string'
    if (!named && this.#failure) return this.connect()
    if (!named && this.#refusal) return this.#refusal.again()
    const run = named ? runs.find(run => run.runId === runId) : runs.at(-1)
    const start = this.start as Start<AnyServer>
    return run?.error || (run && named) ? start(run.agent, run.input) : undefined
  }

  /**
   * Loads a page of older events and shows them before the others, at least one run where there is one. Resolves with
   * whether there are more.
   */
  readonly loadOlder = (): Promise<boolean> => {
    this.#older ??= this.#send(
      () => this.#loadOlder(),
      () => this.loadOlder(),
    ).then(() => {
      this.#older = undefined
      this.#changed()
      return this.#view.hasOlder
    })
    return this.#older
  }

  async #loadOlder(): Promise<void> {
    const { since } = this.#view
    if (!this.getSnapshot().hasOlder || since === undefined) return
    let before = since
    let events: SessionEvent[] = []
    for (let pages = 1; ; pages += 1) {
      // Unfolded, since a fold may reach over the first known event of a run.
      const page = await this.session.page({ before, replay: 'full' })
      // The log was lost, or the view was emptied.
      if (this.#view.since !== since || page.controls.some(({ type }) => type === 'reset')) return
      events = [...(page.events as SessionEvent[]), ...events]
      before = page.next
      const known = new Map(this.#view.runs.map(run => [run.runId, seqOf(run.offset)]))
      const missing = events.filter(
        event =>
          'runId' in event &&
          'offset' in event &&
          seqOf(event.offset as string) < (known.get(event.runId as string) ?? Infinity),
      )
      if (!page.caughtUp && pages < OLDER_PAGES && !missing.some(({ type }) => type === 'run.started'))
        continue
      const older = reduce(emptyView, missing, Infinity)
      this.#view = joined({ ...older, since: before, hasOlder: !page.caughtUp }, this.#view)
      this.#keep = Math.max(this.#keep, this.#view.runs.length)
      return
    }
  }

  /** Sends a command. Refusals are shown, not thrown: an event handler has no place to catch them. */
  async #send<T>(command: () => Promise<T>, again: () => Promise<unknown>): Promise<T | undefined> {
    this.#refusal = undefined
    this.#changed()
    try {
      return await command()
    } catch (error) {
      if ((error as ClientError).code === 'closed') return undefined
      this.#refusal = { error: error as Error, again }
      this.#changed()
      return undefined
    }
  }

  async #follow(): Promise<void> {
    const stop = new AbortController()
    const queue = this.#queue
    this.#stop = stop
    this.#failure = undefined
    if (this.#cursor === undefined) this.#view = emptyView
    this.#changed()
    const { limit: _, frame: __, onEvent: ___, ...options } = this.#options
    try {
      const events = this.session.events({
        ...options,
        after: this.#cursor,
        create: options.run === undefined,
        signal: stop.signal,
      })
      for await (const event of events as AsyncIterable<SessionEvent>) {
        for (const listener of [...this.#onEvents]) await listener(event)
        if (stop.signal.aborted) return
        queue.push(event)
        this.#cancelFrame ??= this.#frame(() => this.#draw())
        await queue.room()
        if (stop.signal.aborted) return
      }
    } catch (error) {
      if (stop.signal.aborted) return
      this.#failure = error as Error
    }
    if (this.#stop !== stop) return
    this.#cancelFrame?.()
    this.#draw()
    this.#stop = undefined
    // The next attempt creates the session anew.
    if ((this.#failure as ClientError | undefined)?.code === 'session-not-found') this.#cursor = undefined
    this.#changed()
  }

  /** Applies the events since the last frame. Only events that are shown move the cursor. */
  #draw(): void {
    this.#cancelFrame = undefined
    const events = this.#queue.take()
    const { folded, dropped } = this.#queue
    if (folded + dropped > 0) this.session.quality.queued({ folded, dropped })
    this.#queue.folded = this.#queue.dropped = 0
    if (events.length === 0) return
    for (const event of events) {
      if (event.type === 'reset') {
        this.#cursor = undefined
        this.#starting.clear()
      }
      if ('offset' in event && typeof event.offset === 'string') this.#cursor = event.offset
    }
    // While older events are loaded, the view must go on where they end.
    this.#view = reduce(this.#view, events, this.#older ? Infinity : this.#keep)
    for (const { runId } of this.#view.runs) this.#starting.delete(runId)
    this.#changed()
  }

  #makeSnapshot(): SessionSnapshot {
    const view = this.#view
    const starting = [...this.#starting.values()].map(({ run }) => run)
    const runs = [...view.runs, ...starting]
    const run = runs.findLast(run => !isOver(run)) ?? runs.at(-1)
    return {
      ...view,
      // A stream of one run begins with the run.
      hasOlder: view.hasOlder && this.#options.run === undefined,
      ...(starting.length > 0 && {
        runs,
        messages: [...view.messages, ...starting.flatMap(({ messages }) => messages)],
      }),
      run,
      status: run?.status ?? 'idle',
      isLoading: run !== undefined && !isOver(run),
      error: this.#failure ?? this.#refusal?.error ?? runs.at(-1)?.error,
      following: this.#stop !== undefined,
    }
  }

  #changed(): void {
    this.#snapshot = undefined
    for (const listener of [...this.#listeners]) listener()
  }
}

/** A run that the log does not have yet, with the ids that its messages will have. */
function startingRun(runId: string, agent: string, input: unknown): RunView {
  const text = inputText(input)
  const common = { runId, offset: '', time: Date.now() }
  const asked: Message[] =
    text === undefined
      ? []
      : [{ id: `${runId}/input`, role: 'user', text, input, state: 'sending', ...common }]
  const answer: Message = {
    id: `${runId}/answer`,
    role: 'assistant',
    agent,
    parts: [],
    text: '',
    state: 'starting',
    ...common,
  }
  return { ...newRun(runId, ''), agent, input, status: 'starting', messages: [...asked, answer] }
}
