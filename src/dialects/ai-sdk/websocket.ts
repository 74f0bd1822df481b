/** `WebSocketChatTransport` of the AI SDK 7: several chats on one WebSocket, each response a sequence of frames. */
import type { FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import { z } from 'zod'
import type { Hold } from '../../auth/door.ts'
import { check, limits, TwinrailError } from '../../protocol/index.ts'
import type { Connection } from '../../transports/connections.ts'
import { newConnectionId, type TransportContext } from '../../transports/context.ts'
import type { Beating } from '../../transports/heartbeat.ts'
import { RunFrames, type RunStream } from '../run-frames.ts'
import { ChatBody, type Segment } from './conversation.ts'

const RequestId = z.string().min(1).max(256)
const Message = z.discriminatedUnion('type', [
  z.looseObject({
    type: z.literal('send'),
    requestId: RequestId,
    id: z.string().min(1).max(1000),
    body: z.record(z.string(), z.unknown()).nullish(),
  }),
  z.looseObject({ type: z.literal('resume'), requestId: RequestId, id: z.string().min(1).max(1000) }),
  z.looseObject({ type: z.literal('abort'), requestId: RequestId }),
])
type Message = z.output<typeof Message>

/** What the socket needs to know of chats. */
export interface ChatSocketParts {
  /** Does what a request asks for. @throws TwinrailError the refusal */
  send(body: ChatBody): Promise<Segment>
  /** The run to resume; `undefined` when there is none. */
  resume(chatId: string): Promise<Segment | undefined>
  stream(segment: Segment): RunStream
}

/** Serves one WebSocket until it closes. An `abort` ends a response, not its run: see `onNoViewers`. */
export function serveChatSocket(
  context: TransportContext,
  socket: WebSocket,
  request: FastifyRequest,
  parts: ChatSocketParts,
): void {
  const connection = new ChatSocket(context, socket, request, parts)
  void connection.open()
}

class ChatSocket implements Connection, Beating {
  readonly transport = 'ai-sdk'
  readonly id = newConnectionId()
  sentBytes = 0
  readonly heartbeatMs: number
  wroteAt: number
  readonly #context: TransportContext
  readonly #socket: WebSocket
  readonly #request: FastifyRequest
  readonly #parts: ChatSocketParts
  /** The responses that are being sent, by request. */
  readonly #open = new Map<string, RunFrames | undefined>()
  /** The right to the connection; none before it is open. */
  #hold: Hold | undefined
  #silentBeats = 0

  constructor(context: TransportContext, socket: WebSocket, request: FastifyRequest, parts: ChatSocketParts) {
    this.#context = context
    this.#socket = socket
    this.#request = request
    this.#parts = parts
    this.heartbeatMs = context.heartbeatMs
    this.wroteAt = context.heartbeats.now()
    socket.on('message', (data, isBinary) => this.#message(data as Buffer, isBinary))
    socket.on('pong', () => {
      this.#silentBeats = 0
    })
    socket.on('ping', data => {
      this.#silentBeats = 0
      if (socket.bufferedAmount === 0) socket.pong(data)
    })
    socket.on('close', () => this.#forget())
    socket.pause()
  }

  get subscriptions(): number {
    return this.#open.size
  }

  get principal(): string {
    return this.#hold?.principal.id ?? ''
  }

  get waitingBytes(): number {
    return this.#socket.bufferedAmount
  }

  async open(): Promise<void> {
    try {
      this.#context.connections.mustBeOpen()
      this.#hold = await this.#context.door.enter(
        this.#request,
        ['connect'],
        undefined,
        ['connections'],
        refusal => this.close(refusal),
      )
      this.#context.connections.mustBeOpen()
    } catch (error) {
      if (!(error instanceof TwinrailError))
        this.#request.log.error({ err: error }, 'the authorize hook failed')
      this.close(error instanceof TwinrailError ? error : new TwinrailError('internal', 'the server failed'))
      return
    }
    if (this.#socket.readyState !== this.#socket.OPEN) return this.#hold.release()
    this.#context.connections.add(this)
    this.#context.heartbeats.add(this)
    this.#socket.resume()
  }

  close(reason: TwinrailError): void {
    this.#forget()
    this.#socket.close(reason.close, Buffer.from(reason.message).subarray(0, 120).toString())
    this.#socket.resume()
  }

  beat(): void {
    // Two pings without a sign of life, or bytes that have waited through them.
    if (++this.#silentBeats > 2) {
      this.#context.onLost(this.transport, 'stalled')
      this.#socket.terminate()
    } else if (this.#socket.bufferedAmount === 0) this.#socket.ping()
  }

  #forget(): void {
    this.#hold?.release()
    for (const frames of this.#open.values()) frames?.leave()
    this.#open.clear()
    this.#context.heartbeats.remove(this)
    this.#context.connections.remove(this)
  }

  #message(data: Buffer, isBinary: boolean): void {
    this.#silentBeats = 0
    if (this.#socket.readyState !== this.#socket.OPEN) return
    let message: Message
    try {
      if (isBinary) throw new TwinrailError('bad-request', 'expected JSON in a text message')
      message = check(Message, JSON.parse(data.toString()), 'message')
    } catch (error) {
      this.close(
        error instanceof TwinrailError ? error : new TwinrailError('bad-request', 'expected one JSON object'),
      )
      return
    }
    const { requestId } = message
    if (message.type === 'abort') {
      this.#open.get(requestId)?.leave()
      this.#open.delete(requestId)
      return
    }
    if (this.#open.has(requestId)) return
    if (this.#open.size >= limits.subscriptions) {
      this.#refuse(
        requestId,
        new TwinrailError('rate-limited', 'too many requests are open on this WebSocket'),
      )
      return
    }
    this.#open.set(requestId, undefined)
    this.#answer(message, data.length).catch(error => this.#refuse(requestId, error))
  }

  async #answer(message: Exclude<Message, { type: 'abort' }>, bytes: number): Promise<void> {
    const { requestId } = message
    if (this.#hold) this.#context.door.take(this.#request, this.#hold.principal, bytes)
    const segment =
      message.type === 'send'
        ? await this.#parts.send(check(ChatBody, { ...message.body, ...withoutBody(message) }, 'message'))
        : await this.#parts.resume(message.id)
    if (!this.#open.has(requestId)) return
    if (!segment) {
      this.#open.delete(requestId)
      this.#send({ type: 'no-active', requestId })
      return
    }
    const frames = new RunFrames(this.#context, this.#request, this.#parts.stream(segment), ['subscriptions'])
    frames.connection = this
    this.#open.set(requestId, frames)
    await frames.open()
    if (message.type === 'resume') this.#send({ type: 'start', requestId })
    let sequence = 0
    for await (const batch of frames) {
      if (this.#open.get(requestId) !== frames) return
      let sent: Promise<void> | undefined
      for (const { data } of batch) {
        if (data === undefined) continue
        sent = this.#write(
          `{"type":"chunk","requestId":${JSON.stringify(requestId)},"sequence":${sequence++},"chunk":${data}}`,
        )
      }
      // The next events are read once these have left.
      await sent
    }
    if (this.#open.get(requestId) !== frames) return
    this.#open.delete(requestId)
    this.#send({ type: 'end', requestId })
  }

  #refuse(requestId: string, error: unknown): void {
    if (!this.#open.delete(requestId) && error instanceof TwinrailError && error.code !== 'rate-limited')
      return
    if (!(error instanceof TwinrailError)) this.#request.log.error({ err: error }, 'a chat request failed')
    const errorText = error instanceof TwinrailError ? error.message : 'the server failed'
    this.#send({ type: 'error', requestId, errorText })
  }

  #send(message: object): void {
    void this.#write(JSON.stringify(message))
  }

  /** Resolves when the message has left, or never will. */
  #write(text: string): Promise<void> {
    this.wroteAt = this.#context.heartbeats.lately
    this.sentBytes += text.length
    return new Promise(resolve => {
      if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(text, () => resolve())
      else resolve()
    })
  }
}

/** The fields of a `send` that a body has, too. */
function withoutBody({
  body: _,
  type: _type,
  requestId: _id,
  headers: _headers,
  ...fields
}: Message & { body?: unknown }) {
  return fields
}
