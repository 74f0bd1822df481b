/** One probe per transport: each opens a connection to the doctor's session and records what arrives on it, and when. */
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { constants, createBrotliDecompress, createUnzip } from 'node:zlib'
import { createParser } from 'eventsource-parser'
import { WebSocket } from 'ws'
import { endpoint } from '../../../client/index.ts'
import {
  ANSWER_TIMEOUT_MS,
  describeError,
  fetchResponse,
  type HttpRequest,
  now,
  openResponse,
  parseJson,
  type Refusal,
  readBody,
  refusalOf,
} from './http.ts'

/** Most messages of one connection. The session is the doctor's own, so more of them means that something is wrong. */
const MAX_MESSAGES = 1000

/** Most characters of one unfinished SSE event. */
const MAX_EVENT_CHARS = 64 * 1024

/** Most bytes of one WebSocket message. */
const MAX_MESSAGE_BYTES = 256 * 1024

/** Round trips that are measured on a WebSocket. */
const ROUND_TRIPS = 5

/** The encodings that browsers accept, so that a proxy which compresses for them compresses here as well. */
const BROWSER_ENCODINGS = 'gzip, deflate, br'

/** A message that carries the server's time. */
export interface ReceivedMessage {
  type: string
  offset?: string
  /** By the server's clock, ms since 1970. */
  sentAt: number
  /** By this machine's clock, ms since 1970. */
  receivedAt: number
}

interface Message {
  type: string
  offset?: string
  time?: number
  serverTime?: number
  heartbeatMs?: number
  code?: string
  reason?: string
  message?: string
}

/** What happened on one connection. */
export class ConnectionTrace {
  readonly startedAt = now()
  /** Whether the server accepted, so that messages may arrive. */
  opened = false
  /** Headers of the response. */
  headers: Record<string, string | string[] | undefined> = {}
  /** A response other than the one that was asked for. */
  refusal: Refusal | undefined
  /** Why there was no response, or which error ended the connection. */
  failure: string | undefined
  readonly messages: ReceivedMessage[] = []
  /** The server's heartbeat interval, from its `hello`. */
  heartbeatMs: number | undefined
  lastByteAt = this.startedAt
  /** When the other side closed the connection although the stream was not over. */
  disconnectedAt: number | undefined
  /** Resolves with the first message, or when there will be none. */
  readonly firstMessage: Promise<void>
  /** Resolves when the connection is closed by either side. */
  readonly closed: Promise<void>
  #resolveFirst = () => {}
  #resolveClosed = () => {}
  #ended = false

  constructor() {
    this.firstMessage = new Promise(resolve => {
      this.#resolveFirst = resolve
    })
    this.closed = new Promise(resolve => {
      this.#resolveClosed = resolve
    })
  }

  /** Offsets of the events that arrived, in their order. */
  get offsets(): string[] {
    return this.messages.flatMap(({ offset }) => offset ?? [])
  }

  /** Records one message. @throws Error when it does not follow the protocol, or is one too many */
  record(json: string, receivedAt: number): Message {
    const message = JSON.parse(json) as Message
    if (typeof message?.type !== 'string') throw new Error('a message does not follow the protocol')
    if (this.messages.length >= MAX_MESSAGES) throw new Error(`more than ${MAX_MESSAGES} messages arrived`)
    const { type, offset, heartbeatMs } = message
    if (type === 'hello') this.heartbeatMs = heartbeatMs
    if (type === 'end' || type === 'closing') this.#ended = true
    if (type === 'closing' || type === 'nack') {
      this.failure ??= `the server refuses (${message.code}): ${message.reason ?? message.message}`
    }
    const sentAt = message.serverTime ?? message.time
    // `caught-up` has an offset as well, that of an earlier event.
    const event = type.includes('.') && offset !== undefined ? { offset } : {}
    if (sentAt !== undefined) this.messages.push({ type, ...event, sentAt, receivedAt })
    this.#resolveFirst()
    return message
  }

