/** Who is in a session, as a store: keeps this client a member, and the list of members current. PROTOCOL.md, "Presence". */
import { newId } from '../command.ts'
import { backoffMs } from '../connection/backoff.ts'
import { requestJson } from '../connection/request.ts'
import { onWake } from '../connection/watchdog.ts'
import { type ClientContext, type OpenStream, request, type StreamListener } from '../context.ts'
import type { ClientError } from '../errors.ts'
import { type Cancel, type PresenceEvent, type PresenceMember, startTimer } from '../protocol.ts'
import { type AnySession, contextOf } from '../session.ts'
import { type Shared, shared } from './shared.ts'

/** How often a member says that it is there until the server has said how often, in ms. */
const RENEW_MS = 15_000

/** Least time between two changes of the own state, in ms: the server tells others no more often. */
const STATE_MS = 200

/** The members of a session. The object stays the same until something changes. */
export interface PresenceSnapshot {
  /** The members, those first that joined first. They stay while the connection is lost. */
  members: readonly PresenceMember[]
  /** Whether the members were loaded. */
  isLoaded: boolean
  /** Whether there are more members than the server lists. */
  isTruncated: boolean
  /** Why the last request failed; `undefined` when it did not. Requests go on. */
  error: Error | undefined
}

/** The snapshot of a session whose members were not loaded. */
export const emptyPresence: PresenceSnapshot = {
  members: [],
  isLoaded: false,
  isTruncated: false,
  error: undefined,
}

/** The options of {@link presence}. All are optional. */
export interface PresenceOptions {
  /** Show the members without being one. @default false */
  observe?: boolean | undefined
}

const keyOf = ({ memberId, principal }: Pick<PresenceMember, 'memberId' | 'principal'>) =>
  `${memberId} ${principal}`

/**
 * The members of a session, as a store with `subscribe` and `getSnapshot`, and as an async iterable of snapshots. While
 * it has listeners, this client is a member, and it follows the session unless the client does so already; without
 * listeners it leaves. Creates the session if it does not exist. The functions may be passed on without the store.
 */
export class Presence {
  /** The id of this client's own member. */
  readonly memberId = newId()
  readonly #context: ClientContext
  readonly #session: AnySession
  readonly #observes: boolean
  readonly #listeners = new Set<() => void>()
  #snapshot = emptyPresence
  #members = new Map<string, PresenceMember>()
  #state: unknown
  #stop: (() => void) | undefined
  #own: AbortController | undefined
  #cancelTimer: Cancel = () => {}
  /** Whether the session exists and is followed, so that no change is missed from here on. */
  #isConnected = false
  /** Whether the session was deleted, or may not be read any more. */
  #hasEnded = false
  #renewMs = RENEW_MS
  /** When the member is to say next that it is there, in ms since 1970. */
  #enterAt = 0
  #enteredAt = 0
  #entering: Promise<void> | undefined
  #hasEntered = false
  /** When the list was read, and the earliest time to read it again. */
  #readAt = 0
  #rereadAt = 0
  /** Changes that were heard of while the list is being read. */
  #meanwhile: PresenceEvent['data'][] | undefined
  #isStale = false
  /** Requests that failed since one succeeded. */
  #failures = 0
  readonly #errors: { enter?: Error | undefined; read?: Error | undefined } = {}

  constructor(session: AnySession, { observe = false }: PresenceOptions = {}) {
    this.#session = session
    this.#context = contextOf(session)
    this.#observes = observe
  }

  /** Whether the store has listeners. */
  get used(): boolean {
    return this.#listeners.size > 0
  }

  /** Returns the snapshot: the same object until something changes. */
  readonly getSnapshot = (): PresenceSnapshot => this.#snapshot

