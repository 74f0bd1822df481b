/** The client: one for each server, for any number of sessions. */
import { newId } from './command.ts'
import type { Backoff } from './connection/backoff.ts'
import type { Auth } from './connection/credentials.ts'
import type { Connect } from './connection/follow.ts'
import { credentialsOf } from './connection/load-credentials.ts'
import { Route } from './connection/route.ts'
import { SocketPool } from './connection/shared-socket.ts'
import { noteStream } from './connection/tab-streams.ts'
import { endpoint, type SocketConstructor } from './connection/transport.ts'
import { type ClientContext, type OpenStream, request } from './context.ts'
import { ClientError } from './errors.ts'
import type { Schemas } from './events.ts'
import { type Choice, choose, type Needs, type Transport } from './guide.ts'
import { Quality } from './quality.ts'
import { checkRuntime } from './runtime.ts'
import type { AnyServer, SchemasWith, ServerTypes, TypesOf } from './server-types.ts'
import { Session } from './session.ts'
import type { SessionsPage } from './session-summary.ts'

/** The options of {@link createClient}. */
export interface ClientOptions {
  /** The server's address, without `/v1`; in a page it may be relative. */
  url: string
  /**
   * The transport of all streams. `auto` chooses one by the application's needs and by which transports get through,
   * and may change it later.
   * @default 'auto'
   */
  transport?: Transport | 'auto' | undefined
  /** The application's needs; `auto` uses them. @default one session that mostly reads */
  needs?: Needs | undefined
  /**
   * Returns a token, a token with its expiry, or headers. The client calls it at the first use, before they expire, and
   * once more after a refusal; once for all streams and commands.
   * @default none; see `credentials` for cookies
   */
  auth?: Auth | undefined
  /**
   * Which requests carry cookies, as for `fetch`: `include` sends them to a server of another origin as well. That server
   * must list the page's origin (`--origin`), and its cookies must allow it (`SameSite`). A browser opens every WebSocket with
   * the cookies of its server; nothing can change that.
   * @default 'same-origin'
   */
  credentials?: 'omit' | 'same-origin' | 'include' | undefined
  /** The function that sends HTTP requests. @default the global `fetch` */
  fetch?: typeof fetch | undefined
  /**
   * The WebSocket constructor. Without one, `auto` never chooses `websocket`, and a stream with this transport throws a
   * TypeError.
   * @default the global one; Node 20 has none, so pass the one of the package `ws`
   */
  WebSocket?: SocketConstructor | undefined
  /** The waits before reconnects and before commands are sent again. @default see {@link Backoff} */
  backoff?: Partial<Backoff> | undefined
  /**
   * What opens the connections of streams: `sharedTabs()` of `twinrail-client/shared` shares them among all tabs of the
   * browser. @default each client has its own
   */
  connect?: Connect | undefined
}

/** What a ticket can be used for. All are optional. */
export interface TicketOptions {
  /** The only session. @default all that the credentials allow */
  sessionId?: string
  /** The only groups of rights. @default all of the credentials */
  allow?: ('read' | 'write' | 'produce' | 'manage' | 'admin' | 'subscribe:wait')[]
  /** How long it can be used, in ms, up to 60000. @default 30000 */
  ttlMs?: number
}

/** An agent of the server. */
export interface AgentInfo {
  /** The name in `run.start`. */
  name: string
  /** What the agent does, for people. */
  description: string
  /** JSON Schema of the agent's input. */
  input: unknown
}

/**
 * Creates a client of one server. It opens no connection before it is used. `createClient<typeof server>(…)` knows the
 * server's agents, their inputs and results, and the application's own events; a list of agents does as well. Without it
 * every name and input is accepted, and the server refuses what is wrong.
 * @throws TypeError when `url` is not a valid address, or when the runtime lacks what the client needs
 * @example
 * ```ts
 * import { createClient } from 'twinrail-client'
 *
 * const client = createClient({ url: 'http://127.0.0.1:8787' })
 * const run = client.session('demo').run('echo', { query: 'What is a cursor?' })
 * for await (const text of run.text) console.log(text)
 * console.log((await run.done).type)
 * client.close()
 * ```
 */
export function createClient<S = unknown>(options: ClientOptions): Client<TypesOf<S>> {
  return new Client(options)
}

/** The origin of a server, by which networks are judged. A page's relative URL has none while a server renders it. */
function originOf(url: string): string {
  const relative = !('location' in globalThis) && /^\.{0,2}\//.test(url)
  return relative ? url : endpoint(url, '').origin
}

/**
 * A client of one server, for any number of sessions. Close it when it is no longer needed. `T` is what is known of the
 * server.
 */
export class Client<T extends ServerTypes = AnyServer> {
  /** Measurements over all streams and commands of this client. */
  readonly quality: Quality
  readonly #context: ClientContext
  readonly #close = new AbortController()
  readonly #options: ClientOptions
  readonly #listeners = new Set<() => void>()
  readonly #streams = new Set<OpenStream>()