  /** The other side closed the connection. */
  closedByPeer(): void {
    if (!this.#ended && !this.refusal && !this.failure) this.disconnectedAt ??= now()
    this.finish()
  }

  /** Nothing more will arrive. */
  finish(): void {
    this.#resolveFirst()
    this.#resolveClosed()
  }
}

/** Opens an event stream, by GET or POST, and records it until it ends or `request.signal` aborts. */
export function probeSse(request: HttpRequest): ConnectionTrace {
  const trace = new ConnectionTrace()
  readEventStream(request, trace).catch(error => {
    if (!request.signal.aborted) recordSseError(trace, error)
    trace.finish()
  })
  return trace
}

/** An error before the response's head is a failure; after it, something closed the stream. */
function recordSseError(trace: ConnectionTrace, error: Error): void {
  const { code } = error as NodeJS.ErrnoException
  if (trace.opened && (code === 'ECONNRESET' || code === 'Z_BUF_ERROR')) trace.closedByPeer()
  else trace.failure = describeError(error)
}

async function readEventStream(request: HttpRequest, trace: ConnectionTrace): Promise<void> {
  const headers = { 'accept-encoding': BROWSER_ENCODINGS, ...request.headers, accept: 'text/event-stream' }
  const response = await openResponse({ ...request, headers })
  trace.headers = response.headers
  if (response.statusCode !== 200 || !/^text\/event-stream\b/i.test(response.headers['content-type'] ?? '')) {
    const text = await readBody(response)
    trace.refusal = refusalOf({ status: response.statusCode ?? 0, headers: response.headers, text })
    return trace.finish()
  }
  trace.opened = true
  response.on('data', () => {
    trace.lastByteAt = now()
  })
  let receivedAt = 0
  const parser = createParser({
    maxBufferSize: MAX_EVENT_CHARS,
    onEvent: ({ data }) => {
      trace.record(data, receivedAt)
    },
    onError: error => {
      if (error.type === 'max-buffer-size-exceeded') throw error
    },
  })
  const decoder = new TextDecoder()
  for await (const piece of decompressed(response) as AsyncIterable<Buffer>) {
    receivedAt = now()
    parser.feed(decoder.decode(piece, { stream: true }))
  }
  trace.closedByPeer()
}

/** The body without its content encoding, each piece as soon as it can be decoded. */
function decompressed(response: IncomingMessage): Readable {
  const encoding = response.headers['content-encoding']?.toLowerCase() ?? 'identity'
  if (encoding === 'identity') return response
  const decoder =
    encoding === 'br'
      ? createBrotliDecompress({ flush: constants.BROTLI_OPERATION_FLUSH })
      : createUnzip({ flush: constants.Z_SYNC_FLUSH })
  response.on('error', error => decoder.destroy(error))
  return response.pipe(decoder)
}

export class WebSocketTrace extends ConnectionTrace {
  readonly roundTripsMs: number[] = []
  /** Whether permessage-deflate was negotiated. */
  deflated = false
}

/** Opens a WebSocket, subscribes, measures round trips, and records it until it closes or `signal` aborts. */
export function probeWebSocket(
  url: string,
  sessionId: string,
  headers: Record<string, string>,
  signal: AbortSignal,
): WebSocketTrace {
  const trace = new WebSocketTrace()
  const address = endpoint(url, 'ws')
  address.protocol = address.protocol.replace('http', 'ws')
  const socket = new WebSocket(address, ['twinrail.v1'], {
    headers,
    handshakeTimeout: ANSWER_TIMEOUT_MS,
    maxPayload: MAX_MESSAGE_BYTES,
  })
  const terminate = () => socket.terminate()
  signal.addEventListener('abort', terminate)
  const send = (command: object) => socket.send(JSON.stringify(command))
  const ping = () => send({ type: 'ping', time: now() })

  socket.on('upgrade', response => {
    trace.opened = true
    trace.headers = response.headers
    trace.deflated = /permessage-deflate/i.test(response.headers['sec-websocket-extensions'] ?? '')
    // A listener that is added before ws adds its own would take the bytes that came with the head away from ws.
    socket.once('open', () => {
      response.socket.on('data', () => {
        trace.lastByteAt = now()
      })
    })
  })
  socket.on('unexpected-response', (request, response) => {
    readBody(response)
      .catch(() => '') // the status is enough
      .then(text => {
        trace.headers = response.headers
        trace.refusal = refusalOf({ status: response.statusCode ?? 0, headers: response.headers, text })
        trace.finish()
        request.destroy()
      })
  })
  socket.on('message', data => {
    const receivedAt = now()
    try {
      for (const json of String(data).split('\n')) {
        const message = trace.record(json, receivedAt)
        if (message.type === 'hello') {
          send({ id: '1', type: 'subscribe', sessionId })
          ping()
        } else if (message.type === 'pong') {
          trace.roundTripsMs.push(receivedAt - message.time!)
          if (trace.roundTripsMs.length < ROUND_TRIPS) ping()
        }
      }
    } catch (error) {
      trace.failure = (error as Error).message
      socket.terminate()
    }
  })
  socket.on('error', error => {
    const greeted = trace.messages.some(({ type }) => type === 'hello')
    if (!greeted && !signal.aborted) trace.failure ??= describeError(error)
  })
  socket.on('close', () => {
    signal.removeEventListener('abort', terminate)
    if (signal.aborted) trace.finish()
    else trace.closedByPeer()
  })
  return trace
}

interface Page {
  events: object[]
  controls: { type: string }[]
  next: string
}

export class LongPollTrace extends ConnectionTrace {
  /** Duration of the longest poll without an event, in ms. */
  heldMs = 0
}

/** Polls the session, each time for `waitMs`, until it ends or `signal` aborts. */
export function probeLongPoll(
  url: string,
  sessionId: string,
  waitMs: number,
  headers: Record<string, string>,
  signal: AbortSignal,
): LongPollTrace {
  const trace = new LongPollTrace()
  const address = (after: string | undefined) =>
    endpoint(url, `sessions/${sessionId}/events`, { after, wait: waitMs })
  poll(address, waitMs, { ...headers, accept: 'application/json' }, signal, trace)
    .catch(error => {
      if (signal.aborted) return
      if (trace.messages.length === 0 || error.code === 'ETIMEDOUT') trace.failure = describeError(error)
      else trace.closedByPeer()
    })
    .finally(() => trace.finish())
  return trace
}

async function poll(
  address: (after: string | undefined) => URL,
  waitMs: number,
  headers: Record<string, string>,
  signal: AbortSignal,
  trace: LongPollTrace,
): Promise<void> {
  for (let after: string | undefined; !signal.aborted; ) {
    const sentAt = now()
    trace.lastByteAt = sentAt
    const response = await fetchResponse({ url: address(after), headers, signal }, waitMs + ANSWER_TIMEOUT_MS)
    const page = parseJson(response) as Page | undefined
    trace.headers = response.headers
    if (response.status !== 200 || !Array.isArray(page?.events)) {
      // A 404 after events means that the session was deleted.
      if (response.status === 404 && trace.messages.length > 0) return
      trace.refusal = refusalOf(response)
      if (trace.messages.length > 0) trace.disconnectedAt = now()
      return
    }
    const receivedAt = now()
    for (const event of page.events) trace.record(JSON.stringify(event), receivedAt)
    if (page.events.length === 0) trace.heldMs = Math.max(trace.heldMs, receivedAt - sentAt)
    if (page.controls.some(({ type }) => type === 'end')) return
    // A proxy that answers with an empty page at once would be polled in a tight loop.
    if (page.events.length === 0 && receivedAt - sentAt < waitMs / 2) return
    after = page.next
  }
}
