/** SSE: a subscription as an event stream. PROTOCOL.md, "SSE". */
import type { Http2ServerResponse } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { Hold } from '../auth/door.ts'
import { sseControl } from '../bus/encoding.ts'
import type { Subscription } from '../bus/subscription.ts'
import { startDeadline } from '../http/deadline.ts'
import { type ControlOf, type SubscriptionOptions, TwinrailError } from '../protocol/index.ts'
import type { Connection } from './connections.ts'
import {
  closing,
  createIfWanted,
  hello,
  lagLimits,
  newConnectionId,
  ping,
  retryOf,
  SECOND_MESSAGE_MS,
  subscribing,
  type TransportContext,
  tooSlow,
} from './context.ts'
import { SocketSink } from './socket-sink.ts'
import { type SseBody, sseBody } from './sse-body.ts'

/** Headers that prevent caching, compression by proxies, and buffering by nginx. */
const sseHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
  vary: 'Accept',
} as const

/** The request for an event stream. */
export interface SseRequest {
  sessionId: string
  options: SubscriptionOptions
  /** The `ack` of the `run.start` that this stream answers; it is sent after `hello`. */
  ack?: ControlOf<'ack'>
}

/**
 * Answers a request with the session's events. A refusal that lasts is a 4xx. One that passes is answered 200 with
 * `closing`, since an EventSource never comes back after another status; 204 says that nothing will come.
 * @throws TwinrailError a refusal that lasts
 */
