/** SSE: a subscription as an event stream. PROTOCOL.md, "SSE". */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { sseChunked, sseControl, ssePlain } from '../bus/encoding.ts'
import type { Subscription } from '../bus/subscription.ts'
import { type SubscriptionOptions, TwinrailError } from '../protocol/index.ts'
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
  const stream = new SseStream(context, request, reply)
  try {
    context.connections.mustBeOpen()
    await allowSubscription(context, request, sessionId, options)
    const subscription = await context.bus.subscribe({
      sessionId,
      options,
      rail: stream.rail,
      lag: { policy: options.lag, limits: lagLimits(options) },
      onTooSlow: () => stream.close(tooSlow()),
      onEnd: () => stream.end(),
    })
    if (subscription.pointless) {
      subscription.close()
      stream.forget()
      reply.code(204)
      void reply.send()
      return
    }
    await stream.open(options.heartbeatMs, subscription)
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
export function writeHead(reply: FastifyReply): void {
  const set = reply.getHeaders() as Record<string, string>
  const vary = set['vary'] ? `${sseHeaders.vary}, ${set['vary']}` : sseHeaders.vary
  reply.raw.writeHead(200, { ...set, ...sseHeaders, vary })
}

/** One event stream on one response. */
class SseStream implements Connection {
  readonly transport = 'sse'
  readonly rail: SocketRail
  readonly #context: TransportContext
  readonly #reply: FastifyReply
  readonly #request: FastifyRequest
  #subscription: Subscription<Buffer> | undefined
  #second: NodeJS.Timeout | undefined

  constructor(context: TransportContext, request: FastifyRequest, reply: FastifyReply) {
    this.#context = context
    this.#request = request
    this.#reply = reply
    const { raw } = request
    this.rail = new SocketRail(raw.socket, {
      encoding: raw.httpVersion === '1.1' ? sseChunked : ssePlain,
      heartbeats: context.heartbeats,
      heartbeatMs: context.heartbeatMs,
      stallMs: context.stallMs,
      ping: () => this.rail.control(ping()),
      onStalled: () => raw.socket.destroy(),
    })
  }

  /** Sends the head, the greeting and then the subscription's events. */
  async open(heartbeatMs: number, subscription: Subscription<Buffer>): Promise<void> {
    const { raw } = this.#reply
    this.#subscription = subscription
    this.#reply.hijack()
    raw.once('close', () => this.forget())
    if (raw.socket !== this.#request.raw.socket) await turnOf(raw)
    if (raw.destroyed || this.#request.raw.socket.destroyed) return this.forget()
    this.#context.connections.add(this)
    writeHead(this.#reply)
    raw.write(`retry: ${this.#context.retryMs}\n\n`)
    this.rail.beatEvery(heartbeatMs)
    this.rail.control(hello(heartbeatMs))
    this.#second = setTimeout(() => this.rail.control(ping()), SECOND_MESSAGE_MS)
    subscription.start()
  }

  /** Ends the response after what was written. */
  end(): void {
    this.forget()
    this.#reply.raw.end()
  }

  close(reason: TwinrailError): void {
    const retryMs = reason.retryAfterMs ?? this.#context.retryMs
    this.forget()
    this.#reply.raw.end(`retry: ${retryMs}\n\n${sseControl(closing(reason))}`)
  }

  /** Frees everything; nothing is written any more. */
  forget(): void {
    clearTimeout(this.#second)
    this.#subscription?.close()
    this.rail.close()
    this.#context.connections.remove(this)
  }
}

/**
 * Resolves when a pipelined response has its turn on the socket: its `socket` event, and one turn more, since within
 * the event its head is not out yet and raw bytes would land before it.
 */
function turnOf(raw: FastifyReply['raw']): Promise<void> {
  return new Promise(resolve => {
    const done = () => setImmediate(resolve)
    raw.once('socket', done)
    raw.once('close', done)
  })
}
