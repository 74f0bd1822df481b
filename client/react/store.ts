/** Follows a session for a view, which changes at most once per frame. */
import type { SessionEvent } from '../events.ts'
import { EventQueue } from '../queue.ts'
import type { EventsOptions, Session } from '../session.ts'
import { emptyView, reduce, type SessionView } from './view.ts'

/** The options of {@link SessionStore} and of `useSession`. */
export interface StoreOptions extends Pick<EventsOptions, 'after' | 'run' | 'replay' | 'lag'> {
  /** Number of messages held between two frames. Beyond it deltas are folded, then the stream waits. @default 100 */
  limit?: number | undefined
  /** Called with each event before it is shown. The stream waits for the promise that it returns. @default none */
  onEvent?: ((event: SessionEvent) => unknown) | undefined
  /**
   * Schedules `draw` for the next frame; returns a cancel function.
   * @default requestAnimationFrame, or 16 ms without it
   */
  frame?: ((draw: () => void) => () => void) | undefined
}

/** The view of a session, and the state of its stream. */
export interface StoreSnapshot extends SessionView {
  /** Whether the session is being followed. */
  following: boolean
  /** The error that ended the stream, if one did. */
  error: unknown
}

/** The part of a session that a store uses, independent of the session's schemas. */
export type Followable = Pick<Session, 'id' | 'quality'> & {
  events(options?: EventsOptions): AsyncGenerator<unknown, void, undefined>
}

/** Schedules `draw` for the next frame. A hidden page has no frames, so its stream waits until it is visible. */
function nextFrame(draw: () => void): () => void {
  if (typeof requestAnimationFrame === 'undefined') {
    const timer = setTimeout(draw, 16)
    return () => clearTimeout(timer)
  }
  const id = requestAnimationFrame(draw)
  return () => cancelAnimationFrame(id)
}

/**
 * Follows a session while it has listeners. Replacing the only listener within one turn does not interrupt the stream.
 */
export class SessionStore {
  readonly #session: Followable
  readonly #options: StoreOptions
  readonly #listeners = new Set<() => void>()
  readonly #frame: (draw: () => void) => () => void
  #snapshot: StoreSnapshot = { ...emptyView, following: false, error: undefined }
  #queue: EventQueue
  #stop: AbortController | undefined
  #cancelFrame: (() => void) | undefined
  #cursor: string | undefined

  constructor(session: Followable, options: StoreOptions = {}) {
    this.#session = session
    this.#options = options
    this.#frame = options.frame ?? nextFrame
    this.#queue = new EventQueue(options.limit)
    this.#cursor = options.after
  }

  /** The current snapshot. The object stays the same until something changes. */
  readonly current = (): StoreSnapshot => this.#snapshot

  /**
   * Calls `listener` after each change, and follows while there is a listener. Returns the function that removes it.
   */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    if (!this.#stop) void this.#follow()
    return () => {
      this.#listeners.delete(listener)
      // React mounts twice in StrictMode: the second mount keeps the stream.
      queueMicrotask(() => {
        if (this.#listeners.size === 0) this.disconnect()
      })
    }
  }

  /** Follows again after {@link disconnect} or an error, from the last event shown. */
  readonly connect = (): void => {
    if (!this.#stop) void this.#follow()
  }

  /** Stops following. Runs continue, and the view stays. */
  readonly disconnect = (): void => {
    this.#stop?.abort()
    this.#stop = undefined
    this.#cancelFrame?.()
    this.#cancelFrame = undefined
    this.#queue = new EventQueue(this.#options.limit)
    if (this.#snapshot.following) this.#change({ ...this.#snapshot, following: false })
  }

  async #follow(): Promise<void> {
    const stop = new AbortController()
    const queue = this.#queue
    this.#stop = stop
    this.#change({ ...this.#snapshot, following: true, error: undefined })
    const { limit: _, frame: __, onEvent, ...options } = this.#options
    let error: unknown
    try {
      const events = this.#session.events({ ...options, after: this.#cursor, signal: stop.signal })
      for await (const event of events as AsyncIterable<SessionEvent>) {
        if (stop.signal.aborted) return
        await onEvent?.(event)
        if (stop.signal.aborted) return
        queue.push(event)
        this.#cancelFrame ??= this.#frame(() => this.#draw())
        await queue.room()
      }
    } catch (cause) {
      if (stop.signal.aborted) return
      error = cause
    }
    if (this.#stop !== stop) return
    this.#cancelFrame?.()
    this.#draw()
    this.#stop = undefined
    this.#change({ ...this.#snapshot, following: false, error })
  }

  /** Applies the events since the last frame. Only events that are shown move the cursor. */
  #draw(): void {
    this.#cancelFrame = undefined
    const events = this.#queue.take()
    const { folded, dropped } = this.#queue
    if (folded + dropped > 0) this.#session.quality.queued({ folded, dropped })
    this.#queue.folded = this.#queue.dropped = 0
    for (const event of events) {
      if (event.type === 'reset') this.#cursor = undefined
      if ('offset' in event && typeof event.offset === 'string') this.#cursor = event.offset
    }
    const { following, error, ...view } = this.#snapshot
    const next = reduce(view, events)
    if (events.length > 0) this.#change({ ...next, following, error })
  }

  #change(snapshot: StoreSnapshot): void {
    this.#snapshot = snapshot
    for (const listener of [...this.#listeners]) listener()
  }
}