  /**
   * Calls `listener` after each change, and is a member meanwhile. Returns the function that removes it. Replacing the
   * only listener within one turn is no leave.
   */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    this.#stop ??= this.#start()
    return () => {
      this.#listeners.delete(listener)
      // React mounts twice in StrictMode: the second mount keeps it going.
      queueMicrotask(() => {
        if (!this.used) this.#stop?.()
      })
    }
  }

  /**
   * Changes what the other members see of this one: any JSON of at most 1 KiB. Of several changes within 200 ms the last
   * one counts. The snapshot's `error` has the server's refusal.
   */
  readonly setState = (state: unknown): void => {
    if (JSON.stringify(state) === JSON.stringify(this.#state)) return
    this.#state = state
    this.#enterAt = Math.min(this.#enterAt, this.#enteredAt + STATE_MS)
    this.#turn()
  }

  /** Yields the members at each change, of several changes at once only the last. Returns when the client is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<PresenceSnapshot, void, undefined> {
    let wake = () => {}
    const remove = this.subscribe(() => wake())
    try {
      for (let shown: PresenceSnapshot | undefined; !this.#context.signal.aborted; ) {
        const next = this.#snapshot
        if (next !== shown) {
          shown = next
          yield next
          continue
        }
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
    } finally {
      remove()
    }
  }

  #start(): () => void {
    const { signal, streamListeners } = this.#context
    const hear: StreamListener = (stream, event) => {
      if (!this.#isOfSession(stream)) return
      if (event?.type === 'presence.changed') this.#change(event.data)
      else if (event?.type === 'caught-up') this.#connected()
      else if (event?.type === 'end') this.#hasEnded = true
      else if (!event) this.#follow()
      // Timers of a hidden page may be a minute late, what arrives is not.
      this.#turn()
    }
    // A page that is left cannot wait, and one that comes back from the cache joins again.
    const hidden = () => {
      if (this.#hasEntered) this.#leave()
    }
    streamListeners.add(hear)
    const stopWaking = onWake(() => this.#turn())
    globalThis.addEventListener?.('pagehide', hidden)
    const stop = () => {
      signal.removeEventListener('abort', stop)
      streamListeners.delete(hear)
      stopWaking()
      globalThis.removeEventListener?.('pagehide', hidden)
      this.#cancelTimer()
      this.#stop = undefined
      this.#isConnected = false
      this.#own?.abort()
      this.#own = undefined
      if (this.#hasEntered || this.#entering) this.#leave()
      this.#tell() // ends iterations of a closed client
    }
    this.#stop = stop
    signal.addEventListener('abort', stop)
    this.#hasEnded = false
    if (this.#streams.some(({ live }) => live)) this.#connected()
    this.#follow()
    this.#turn()
    return stop
  }

  /** Whether a stream delivers the changes of the members. */
  #isOfSession({ sessionId, run }: OpenStream): boolean {
    return sessionId === this.#session.id && run === undefined
  }

  get #streams(): OpenStream[] {
    const { streams } = this.#context
    return [...streams].filter(stream => this.#isOfSession(stream) && stream.status?.state !== 'closed')
  }

  /** Opens a stream of its own while the client has no other one of this session, and closes it once it has. */
  #follow(): void {
    if (this.#hasEnded) this.#isConnected = false
    const all = this.#streams
    if (this.#own) {
      if (all.filter(({ live }) => live).length < 2) return
      this.#own.abort()
      this.#own = undefined
      return
    }
    if (all.length > 0 || this.#hasEnded) return
    const own = new AbortController()
    this.#own = own
    const read = async () => {
      const events = this.#session.events({ replay: 'none', create: true, signal: own.signal })
      for await (const _ of events);
    }
    read().catch(error => {
      if (own.signal.aborted) return
      this.#hasEnded = true
      this.#show({ error })
    })
  }

  #connected(): void {
    this.#isConnected = true
    this.#hasEnded = false
    this.#readAt = this.#rereadAt = 0
    if (this.#snapshot.error) this.#enterAt = 0
  }

  /** Time between two readings of the list, in ms. Events tell changes, but not over long-poll, and they may be lost. */
  #pauseMs(): number {
    const hears = this.#streams.some(
      ({ status }) => status?.state === 'open' && status.transport !== 'long-poll',
    )
    return hears ? this.#renewMs * 4 : this.#renewMs / 3
  }

  /** Does what is due, and waits for what is due next. */
  #turn(): void {
    this.#cancelTimer()
    if (!this.#stop || !this.#isConnected) return
    const now = Date.now()
    if (!this.#observes && !this.#entering && now >= this.#enterAt) {
      this.#entering = this.#enter().finally(() => {
        this.#entering = undefined
        this.#turn()
      })
    }
    const readAt = () => Math.max(this.#rereadAt, this.#readAt + this.#pauseMs())
    // The list is to have this member as well.
    const isReady = this.#hasEntered || this.#observes || this.#snapshot.error !== undefined
    if (!this.#meanwhile && isReady && now >= readAt()) void this.#read()
    const dues = [
      ...(this.#observes || this.#entering ? [] : [this.#enterAt]),
      ...(this.#meanwhile || !isReady ? [] : [readAt()]),
    ]
    if (dues.length === 0) return
    const waitMs = Math.max(0, Math.min(...dues) - now)
    this.#cancelTimer = startTimer(waitMs, () => this.#turn(), { unref: true })
  }

  async #enter(): Promise<void> {
    const state = this.#state
    try {
      const body = { memberId: this.memberId, state }
      this.#enteredAt = Date.now()
      const { renewMs } = await request<{ renewMs: number }>(this.#context, this.#path, {
        method: 'PUT',
        body,
      })
      this.#hasEntered = true
      this.#renewMs = renewMs
      this.#enterAt = Date.now() + renewMs
      // No event tells it over long-poll.
      this.#readAt = Math.min(this.#readAt, Date.now() - renewMs / 3)
      this.#failed('enter', undefined)
    } catch (error) {
      this.#enterAt = Date.now() + this.#failed('enter', error as ClientError)
    }
    if (state !== this.#state) this.#enterAt = Math.min(this.#enterAt, this.#enteredAt + STATE_MS)
  }

  /** Leaves at once, also when the client was closed or the page goes away. */
  #leave(): void {
    const { environment } = this.#context
    const entering = this.#entering
    this.#hasEntered = false
    this.#enterAt = 0
    const send = async () => {
      const credentials = await environment.credentials()
      const { signal } = new AbortController()
      const fetch: typeof globalThis.fetch = (input, init) =>
        environment.fetch(input, { ...init, keepalive: true })
      await credentials.use(
        ({ headers }) =>
          requestJson({ ...environment, fetch, headers, signal }, this.#path, {
            method: 'DELETE',
            query: { memberId: this.memberId },
          }),
        signal,
      )
    }
    const gone = () => send().catch(() => {}) // otherwise the server misses it in time
    if (entering) void entering.then(() => (this.#stop ? undefined : gone()))
    else void gone()
  }

  async #read(): Promise<void> {
    const meanwhile: PresenceEvent['data'][] = []
    this.#meanwhile = meanwhile
    this.#isStale = false
    try {
      const { members, truncated = false } = await request<{
        members: PresenceMember[]
        truncated?: true
      }>(this.#context, this.#path)
      this.#members = new Map(members.map(member => [keyOf(member), member]))
      for (const changes of meanwhile) this.#apply(changes)
      this.#readAt = Date.now()
      this.#rereadAt = 0
      if (this.#isStale) this.#readAt = 0
      this.#show({ isLoaded: true, isTruncated: truncated })
      this.#failed('read', undefined)
    } catch (error) {
      this.#rereadAt = Date.now() + this.#failed('read', error as ClientError)
    } finally {
      this.#meanwhile = undefined
      this.#turn()
    }
  }

  #change(changes: PresenceEvent['data']): void {
    this.#meanwhile?.push(changes)
    if (changes.truncated) {
      this.#isStale = true
      this.#readAt = 0
    }
    this.#apply(changes)
    if (this.#snapshot.isLoaded) this.#show({})
  }

  #apply({ joined, updated, left }: PresenceEvent['data']): void {
    for (const member of [...joined, ...updated]) this.#members.set(keyOf(member), member)
    for (const member of left) this.#members.delete(keyOf(member))
  }

  /** Shows why a request failed, or that it did not. Returns the pause before the next attempt, in ms. */
  #failed(what: 'enter' | 'read', error: ClientError | undefined): number {
    if (!error) this.#failures = 0
    this.#errors[what] = error?.code === 'closed' ? undefined : error
    const shown = this.#errors.enter ?? this.#errors.read
    if (shown !== this.#snapshot.error) this.#show({ error: shown })
    const { backoff } = this.#context.environment
    return error?.retryable ? backoffMs(this.#failures++, error.retryAfterMs ?? 0, backoff) : RENEW_MS
  }

  #show(change: Partial<PresenceSnapshot>): void {
    const members = [...this.#members.values()].sort((a, b) => a.since - b.since)
    this.#snapshot = { ...this.#snapshot, members, ...change }
    this.#tell()
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener()
  }

  get #path(): string {
    return `sessions/${encodeURIComponent(this.#session.id)}/presence`
  }
}

const stores: Shared<Presence> = new WeakMap()

/**
 * Returns the members of a session. Calls with the same client, session and options return the same store, as long as it
 * has listeners; of the others a client keeps the newest 8.
 * @example
 * ```ts
 * import { createClient } from 'twinrail-client'
 * import { presence } from 'twinrail-client/view'
 *
 * const store = presence(createClient({ url: '/' }).session('demo'))
 * store.setState({ name: 'Ada' })
 * for await (const { members } of store) console.log(members.length)
 * ```
 */
export function presence(session: AnySession, { observe = false }: PresenceOptions = {}): Presence {
  const key = [session.id, observe]
  return shared(stores, contextOf(session), key, () => new Presence(session, { observe }))
}
