/** SSE: a subscription as an event stream. PROTOCOL.md, "SSE". */
import type { Http2ServerResponse } from 'node:http2'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { sseControl } from '../bus/encoding.ts'
import type { Subscription } from '../bus/subscription.ts'
import { type SubscriptionOptions, TwinrailError } from '../protocol/index.ts'
import { startTimer } from '../protocol/timers.ts'
import type { Connection } from './connections.ts'
import {
  allowSubscription,
  closing,
  hello,
  lagLimits,
  ping,
  SECOND_MESSAGE_MS,
  type TransportContext,
  tooSlow,
} from './context.ts'
import { SocketRail } from './socket-rail.ts'
import { type SseBody, sseBody } from './sse-body.ts'

/** Kept from caches, compressors and nginx's buffer. */
const sseHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
  vary: 'Accept',
} as const

/**
 * Answers a request with the session's events. What lasts is refused with a 4xx; what passes is answered 200 with
 * `closing`, since an EventSource never comes back after another status; 204 says that nothing will come.
 * @throws TwinrailError what lasts
 */
export async function serveSse(
  context: TransportContext,
  request: FastifyRequest,
  reply: FastifyReply,
  sessionId: string,
  options: SubscriptionOptions,
): Promise<void> {
  const body = sseBody(request, context.compression)
  return stream(context, request, reply, sessionId, options, body)
}

async function stream<B>(
  context: TransportContext,
  request: FastifyRequest,
  reply: FastifyReply,
  sessionId: string,
  options: SubscriptionOptions,
  body: SseBody<B>,
): Promise<void> {
  const stream = new SseStream(context, request, reply, body)
  try {
    context.connections.mustBeOpen()
    await allowSubscription(context, request, sessionId, options)
    const subscription = await context.bus.subscribe({
      sessionId,
      options,
      sink: stream.rail,
      lag: { policy: options.lag, limits: lagLimits(options) },
      onTooSlow: () => {
        context.onLost('sse', 'too-slow')
        stream.close(tooSlow())
      },
      onEnd: () => stream.end(),
    })
    if (subscription.isExhausted) {
      subscription.close()
      stream.forget()
      reply.code(204)
      void reply.send()
      return
    }
    await stream.open(options.heartbeatMs ?? context.heartbeatMs, subscription)
  } catch (error) {
    stream.forget()
    if (!(error instanceof TwinrailError && error.retryable)) throw error
    refuseForNow(context, reply, error)
  }
}

/** Answers 200 with `retry`, `closing` and the end. */
function refuseForNow(context: TransportContext, reply: FastifyReply, reason: TwinrailError): void {
  reply.hijack()
  writeHead(reply)
  const retryMs = reason.retryAfterMs ?? context.retryMs
  reply.raw.end(`retry: ${retryMs}\n\n${sseControl(closing(reason))}`)
}

/** Writes the stream's head. A hijacked reply sends nothing by itself, so what hooks have set (CORS) is copied. */
export function writeHead(reply: FastifyReply, headers: Record<string, string> = {}): void {
  const set = reply.getHeaders() as Record<string, string>
  const vary = set['vary'] ? `${sseHeaders.vary}, ${set['vary']}` : sseHeaders.vary
  reply.raw.writeHead(200, { ...set, ...sseHeaders, ...headers, vary })
}

/** One event stream on one response. */
class SseStream<B> implements Connection {
  readonly transport = 'sse'
  readonly subscriptions = 1
  readonly rail: SocketRail<B>
  readonly #context: TransportContext
  readonly #reply: FastifyReply
  readonly #body: SseBody<B>
  /** What shared bytes are written to: the connection's socket, or on HTTP/2 the stream, which frames by itself. */
  readonly #wire: Duplex
  #subscription: Subscription<B> | undefined
  #second: NodeJS.Timeout | undefined

  constructor(context: TransportContext, request: FastifyRequest, reply: FastifyReply, body: SseBody<B>) {
    this.#context = context
    this.#reply = reply
    this.#body = body
    this.#wire = streamOf(reply) ?? request.raw.socket
    this.rail = new SocketRail<B>(this.#wire, {
      encoding: body.encoding,
      bytesOf: batch => body.bytesOf(batch),
      heartbeats: context.heartbeats,
      heartbeatMs: context.heartbeatMs,
      stallMs: context.stallMs,
      ping: () => this.rail.control(ping()),
      onStalled: () => {
        context.onLost('sse', 'stalled')
        this.#wire.destroy()
      },
    })
  }

  /** Sends the head, the greeting and then the subscription's events. */
  async open(heartbeatMs: number, subscription: Subscription<B>): Promise<void> {
    const { raw } = this.#reply
    const request = this.#reply.request.raw
    this.#subscription = subscription
    this.#reply.hijack()
    raw.once('close', () => this.forget())
    if (!streamOf(this.#reply) && raw.socket !== this.#wire) await turnOf(raw, request.socket)
    if (raw.destroyed || this.#wire.destroyed) return this.forget()
    // Being let in, or waiting for its turn, may have taken until the server stops.
    this.#context.connections.mustBeOpen()
    this.#context.connections.add(this)
    writeHead(this.#reply, this.#body.headers)
    raw.write(this.#body.first(`retry: ${this.#context.retryMs}\n\n`))
    if (!streamOf(this.#reply)) {
      // Nobody asks for the request's headers any more: 1.5 KiB for every open stream of a browser.
      request.rawHeaders.length = 0
      request.headers = {}
    }
    this.rail.beatEvery(heartbeatMs)
    this.rail.control(hello(heartbeatMs))
    this.#second = setTimeout(() => this.rail.control(ping()), SECOND_MESSAGE_MS)
    subscription.start()
  }

  /** Ends the response after what was written. */
  end(): void {
    this.forget()
    this.#reply.raw.end(this.#body.last(''))
  }

  get waitingBytes(): number {
    return this.rail.waitingBytes
  }

  close(reason: TwinrailError): void {
    const retryMs = reason.retryAfterMs ?? this.#context.retryMs
    this.forget()
    this.#reply.raw.end(this.#body.last(`retry: ${retryMs}\n\n${sseControl(closing(reason))}`))
    cutOff(this.#reply.raw, this.#context.stallMs)
  }

  /** Frees everything; nothing is written any more. */
  forget(): void {
    clearTimeout(this.#second)
    this.#subscription?.close()
    this.rail.close()
    this.#context.connections.remove(this)
  }
}

/** A response's own stream on an HTTP/2 connection, whose socket belongs to all of its streams. */
function streamOf({ raw }: FastifyReply): Duplex | undefined {
  return (raw as unknown as Partial<Http2ServerResponse>).stream
}

/** Ends the connection of a client that does not read its farewell within `ms`: it may have stopped reading for good. */
export function cutOff(raw: FastifyReply['raw'], ms: number): void {
  raw.once(
    'close',
    startTimer(ms, () => raw.destroy(), { unref: true }),
  )
}

/**
 * Resolves when a pipelined response has its turn on the socket: its `socket` event, and one turn more, since within
 * the event its head is not out yet and raw bytes would land before it.
 */
function turnOf(raw: FastifyReply['raw'], socket: Socket): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      socket.off('close', done)
      setImmediate(resolve)
    }
    raw.once('socket', done)
    // A response that has no socket yet is never told that it is closed.
    socket.once('close', done)
  })
}
