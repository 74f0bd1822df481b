/** The client: one for each server, for any number of sessions. */
import { newId } from './command.ts'
import type { Backoff } from './connection/backoff.ts'
import type { Auth } from './connection/follow.ts'
import { Route } from './connection/route.ts'
import { SocketPool } from './connection/shared-socket.ts'
import { endpoint, type SocketConstructor } from './connection/transport.ts'
import { type ClientContext, request } from './context.ts'
import { ClientError } from './errors.ts'
import type { Schemas } from './events.ts'
import { type Choice, choose, type Needs, type Transport } from './guide.ts'
import { Quality } from './quality.ts'
import { Session } from './session.ts'

export interface ClientOptions {
  /** The server's address; in a page it may be relative. */
  url: string
  /** `auto` chooses by the application's needs and by which transports get through, and may change later. @default 'auto' */
  transport?: Transport | 'auto' | undefined
  /** What the application does, for `auto`. @default one session that mostly reads */
  needs?: Needs | undefined
  /** Headers for each request and connection; called every time, and once more after `unauthorized`. @default none */
  auth?: Auth | undefined
  /** @default the global one */
  fetch?: typeof fetch | undefined
  /**
   * Without one, `auto` never chooses `websocket`, and asking for it throws a TypeError.
   * @default the global one; Node 20 has none, pass that of the ws package
   */
  WebSocket?: SocketConstructor | undefined
  /** When to reconnect, and to repeat commands whose answer was lost. @default see {@link Backoff} */
  backoff?: Partial<Backoff> | undefined
}

export interface AgentInfo {
  name: string
  description: string
  /** JSON Schema of the agent's input. */
  input: unknown
}

/** Makes a client. It connects when it is first used. */
export function createClient(options: ClientOptions): Client {
  return new Client(options)
}

export class Client {
  readonly quality: Quality
  readonly #context: ClientContext
  readonly #close = new AbortController()
  readonly #options: ClientOptions
  #streams = 0

  constructor(options: ClientOptions) {
    const { url, auth } = options
    const WebSocket = options.WebSocket ?? (globalThis.WebSocket as SocketConstructor | undefined)
    this.#options = { ...options, WebSocket }
    const route = new Route(this.#choose(), endpoint(url, '').origin)
    this.quality = new Quality(route)
    this.#context = {
      environment: {
        url,
        fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
        auth: auth ?? (() => ({})),
        authRenewable: auth !== undefined,
        sockets: new SocketPool(url, WebSocket),
        route,
        backoff: options.backoff ?? {},
      },
      quality: this.quality,
      signal: this.#close.signal,
      streamOpened: () => this.#streamOpened(),
    }
  }

  /**
   * A handle on a session, which need not exist yet.
   * @param id @default a new random one
   * @param schemas of the application's own events, by type: they validate what is published and what arrives
   */
  session<S extends Schemas = Record<never, never>>(id: string = newId(), schemas?: S): Session<S> {
    return new Session<S>(this.#context, id, schemas ?? ({} as S))
  }

  /**
   * Lists the agents that runs can be started of.
   * @throws ClientError the server's refusal, `silent` or `connection-lost`; there is no second attempt
   */
  async agents(): Promise<AgentInfo[]> {
    return (await request<{ agents: AgentInfo[] }>(this.#context, 'agents')).agents
  }

  /** Moves all streams to another transport. Open streams lose no event and repeat none. */
  switchTransport(transport: Transport | 'auto'): void {
    this.#options.transport = transport
    this.#context.environment.route.change(this.#choose())
  }

  /** Ends all streams without an error, and rejects pending commands with `closed`. Runs go on. */
  close(): void {
    this.#close.abort(new ClientError('closed', 'The client was closed'))
    this.quality.close()
  }

  #choose(): Choice {
    const { transport = 'auto', needs, WebSocket, auth } = this.#options
    if (transport !== 'auto') return { transport, because: ['asked for'], fallback: [] }
    const sessions = Math.max(needs?.sessions ?? 1, this.#streams)
    return choose({ ...needs, sessions }, WebSocket !== undefined, auth !== undefined)
  }

  /** With more streams than planned, they move to one socket before they use up the page's connections. */
  #streamOpened(): () => void {
    this.#streams += 1
    const { route } = this.#context.environment
    if ((this.#options.transport ?? 'auto') === 'auto') {
      const choice = this.#choose()
      const [fallback] = route.choice.fallback
      if (choice.transport === 'websocket' && route.transport === 'sse' && fallback === 'websocket') {
        route.change(choice)
      }
    }
    return () => {
      this.#streams -= 1
    }
  }
}
