/** Follows a session for something that draws: one change a frame, however many events came. */
import { EventQueue } from './queue.ts'
import type { EventsOptions, Session, SessionEvent } from './session.ts'
import { emptyView, reduce, type SessionView } from './view.ts'

export interface StoreOptions extends Pick<EventsOptions, 'after' | 'run' | 'replay' | 'lag'> {
  /** Messages held between two frames before deltas are folded and the stream is no longer read. @default 100 */
  limit?: number | undefined
  /** Sees each event before it is shown; the stream waits for what it gives. */
  onEvent?: ((event: SessionEvent) => unknown) | undefined
  /** Calls back before the next picture is drawn; gives the way to call it off. @default requestAnimationFrame */
  frame?: ((draw: () => void) => () => void) | undefined
}

export interface StoreSnapshot extends SessionView {
  /** Whether the stream goes on; `error` when the server refused it for good. */
  following: boolean
  error: unknown
}

/** What a store follows, whatever its schemas. */
export type Followable = Pick<Session, 'id' | 'client'> & {
  events(options?: EventsOptions): AsyncGenerator<unknown, void, undefined>
}

/** Frames stop while a page is hidden, so that the stream waits for the page to be looked at. */
function nextFrame(draw: () => void): () => void {
  if (typeof requestAnimationFrame === 'undefined') {
    const timer = setTimeout(draw, 16)
    return () => clearTimeout(timer)
  }
  const id = requestAnimationFrame(draw)
  return () => cancelAnimationFrame(id)
}

/** Follows as long as somebody listens; a listener that is back within the turn finds it going on. */
export class SessionStore {
  readonly #session: Followable
  readonly #options: StoreOptions
  readonly #listeners = new Set<() => void>()
  readonly #frame: (draw: () => void) => () => void
  #snapshot: StoreSnapshot = { ...emptyView, following: false, error: undefined }
  #queue: EventQueue
  #stop: AbortController | undefined
  #callOff: (() => void) | undefined
  #cursor: string | undefined

  constructor(session: Followable, options: StoreOptions = {}) {
    this.#session = session
    this.#options = options
    this.#frame = options.frame ?? nextFrame
    this.#queue = new EventQueue(options.limit)
    this.#cursor = options.after
  }

  readonly current = (): StoreSnapshot => this.#snapshot

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    if (!this.#stop) void this.#follow()
    return () => {
      this.#listeners.delete(listener)
      // React mounts twice in StrictMode: who is back at once finds the same stream
      queueMicrotask(() => {
        if (this.#listeners.size === 0) this.disconnect()
      })
    }
  }

  /** Follows again after {@link disconnect} or an error, from where it was. */
  readonly connect = (): void => {
    if (!this.#stop) void this.#follow()
  }

  /** Stops following; runs go on, and what was shown stays. */
  readonly disconnect = (): void => {
    this.#stop?.abort()
    this.#stop = undefined
    this.#callOff?.()
    this.#callOff = undefined
    this.#queue = new EventQueue(this.#options.limit)
    if (this.#snapshot.following) this.#become({ ...this.#snapshot, following: false })
  }

  async #follow(): Promise<void> {
    const stop = new AbortController()
    const queue = this.#queue
    this.#stop = stop
    this.#become({ ...this.#snapshot, following: true, error: undefined })
    const { limit: _, frame: __, onEvent, ...options } = this.#options
    let error: unknown
    try {
      const events = this.#session.events({ ...options, after: this.#cursor, signal: stop.signal })
      for await (const event of events as AsyncIterable<SessionEvent>) {
        if (stop.signal.aborted) return
        await onEvent?.(event)
        if (stop.signal.aborted) return
        queue.push(event)
        this.#callOff ??= this.#frame(() => this.#draw())
        await queue.room()
      }
    } catch (cause) {
      if (stop.signal.aborted) return
      error = cause
    }
    if (this.#stop !== stop) return
    this.#callOff?.()
    this.#draw()
    this.#stop = undefined
    this.#become({ ...this.#snapshot, following: false, error })
  }

  /** Takes what came since the last frame. Only what is shown moves the cursor. */
  #draw(): void {
    this.#callOff = undefined
    const events = this.#queue.take()
    const { folded, dropped } = this.#queue
    if (folded + dropped > 0) this.#session.client.quality.queued({ folded, dropped })
    this.#queue.folded = this.#queue.dropped = 0
    for (const event of events) {
      if (event.type === 'reset') this.#cursor = undefined
      if ('offset' in event && typeof event.offset === 'string') this.#cursor = event.offset
    }
    const { following, error, ...view } = this.#snapshot
    const next = reduce(view, events)
    if (events.length > 0) this.#become({ ...next, following, error })
  }

  #become(snapshot: StoreSnapshot): void {
    this.#snapshot = snapshot
    for (const listener of [...this.#listeners]) listener()
  }
}
