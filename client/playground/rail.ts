/** One rail of the page: a client whose line can be cut, whose reader can be slowed, and which can switch transports. */
import {
  type Client,
  ClientError,
  createClient,
  type SocketConstructor,
  type Transport,
  type TransportStream,
} from '../index.ts'
import { sharedTabs } from '../shared/index.ts'
import { baseUrl } from './base-url.ts'
import { type Counted, Ledger } from './ledger.ts'

/** Time that a slow reader spends on one event, in ms. */
export const SLOW_MS = 200

/** The settings of a rail that its buttons show. */
export interface RailState {
  readonly cut: boolean
  readonly slow: boolean
  readonly transport: Transport | 'auto'
}

interface Waiter {
  readonly runId: string
  readonly seen: number
  readonly done: () => void
}

/** A client that simulates a broken line and a slow reader, and counts what it delivers. */
export class Rail {
  readonly name: 'A' | 'B'
  /** The transport that the rail begins with. */
  readonly home: Transport
  readonly client: Client
  readonly ledger = new Ledger()
  #state: RailState
  readonly #open = new Set<() => void>()
  readonly #listeners = new Set<() => void>()
  readonly #waiters = new Set<Waiter>()

  constructor(name: 'A' | 'B', home: Transport) {
    this.name = name
    this.home = home
    this.#state = { cut: false, slow: false, transport: home }
    const owner = this
    class CuttableSocket extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols)
        const close = () => this.close()
        if (owner.state.cut) close()
        owner.#open.add(close)
        this.addEventListener('close', () => owner.#open.delete(close))
      }
    }
    const connect = sharedTabs({ share: name })
    this.client = createClient({
      url: baseUrl,
      transport: home,
      fetch: (input, init) => this.#fetch(input, init),
      WebSocket: CuttableSocket as unknown as SocketConstructor,
      // A browser opens six requests to a server over HTTP/1.1, for all tabs; sockets do not count.
      connect: (transport, streams) =>
        transport === 'websocket' ? streams[transport] : this.#cuttable(connect(transport, streams)),
      backoff: { baseMs: 500, capMs: 8000 },
    })
  }

  get state(): RailState {
    return this.#state
  }

  readonly getState = (): RailState => this.#state

  /** Calls `listener` when {@link state} has changed. Returns the function that removes it. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Changes the settings. `cut` breaks every connection and refuses new ones until it is false again. */
  set(change: Partial<RailState>): void {
    const before = this.#state
    this.#state = { ...before, ...change }
    const { cut, transport } = this.#state
    if (cut && !before.cut) for (const close of [...this.#open]) close()
    // The client tries again at once when the browser says that it is online.
    if (!cut && before.cut) dispatchEvent(new Event('online'))
    if (transport !== before.transport) this.client.switchTransport(transport)
    for (const listener of [...this.#listeners]) listener()
  }

  /** Sets what the buttons change back to what the rail begins with. */
  reset(): void {
    this.set({ cut: false, slow: false, transport: this.home })
  }

  /** Waits as a slow reader would, and counts the event. */
  readonly read = async (event: object): Promise<void> => {
    if (this.#state.slow) await new Promise(resolve => setTimeout(resolve, SLOW_MS))
    this.ledger.add(event as Counted)
    for (const waiter of [...this.#waiters]) this.#settle(waiter)
  }

  /** Resolves once the rail has delivered this many events of a run, or the run's last one. */
  reached(runId: string, seen: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = () => {
        this.#waiters.delete(waiter)
        signal.removeEventListener('abort', stop)
      }
      const stop = () => {
        end()
        reject(signal.reason)
      }
      const done = () => {
        end()
        resolve()
      }
      const waiter: Waiter = { runId, seen, done }
      if (signal.aborted) return reject(signal.reason)
      signal.addEventListener('abort', stop)
      this.#waiters.add(waiter)
      this.#settle(waiter)
    })
  }

  #settle({ runId, seen, done }: Waiter): void {
    const entry = this.ledger.of(runId)
    if (entry.seen >= seen || entry.ended) done()
  }

  /** Another tab may have the connection, or need this one's: a cut ends this tab's part in it. */
  #cuttable(stream: TransportStream): TransportStream {
    const owner = this
    return async function* (request) {
      if (owner.#state.cut) throw new ClientError('connection-lost', 'The line is cut')
      const connection = new AbortController()
      const close = () => connection.abort()
      owner.#open.add(close)
      request.signal.addEventListener('abort', close)
      try {
        yield* stream({
          ...request,
          fetch: (input, init) => fetch(input, init),
          signal: connection.signal,
        })
      } finally {
        owner.#open.delete(close)
        request.signal.removeEventListener('abort', close)
      }
    }
  }

  async #fetch(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
    if (this.#state.cut) throw new TypeError('The line is cut')
    const connection = new AbortController()
    const close = () => connection.abort(new TypeError('The line was cut'))
    this.#open.add(close)
    init.signal?.addEventListener('abort', () => {
      this.#open.delete(close)
      connection.abort(init.signal?.reason)
    })
    return fetch(input, { ...init, signal: connection.signal })
  }
}
