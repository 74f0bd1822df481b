/** Which transport to take: rules over what the application needs and what the environment allows. */
import type { Transport } from './rail.ts'

/** What the application will do; what is left out is taken for little. */
export interface Needs {
  /** Commands that one client sends per second. */
  upstreamPerSecond?: number | undefined
  /** Whether events or commands hold binary data. */
  binary?: boolean | undefined
  /** Sessions followed at the same time. */
  sessions?: number | undefined
}

/** What there is to work with. */
export interface Environment {
  webSocket: boolean
  /** Whether `fetch` gives the body as a stream. */
  streams: boolean
  /** Whether requests carry headers that a WebSocket of a page cannot send. */
  headers: boolean
  /** Requests at a time to one host; a page over HTTP/1.1 has six. */
  connections: number
}

export interface Choice {
  transport: Transport
  /** Why, a sentence each. */
  because: string[]
  /** What to try instead, in order. */
  fallback: Transport[]
}

/** A request in six stays free for commands and for the page itself. */
const SPARE_CONNECTIONS = 2

/** Commands per second above which a request for each costs more than a socket. */
const BUSY_UPSTREAM = 1

/** Decides by the first rule that applies; SSE unless something speaks for a WebSocket. */
export function chooseTransport(needs: Needs, environment: Environment): Choice {
  const { upstreamPerSecond = 0, binary = false, sessions = 1 } = needs
  const { webSocket, streams, headers, connections } = environment
  const because: string[] = []
  if (upstreamPerSecond > BUSY_UPSTREAM) {
    because.push(`${upstreamPerSecond} commands a second share one socket instead of a request each`)
  }
  if (binary) because.push('binary data wants frames, not lines of text')
  if (sessions > connections - SPARE_CONNECTIONS) {
    because.push(
      `${sessions} streams would take up the ${connections} connections that the page has to this host`,
    )
  }
  let order: Transport[] =
    because.length > 0 ? ['websocket', 'sse', 'long-poll'] : ['sse', 'websocket', 'long-poll']
  if (because.length === 0) because.push('answers flow one way: plain HTTP passes the most proxies')
  if (!webSocket || headers) {
    order = order.filter(transport => transport !== 'websocket')
    because.push(
      webSocket ? 'a page’s WebSocket cannot send the headers that auth gives' : 'there is no WebSocket here',
    )
  }
  if (!streams) {
    order = order.filter(transport => transport !== 'sse')
    because.push('fetch gives no streams here')
  }
  const [transport = 'long-poll', ...fallback] = order
  return { transport, because, fallback }
}

/** What this process or page offers. */
export function environmentOf(webSocket: boolean, headers: boolean): Environment {
  const page = typeof document !== 'undefined'
  const [navigation] = (page ? performance.getEntriesByType('navigation') : []) as {
    nextHopProtocol?: string
  }[]
  const multiplexed = /^h[23]/.test(navigation?.nextHopProtocol ?? '')
  return {
    webSocket,
    streams: typeof ReadableStream !== 'undefined',
    headers: page && headers,
    connections: page && !multiplexed ? 6 : Number.POSITIVE_INFINITY,
  }
}
