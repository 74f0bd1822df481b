/** A `run.start` that is answered with its run's stream. PROTOCOL.md, "Commands over HTTP". */

import type { FastifyReply } from 'fastify'
import type { EventMessage } from 'fastify-sse-v2'
import type { Message } from '../bus/encoding.ts'
import { type PulledSubscription, pull } from '../bus/iterate.ts'
import type { Control, ControlOf, SubscriptionOptions, TwinrailError } from '../protocol/index.ts'
import type { Connection } from './connections.ts'
import { closing, hello, ping, SECOND_MESSAGE_MS, type TransportContext } from './context.ts'
import type { Beating } from './heartbeat.ts'
import { writeHead } from './sse.ts'

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
  const pulled = await pull(context.bus, { sessionId, options })
  reply.hijack()
  writeHead(reply)
  reply.raw.write(`retry: ${context.retryMs}\n\n`)
  const stream = new RunStream(context, reply, pulled, options.heartbeatMs)
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
    reply.raw.once('close', () => this.#forget())
  }

  beat(): void {
    this.#pulled.inject({ control: ping() })
  }

  get waitingBytes(): number {
    return this.#reply.raw.writableLength
  }

  close(reason: TwinrailError): void {
    this.#farewell = closing(reason)
    this.#pulled.close()
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