export async function serveSse(
  context: TransportContext,
  reply: FastifyReply,
  { sessionId, options, ack }: SseRequest,
): Promise<void> {
  // An event stream buffers no more than its socket does.
  context.answers.park(reply.raw)
  const stream = new SseStream(context, reply, sseBody(reply.request, context.compression), ack)
  try {
    context.connections.mustBeOpen()
    stream.hold = await context.door.enter(
      reply.request,
      subscribing(options),
      sessionId,
      ['connections', 'subscriptions'],
      refusal => stream.lose(refusal),
    )
    await createIfWanted(context, reply.request, sessionId, options)
    const subscription = await context.bus.subscribe({
      sessionId,
      options,
      sink: stream.sink,
      connection: stream,
      lag: { policy: options.lag, limits: lagLimits(options) },
      onTooSlow: () => {
        context.onLost('sse', 'too-slow')
        stream.close(tooSlow())
      },
      onEnd: () => stream.end(),
    })
    if (subscription.isExhausted && !ack) {
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

/** Answers 200 with `retry` and `closing`, and ends the stream. It has one reader, so it uses fastify-sse-v2. */
function refuseForNow(context: TransportContext, reply: FastifyReply, reason: TwinrailError): void {
  reply.hijack()
  writeHead(reply)
  const control = closing(reason)
  reply.raw.write(`retry: ${reason.retryAfterMs ?? retryOf(context)}\n`)
  reply.sse(
    (async function* () {
      yield { event: control.type, data: JSON.stringify(control) }
    })(),
  )
}

/** Writes the stream's head. A hijacked reply sends no headers by itself, so those set by hooks (CORS) are copied. */
function writeHead(reply: FastifyReply, headers: Record<string, string> = {}): void {
  const set = reply.getHeaders() as Record<string, string>
  const vary = set['vary'] ? `${sseHeaders.vary}, ${set['vary']}` : sseHeaders.vary
  reply.raw.writeHead(200, { ...set, ...sseHeaders, ...headers, vary })
}

/** One event stream on one response. */
class SseStream<B> implements Connection {
  readonly transport = 'sse'
  readonly id = newConnectionId()
  readonly subscriptions = 1
  readonly sink: SocketSink<B>
  readonly #context: TransportContext
  readonly #reply: FastifyReply
  readonly #body: SseBody<B>
  readonly #ack: ControlOf<'ack'> | undefined
  /** The target of shared bytes: the connection's socket, or on HTTP/2 the stream, which adds the framing. */
  readonly #wire: Duplex
  /** The right to the stream. */
  hold: Hold | undefined
  /** Why the right was lost before the stream was open. */
  #lost: TwinrailError | undefined
  /** `hello` is sent. */
  #isOpen = false
  /** The subscription has begun to send. */
  #isStarted = false
  #subscription: Subscription<B> | undefined
  #second: NodeJS.Timeout | undefined

  constructor(
    context: TransportContext,
    reply: FastifyReply,
    body: SseBody<B>,
    ack: ControlOf<'ack'> | undefined,
  ) {
    this.#context = context
    this.#reply = reply
    this.#body = body
    this.#ack = ack
    this.#wire = streamOf(reply) ?? reply.request.raw.socket
    this.sink = new SocketSink<B>(this.#wire, {
      encoding: body.encoding,
      bytesOf: batch => body.bytesOf(batch),
      heartbeats: context.heartbeats,
      heartbeatMs: context.heartbeatMs,
      stallMs: context.stallMs,
      ping: () => this.#ping(),
      onStalled: () => this.#giveUp(),
    })
  }

  /** Sends the head, `hello` and then the subscription's events. */
  async open(heartbeatMs: number, subscription: Subscription<B>): Promise<void> {
    const { raw } = this.#reply
    const request = this.#reply.request.raw
    this.#subscription = subscription
    this.#reply.hijack()
    raw.once('close', () => this.forget())
    if (raw.destroyed || this.#wire.destroyed) return this.forget()
    // The server may have begun to stop during authorization and subscribing.
    this.#context.connections.mustBeOpen()
    this.#context.connections.add(this)
    writeHead(this.#reply, this.#body.headers)
    // In the block of `hello`: some clients hand a block of its own over as a message without data.
    const handedOver = await this.#handOver(this.#body.first(`retry: ${retryOf(this.#context)}\n`))
    if (!handedOver || this.sink.closed) return this.forget()
    if (!streamOf(this.#reply) && this.#context.door.isOpen) {
      // The request's headers are not needed any more; a browser's take 1.5 KiB per open stream.
      request.rawHeaders.length = 0
      request.headers = {}
    }
    this.sink.beatEvery(heartbeatMs)
    this.sink.control(hello(this.id, heartbeatMs, (this.hold as Hold).principal))
    if (this.#ack) this.sink.control(this.#ack)
    this.#second = setTimeout(() => {
      // A timer that has ended is still memory.
      this.#second = undefined
      this.sink.control(ping())
    }, SECOND_MESSAGE_MS)
    this.#isOpen = true
    if (this.#lost) return this.lose(this.#lost)
    this.#isStarted = true
    subscription.start()
  }

  /**
   * Writes the body's first bytes through the response. Resolves with true once Node has handed the head and these
   * bytes to the socket: only then may shared bytes be written to the socket itself. Node releases differ in when they
   * do it (20 and 22 within `write`, 24 and 26 later), and a pipelined response waits for the responses before it.
   * Resolves with false when the connection is gone.
   */
  #handOver(first: string | Buffer): Promise<boolean> {
    const { raw } = this.#reply
    const wire = this.#wire
    return new Promise(resolve => {
      let stopDeadline = () => {}
      const settle = (handedOver: boolean) => {
        stopDeadline()
        wire.off('close', onClose)
        raw.off('socket', onTurn)
        resolve(handedOver)
      }
      // A pipelined response that has no socket yet emits no `close` of its own.
      const onClose = () => settle(false)
      const onTurn = () => {
        stopDeadline = startDeadline(this.#context.stallMs, () => this.#giveUp())
      }
      wire.once('close', onClose)
      raw.write(first, error => settle(!error))
      if (raw.socket) onTurn()
      else raw.once('socket', onTurn)
    })
  }

  #ping(): void {
    const { encoding } = this.#body
    this.sink.encoded(this.#context.heartbeats.ofTurn(encoding, () => encoding.control(ping())))
  }

  /** Cuts off a client that has not taken a write for `stallMs`. */
  #giveUp(): void {
    this.#context.onLost('sse', 'stalled')
    this.#wire.destroy()
  }

  /** The principal has lost the right to the stream. */
  lose(refusal: TwinrailError): void {
    if (!this.#isOpen) {
      this.#lost = refusal
      return
    }
    // With other credentials the client may go on.
    if (refusal.code === 'unauthorized') return this.close(refusal)
    const subscription = this.#subscription as Subscription<B>
    if (this.#isStarted) return subscription.end('forbidden')
    const { sessionId, run } = subscription
    const about = { sessionId, ...(run !== undefined && { runId: run }) }
    this.sink.control({ type: 'end', ...about, reason: 'forbidden' })
    this.end()
  }

  /** Ends the response after what was written. */
  end(): void {
    this.forget()
    this.#reply.raw.end(this.#body.last(''))
  }

  get principal(): string {
    return this.hold?.principal.id ?? ''
  }

  get sentBytes(): number {
    return this.sink.sentBytes
  }

  get waitingBytes(): number {
    return this.sink.waitingBytes
  }

  close(reason: TwinrailError): void {
    const retryMs = reason.retryAfterMs ?? retryOf(this.#context)
    this.forget()
    this.#reply.raw.end(this.#body.last(`retry: ${retryMs}\n${sseControl(closing(reason))}`))
    cutOff(this.#reply.raw, this.#context.stallMs)
  }

  /** Frees all resources. Later writes do nothing. */
  forget(): void {
    clearTimeout(this.#second)
    this.hold?.release()
    this.#subscription?.close()
    this.sink.close()
    this.#context.connections.remove(this)
  }
}

/** A response's own stream on an HTTP/2 connection, whose socket belongs to all of its streams. */
function streamOf({ raw }: FastifyReply): Duplex | undefined {
  return (raw as unknown as Partial<Http2ServerResponse>).stream
}

/**
 * Ends the connection of a client that does not read its farewell within `ms`: it may have stopped reading for good.
 */
function cutOff(raw: FastifyReply['raw'], ms: number): void {
  raw.once(
    'close',
    startDeadline(ms, () => raw.destroy(), { unref: true }),
  )
}
