/** The list of sessions for pages of any framework: the last active ones first, current while somebody listens. */
import type { Client } from '../client.ts'
import { type Cancel, startTimer } from '../protocol.ts'
import type { SessionSummary, SessionsPage } from '../session-summary.ts'

/** Pause before a request that failed is made again, in ms. */
const RETRY_MS = 5000

/** The state of a {@link SessionList}. The object stays the same until something changes. */
export interface SessionListSnapshot {
  /** The sessions that were loaded, the last active ones first. */
  sessions: readonly SessionSummary[]
  /** Whether the first page was loaded. */
  isLoaded: boolean
  /** Whether {@link SessionList.loadMore} has more to load. */
  hasMore: boolean
  /** Why the last request failed; `undefined` when it did not. Requests go on. */
  error: Error | undefined
}

/** The snapshot of a list of which nothing was loaded. */
export const emptySessionList: SessionListSnapshot = {
  sessions: [],
  isLoaded: false,
  hasMore: false,
  error: undefined,
}

/** The part of a client that a list uses, independent of what is known of the server. */
export type SessionsClient = Pick<Client, 'sessions' | 'onSessionsChanged'>

/**
 * The list of sessions, as a store with `subscribe` and `getSnapshot`. While it has listeners and its page is shown, it
 * asks for the first page again as often as the server says, and at once when this client creates, updates or deletes a
 * session. The functions may be passed on without the store.
 */
export class SessionList {
  readonly #client: SessionsClient
  readonly #limit: number
  readonly #listeners = new Set<() => void>()
  #snapshot = emptySessionList
  /** Where {@link loadMore} goes on. */
  #next: string | undefined
  #stop: (() => void) | undefined
  #refreshing: Promise<void> | undefined
  #isStale = false

  /**
   * Creates a list, which asks for nothing before it has listeners.
   * @param client the client that asks
   * @param options `limit`: sessions per page, from 1 to 1000; default 50
   */
  constructor(client: SessionsClient, { limit = 50 }: { limit?: number } = {}) {
    this.#client = client
    this.#limit = limit
  }

  /** Returns the snapshot: the same object until something changes. */
  readonly getSnapshot = (): SessionListSnapshot => this.#snapshot

  /** Calls `listener` after each change, and keeps the list current meanwhile. Returns the function that removes it. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    this.#stop ??= this.#follow()
    return () => {
      this.#listeners.delete(listener)
      // React mounts twice in StrictMode: the second mount keeps it going.
      queueMicrotask(() => {
        if (this.#listeners.size > 0) return
        this.#stop?.()
        this.#stop = undefined
      })
    }
  }

  /** Loads the next page. Resolves with whether there are more. Never rejects: the snapshot has the error. */
  readonly loadMore = async (): Promise<boolean> => {
    const after = this.#next
    if (after === undefined) return false
    try {
      const { sessions, next } = await this.#client.sessions({ after, limit: this.#limit })
      // Otherwise another call, or a refresh that began anew, was faster.
      if (this.#next === after) {
        this.#next = next
        const known = new Set(this.#snapshot.sessions.map(({ sessionId }) => sessionId))
        const more = sessions.filter(({ sessionId }) => !known.has(sessionId))
        this.#show({ sessions: [...this.#snapshot.sessions, ...more] })
      }
    } catch (error) {
      this.#show({ error: error as Error })
    }
    return this.#next !== undefined
  }

  /** Loads the first page again. Resolves when it is shown. Never rejects: the snapshot has the error. */
  readonly refresh = (): Promise<void> => {
    // What changed after the running request began needs another one.
    this.#isStale = this.#refreshing !== undefined
    this.#refreshing ??= this.#load().finally(() => {
      this.#refreshing = undefined
      if (this.#isStale) return this.refresh()
      return undefined
    })
    return this.#refreshing
  }

  #pollMs = RETRY_MS

  async #load(): Promise<void> {
    try {
      const page = await this.#client.sessions({ limit: this.#limit })
      this.#pollMs = page.pollMs
      this.#merge(page)
    } catch (error) {
      this.#pollMs = Math.max(RETRY_MS, (error as { retryAfterMs?: number }).retryAfterMs ?? 0)
      this.#show({ error: error as Error })
    }
  }

  /** What lies behind the first page stays, unless so much has moved to the front that something between is not known. */
  #merge({ sessions, next }: SessionsPage): void {
    const before = this.#snapshot.sessions
    const last = sessions.at(-1)
    const [newest] = before
    const reaches = last !== undefined && newest !== undefined && last.activeAt <= newest.activeAt
    if (next === undefined || !reaches) {
      this.#next = next
      this.#show({ sessions })
      return
    }
    const ids = new Set(sessions.map(({ sessionId }) => sessionId))
    const isBehind = (one: SessionSummary) =>
      !ids.has(one.sessionId) &&
      (one.activeAt < last.activeAt || (one.activeAt === last.activeAt && one.sessionId > last.sessionId))
    const rest = before.filter(isBehind)
    if (rest.length === 0) this.#next = next
    this.#show({ sessions: [...sessions, ...rest] })
  }

  #show(change: Partial<SessionListSnapshot>): void {
    const isLoaded = this.#snapshot.isLoaded || change.sessions !== undefined
    this.#snapshot = {
      ...this.#snapshot,
      ...(change.sessions && { error: undefined }),
      ...change,
      isLoaded,
      hasMore: this.#next !== undefined,
    }
    for (const listener of [...this.#listeners]) listener()
  }

  #follow(): () => void {
    const page = globalThis.document as Document | undefined
    let cancel: Cancel = () => {}
    let stopped = false
    const turn = async () => {
      cancel()
      if (!page?.hidden) await this.refresh()
      cancel()
      if (stopped) return
      // Spread, so that pages that were opened together do not ask together for ever.
      const pauseMs = this.#pollMs * (0.9 + 0.2 * Math.random())
      cancel = startTimer(pauseMs, () => void turn(), { unref: true })
    }
    const shown = () => {
      if (!page?.hidden) void turn()
    }
    page?.addEventListener('visibilitychange', shown)
    const stopListening = this.#client.onSessionsChanged(() => void this.refresh())
    void turn()
    return () => {
      stopped = true
      cancel()
      stopListening()
      page?.removeEventListener('visibilitychange', shown)
    }
  }
}

const lists = new WeakMap<SessionsClient, SessionList>()

/**
 * Returns the list of a client's sessions, which all calls share, with 50 sessions per page.
 * @example
 * ```ts
 * import { createClient } from 'twinrail-client'
 * import { sessionList } from 'twinrail-client/view'
 *
 * const list = sessionList(createClient({ url: '/' }))
 * const stop = list.subscribe(() => console.log(list.getSnapshot().sessions))
 * ```
 */
export function sessionList(client: SessionsClient): SessionList {
  const list = lists.get(client) ?? new SessionList(client)
  lists.set(client, list)
  return list
}
