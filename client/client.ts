/** The client: one for a server, for as many sessions as one likes. */
import type { Backoff } from './backoff.ts'
import { type Choice, choose, type Needs } from './choice.ts'
import { newId } from './command.ts'
import { ClientError, errorOfResponse } from './errors.ts'
import type { Auth, Surroundings } from './follow.ts'
import { LinkedAbortController } from './linked-abort.ts'
import { Quality } from './quality.ts'
import { endpoint, type SocketConstructor, type Transport } from './rail.ts'
import { Route } from './route.ts'
import type { Schemas } from './schemas.ts'
import { Session } from './session.ts'
import { Sockets } from './sockets.ts'
import { ANSWER_MS, Watchdog } from './watchdog.ts'

export interface ClientOptions {
  /** Where the server is; in a page it may be relative. */
  url: string
  /** `auto` chooses by what is needed and what gets through, and changes its mind when it must. @default 'auto' */
  transport?: Transport | 'auto' | undefined
  /** What the application will do, for `auto`. */
  needs?: Needs | undefined
  /** Headers for each request and connection, made anew every time; asked once more after `unauthorized`. */
  auth?: Auth | undefined
  /** @default the global one */
  fetch?: typeof fetch | undefined
  /** @default the global one, if there is one; in Node 20 pass that of the ws package */
  WebSocket?: SocketConstructor | undefined
  /** How to come back when a connection is lost. */
  backoff?: Partial<Backoff> | undefined
}

export interface AgentInfo {
  name: string
  description: string
  /** JSON Schema of its input. */
  input: unknown
}

/** Makes a client; it connects when it is used. */
export function createClient(options: ClientOptions): Client {
  return new Client(options)
}

export class Client {
  readonly quality: Quality
  /** Aborts when the client is closed. @internal */
  readonly signal: AbortSignal
  /** @internal */
  readonly surroundings: Surroundings
  readonly #close = new AbortController()
  readonly #options: ClientOptions
  #streams = 0

  constructor(options: ClientOptions) {
    const { url, auth } = options
    const WebSocket = options.WebSocket ?? (globalThis.WebSocket as SocketConstructor | undefined)
    this.#options = { ...options, WebSocket }
    this.signal = this.#close.signal
    const route = new Route(this.#choose(), endpoint(url, '').origin)
    this.quality = new Quality(route)
    this.surroundings = {
      url,
      fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
      auth: auth ?? (() => ({})),
      renewable: auth !== undefined,
      sockets: new Sockets(url, WebSocket),
      route,
      backoff: options.backoff ?? {},
    }
  }

  /**
   * A handle on a session; it need not exist yet.
   * @param schemas of one's own events, by type: they check what is published and what comes
   */
  session<S extends Schemas = Record<never, never>>(id: string = newId(), schemas?: S): Session<S> {
    return new Session<S>(this, id, schemas ?? ({} as S))
  }

  /** The agents that runs can be started of. */
  async agents(): Promise<AgentInfo[]> {
    return (await this.request<{ agents: AgentInfo[] }>('agents')).agents
  }

  /** Moves all streams to another transport, in the middle of what they say: nothing is lost, nothing comes twice. */
  switchTransport(transport: Transport | 'auto'): void {
    this.#options.transport = transport
    this.surroundings.route.change(this.#choose())
  }

  /** Ends all streams, quietly, and forgets all commands on the way. Runs go on. */
  close(): void {
    this.#close.abort(new ClientError('closed', 'The client was closed'))
    this.quality.close()
  }

  /** Counts a stream; gives the way to leave. Many streams may speak for another transport. @internal */
  entered(): () => void {
    this.#streams += 1
    this.#reconsider()
    return () => {
      this.#streams -= 1
    }
  }

  /** Asks the server for JSON; with a body by POST. @internal */
  async request<T>(path: string, body?: unknown): Promise<T> {
    const { url, fetch, auth } = this.surroundings
    const watchdog = new Watchdog(undefined)
    const headers = { ...(await auth()), accept: 'application/json' }
    const init: RequestInit = body
      ? {
          method: 'POST',
          body: JSON.stringify(body),
          headers: { ...headers, 'content-type': 'application/json' },
        }
      : { headers }
    const connection = new LinkedAbortController(this.signal)
    try {
      const response = await watchdog.wait(
        fetch(endpoint(url, path), { ...init, signal: connection.signal }),
        ANSWER_MS,
      )
      if (!response.ok) throw await errorOfResponse(response)
      return (await watchdog.wait(response.json())) as T
    } finally {
      connection.abort()
    }
  }

  #choose(): Choice {
    const { transport = 'auto', needs, WebSocket, auth } = this.#options
    if (transport !== 'auto') return { transport, because: ['asked for'], fallback: [] }
    const sessions = Math.max(needs?.sessions ?? 1, this.#streams)
    return choose({ ...needs, sessions }, WebSocket !== undefined, auth !== undefined)
  }

  /** More streams than planned: they share a socket before they take up all connections that a page has. */
  #reconsider(): void {
    if ((this.#options.transport ?? 'auto') !== 'auto') return
    const { route } = this.surroundings
    const choice = this.#choose()
    if (
      choice.transport === 'websocket' &&
      route.transport === 'sse' &&
      route.choice.fallback[0] === 'websocket'
    ) {
      route.change(choice)
    }
  }
}
