/** A `run.start` that is answered with its run's stream. PROTOCOL.md, "Commands over HTTP". */

import type { FastifyReply } from 'fastify'
import type { EventMessage } from 'fastify-sse-v2'
import type { Message } from '../bus/encoding.ts'
import { type PulledSubscription, pull } from '../bus/iterate.ts'
import type { Control, ControlOf, SubscriptionOptions, TwinrailError } from '../protocol/index.ts'
import type { Connection } from './connections.ts'
import {
  closing,
  connectionOf,
  hello,
  lagLimits,
  ping,
  SECOND_MESSAGE_MS,
  type TransportContext,
  tooSlow,
} from './context.ts'
import type { Beating } from './heartbeat.ts'
import { cutOff, writeHead } from './sse.ts'

/**
 * Streams `hello`, the `ack` and then the run's events to the one who started it. One reader's own stream: it goes
 * through fastify-sse-v2, which pulls only as fast as the client reads.
 */
export async function serveRunStream(
  context: TransportContext,
  reply: FastifyReply,
  sessionId: string,
  options: SubscriptionOptions,
  ack: ControlOf<'ack'>,
): Promise<void> {
  const pulled = await pull(context.bus, {
    sessionId,
    options,
    lag: { policy: options.lag, limits: lagLimits(options) },
    onTooSlow() {
      context.onLost('sse', 'too-slow')
      stream.close(tooSlow())
    },
  })
  reply.hijack()
  // A client that has left meanwhile tells so no more.
  if (connectionOf(reply).destroyed) return pulled.close()
  writeHead(reply)
  reply.raw.write(`retry: ${context.retryMs}\n\n`)
  const stream = new RunStream(context, reply, pulled, options.heartbeatMs ?? context.heartbeatMs)
  reply.sse(stream.messages(ack))
}

class RunStream implements Connection, Beating {
  readonly transport = 'sse'
  readonly subscriptions = 1
  readonly heartbeatMs: number
  wroteAt: number
  readonly #context: TransportContext
  readonly #reply: FastifyReply
  readonly #pulled: PulledSubscription
  readonly #second: NodeJS.Timeout
  #farewell: Control | undefined
  /** When a beat first found messages that nobody takes, on the wheel's clock. */
  #stuckSince = 0

  constructor(
    context: TransportContext,
    reply: FastifyReply,
    pulled: PulledSubscription,
    heartbeatMs: number,
  ) {
    this.#context = context
    this.#reply = reply
    this.#pulled = pulled
    this.heartbeatMs = heartbeatMs
    this.wroteAt = context.heartbeats.now()
    context.heartbeats.add(this)
    context.connections.add(this)
    this.#second = setTimeout(() => this.beat(), SECOND_MESSAGE_MS)
    connectionOf(reply).once('close', () => this.#forget())
  }

  beat(): void {
    if (this.#pulled.ready()) return this.#pulled.inject({ control: ping() })
    const now = this.#context.heartbeats.now()
    if (this.#stuckSince <= this.wroteAt) this.#stuckSince = now
    else if (now - this.#stuckSince >= this.#context.stallMs) {
      this.#context.onLost('sse', 'stalled')
      this.#reply.raw.destroy()
    }
  }

  get waitingBytes(): number {
    return this.#reply.raw.writableLength
  }

  close(reason: TwinrailError): void {
    this.#farewell = closing(reason)
    this.#pulled.close()
    cutOff(this.#reply.raw, this.#context.stallMs)
  }

  async *messages(ack: ControlOf<'ack'>): AsyncGenerator<EventMessage> {
    try {
      yield sse({ control: hello(this.heartbeatMs) })
      yield sse({ control: ack })
      for await (const message of this.#pulled.messages()) {
        this.wroteAt = this.#context.heartbeats.now()
        yield sse(message)
      }
      if (this.#farewell) yield sse({ control: this.#farewell })
    } finally {
      this.#forget()
    }
  }

  #forget(): void {
    clearTimeout(this.#second)
    this.#context.heartbeats.remove(this)
    this.#context.connections.remove(this)
    this.#pulled.close()
  }
}

function sse(message: Message): EventMessage {
  if ('event' in message) {
    const { offset, json } = message.event
    return { ...(offset !== undefined && { id: offset }), data: json }
  }
  const { control } = message
  const id = control.type === 'caught-up' ? { id: control.offset } : {}
  return { ...id, event: control.type, data: JSON.stringify(control) }
}