  constructor(options: ClientOptions) {
    const { url, fetch, credentials } = options
    checkRuntime(fetch ?? globalThis.fetch)
    const WebSocket = options.WebSocket ?? (globalThis.WebSocket as SocketConstructor | undefined)
    this.#options = { ...options, WebSocket }
    const route = new Route(this.#choose(), originOf(url))
    this.quality = new Quality(route)
    this.#context = {
      environment: {
        url,
        fetch: (input, init) =>
          (fetch ?? globalThis.fetch)(input, credentials ? { ...init, credentials } : init),
        credentials: credentialsOf(options.auth),
        sockets: new SocketPool(url, WebSocket),
        route,
        backoff: options.backoff ?? {},
        connect: options.connect,
      },
      quality: this.quality,
      signal: this.#close.signal,
      streams: this.#streams,
      streamOpened: stream => this.#streamOpened(stream),
      streamListeners: new Set(),
      sessionsChanged: () => {
        for (const listener of this.#listeners) listener()
      },
    }
  }

  /**
   * Returns a handle on a session. Sends no request; the session need not exist yet.
   * @param id the session's id; by default a new one of 128 random bits
   * @param schemas schemas of the application's own events, by type. They validate events that are published and
   * received.
   */
  session<S extends Schemas = Record<never, never>>(
    id: string = newId(),
    schemas?: S,
  ): Session<SchemasWith<T, S>, T['agents']> {
    return new Session(this.#context, id, (schemas ?? {}) as SchemasWith<T, S>)
  }

  /**
   * Resolves with the agents of the server.
   * @throws ClientError the server's refusal, `silent` or `connection-lost`; the request is not repeated
   */
  async agents(): Promise<AgentInfo[]> {
    return (await request<{ agents: AgentInfo[] }>(this.#context, 'agents')).agents
  }

  /**
   * Resolves with a single-use ticket for a connection that the application opens itself, such as
   * `new EventSource('…/events?ticket=' + ticket)`. `expiresAt` is in ms since 1970, by the server's clock.
   * @throws ClientError the server's refusal, such as `conflict` of a server that needs no tickets; `silent` or
   * `connection-lost`; the request is not repeated
   */
  async ticket(options: TicketOptions = {}): Promise<{ ticket: string; expiresAt: number }> {
    return request(this.#context, 'tickets', { body: options })
  }

  /**
   * Resolves with a page of the sessions that the principal may read, the last active ones first. For a list that stays
   * current there is `sessionList(client)` in `twinrail-client/view`, and `useSessions(client)` in React.
   * @param options `after`: the `next` of the page before; `limit`: sessions per page, from 1 to 1000, default 100
   * @throws ClientError the server's refusal, `silent` or `connection-lost`; the request is not repeated
   */
  async sessions(
    options: { after?: string | undefined; limit?: number | undefined } = {},
  ): Promise<SessionsPage> {
    return request(this.#context, 'sessions', { query: options })
  }

  /**
   * Calls `listener` after this client has created, updated or deleted a session. Returns the function that removes it.
   */
  onSessionsChanged(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Moves all streams to another transport. Open streams lose no event and repeat none. Returns before they have moved.
   */
  switchTransport(transport: Transport | 'auto'): void {
    this.#options.transport = transport
    this.#context.environment.route.change(this.#choose())
  }

  /**
   * Ends all streams without an error, and rejects pending commands with the code `closed`. Runs continue on the
   * server.
   */
  close(): void {
    this.#close.abort(new ClientError('closed', 'The client was closed'))
    this.quality.close()
  }

  /** @param streams the streams that all tabs have to this server, as far as is known */
  #choose(streams = this.#streams.size): Choice {
    const { transport = 'auto', needs, WebSocket } = this.#options
    if (transport !== 'auto') return { transport, because: ['asked for'], fallback: [] }
    const sessions = Math.max(needs?.sessions ?? 1, streams)
    return choose({ ...needs, sessions }, WebSocket !== undefined)
  }

  /** Moves all streams to one socket before the tabs use up the browser's connections to the server. */
  #streamOpened(stream: OpenStream): () => void {
    this.#streams.add(stream)
    const { route, connect, url } = this.#context.environment
    /** Returns whether the streams are requests; those on a socket use none of the browser's six connections. */
    const consider = (streams: number): boolean => {
      if (route.transport === 'sse' && route.choice.fallback[0] === 'websocket') {
        const choice = this.#choose(streams)
        if (choice.transport === 'websocket') route.change(choice)
      }
      return route.transport !== 'websocket'
    }
    // Tabs that share their connections bound them together.
    const release = consider(this.#streams.size) && !connect && noteStream(url, consider)
    return () => {
      this.#streams.delete(stream)
      if (release) release()
    }
  }
}
