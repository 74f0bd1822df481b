/** The server as the page sees it: its client, and the requests of the inspector's own API. */
import type { TwinrailEvent } from '../../src/protocol/index.ts'
import { type Client, ClientError, createClient } from '../index.ts'

/** The address of the server: one above that of the page. It may be below a prefix. */
const baseUrl = new URL('..', location.href).href.replace(/\/$/, '')

/** The answer of `GET /v1/inspect`. */
export interface ServerFigures {
  nodeId: string
  time: number
  startedAt: number
  log: { driver: string; bytes?: number; maxBytes?: number }
  connections: Record<string, number>
  subscriptions: number
  lagging: number
  liveSessions: number
  openRuns: number
  appended: { events: number; bytes: number }
  delivered: { events: number; bytes: number }
  memory: { rss: number; heapUsed: number; external: number }
}

export interface Subscriber {
  subscriptionId: string
  connectionId: string
  transport: string
  principal: string
  since: number
  runId?: string
  lag: string
  replay: string
  cursor: string
  lagEvents: number
  lagBytes: number
  waitingBytes: number
  state: 'opening' | 'live' | 'catching-up' | 'folded' | 'paused' | 'stalled' | 'waiting'
}

export interface SubscriberPage {
  nodeId: string
  head: string
  subscribers: Subscriber[]
  total: number
  next?: string
}

/** What a search asks for. */
export interface Wanted {
  type?: string | undefined
  run?: string | undefined
  text?: string | undefined
}

export interface Found {
  events: TwinrailEvent[]
  looked: number
  next?: string
}

export interface Ended {
  nodeId: string
  ended: boolean
}

export class Api {
  readonly client: Client
  readonly #token: string | undefined

  /** @param token none on a server without authorization */
  constructor(token: string | undefined) {
    this.#token = token
    this.client = createClient({ url: baseUrl, ...(token !== undefined && { auth: () => token }) })
  }

  server(signal: AbortSignal): Promise<ServerFigures> {
    return this.#json('', {}, { signal })
  }

  subscribers(sessionId: string, after: string | undefined, signal: AbortSignal): Promise<SubscriberPage> {
    return this.#json(
      `/sessions/${encodeURIComponent(sessionId)}/subscribers`,
      { after, limit: '50' },
      { signal },
    )
  }

  search(sessionId: string, wanted: Wanted, before: string | undefined, signal: AbortSignal): Promise<Found> {
    return this.#json(`/sessions/${encodeURIComponent(sessionId)}/search`, { ...wanted, before }, { signal })
  }

  end(sessionId: string, subscriptionId: string): Promise<Ended> {
    const path = `/sessions/${encodeURIComponent(sessionId)}/subscribers/${subscriptionId}`
    return this.#json(path, {}, { method: 'DELETE' })
  }

  close(connectionId: string): Promise<Ended> {
    return this.#json(`/connections/${connectionId}`, {}, { method: 'DELETE' })
  }

  /** The session as a file. */
  export(sessionId: string): Promise<Response> {
    return this.#request(`/sessions/${encodeURIComponent(sessionId)}/export`, {}, {})
  }

  async #json<T>(path: string, query: Record<string, string | undefined>, init: RequestInit): Promise<T> {
    return (await (await this.#request(path, query, init)).json()) as T
  }

  /** @throws ClientError the refusal, or that the server was not reached */
  async #request(
    path: string,
    query: Record<string, string | undefined>,
    init: RequestInit,
  ): Promise<Response> {
    const url = new URL(`${baseUrl}/v1/inspect${path}`)
    for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value)
    let response: Response
    try {
      response = await fetch(url, {
        ...init,
        ...(this.#token !== undefined && { headers: { authorization: `Bearer ${this.#token}` } }),
      })
    } catch (error) {
      init.signal?.throwIfAborted()
      throw new ClientError('connection-lost', `The server was not reached: ${(error as Error).message}`)
    }
    if (response.ok) return response
    const { error } = (await response.json().catch(() => ({}))) as {
      error?: { code: string; message: string }
    }
    throw new ClientError(
      (error?.code ?? 'internal') as ClientError['code'],
      error?.message ?? `The server answered ${response.status}`,
    )
  }
}

/** What an error says to the operator. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
