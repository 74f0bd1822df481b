/** One session's subscription on a shared WebSocket: its inbox, and the credit window that bounds it. */
import { ClientError, errorOfRefusal } from '../errors.ts'
import type { ControlOf } from '../protocol.ts'
import type { Message, TransportRequest } from './transport.ts'

/** Bytes of events that the server may send ahead of the consumer. A page cannot stop reading its socket. */
export const WINDOW_BYTES = 256 * 1024

/** Most bytes in the inbox: the window, one event larger than it, and messages that the window does not count. */
export const INBOX_BYTES = WINDOW_BYTES + 2 * 1024 * 1024

/** A waiting consumer grants even a small part of the window after this time: the next event may need all of it. */
const IDLE_MS = 50

interface Entry {
  message: Message
  bytes: number
}

/** The part of a socket that one subscription uses. */
export interface SocketChannel {
  /** Pairs the `subscribe` command with its answer. */
  id: string
  send(message: object): void
  /** @param broken whether the subscription ends because the connection failed */
  leave(broken: boolean): void
}

/** One session's subscription on a shared WebSocket. */
export class SocketSubscription {
  readonly request: TransportRequest
  readonly #channel: SocketChannel
  readonly #entries: Entry[] = []
  /**
   * Entries before this index were taken. They are removed when they are half of all: each is moved once on average.
   */
  #taken = 0
  #inboxBytes = 0
  #accepted = false
  #failure: ClientError | undefined
  #wake: (() => void) | undefined
  /** Last offset that was consumed since the last grant. */
  #offset: string | undefined
  #consumedBytes = 0
  readonly #abort = () => this.fail(new ClientError('connection-lost', 'Closed'))

  constructor(request: TransportRequest, channel: SocketChannel) {
    this.request = request
    this.#channel = channel
    request.signal.addEventListener('abort', this.#abort)
  }

  /** Sends `subscribe`. Called once the socket is open. */
  begin(): void {
    const { sessionId, start } = this.request
    const { id } = this.#channel
    this.#channel.send({ type: 'subscribe', id, sessionId, ...start, windowBytes: WINDOW_BYTES })
  }

  /** Messages before the ack belong to an earlier subscription to the same session on this socket. */
  acked(id: string): void {
    if (id === this.#channel.id) this.#accepted = true
  }

  refused(nack: ControlOf<'nack'>): void {
    if (nack.id === this.#channel.id) this.fail(errorOfRefusal(nack))
  }

  /** Puts a message into the inbox, unless it precedes the ack. Returns the bytes in the inbox. */
  add(message: Message, bytes: number): number {
    const closing = message.kind === 'control' && message.control.type === 'closing'
    if (this.#failure || !(this.#accepted || closing)) return 0
    this.request.onBytes(bytes)
    this.#entries.push({ message, bytes })
    this.#inboxBytes += bytes
    this.#wake?.()
    return this.#inboxBytes
  }

  fail(error: ClientError): void {
    this.#failure ??= error
    this.#wake?.()
  }

  /** The messages, those that arrived before a failure first. @throws ClientError the failure */
  async *messages(): AsyncGenerator<Message, void, undefined> {
    let broken = false
    try {
      for (;;) {
        const message = await this.#next()
        yield message
        this.#consumed(message)
      }
    } catch (error) {
      broken = true
      throw error
    } finally {
      this.request.signal.removeEventListener('abort', this.#abort)
      this.#channel.leave(broken)
    }
  }

  async #next(): Promise<Message> {
    while (this.#taken === this.#entries.length) {
      if (this.#failure) throw this.#failure
      const idle = this.#offset === undefined ? undefined : setTimeout(() => this.#grant(), IDLE_MS)
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
      clearTimeout(idle)
    }
    const { message, bytes } = this.#entries[this.#taken++]!
    if (this.#taken * 2 >= this.#entries.length) {
      this.#entries.splice(0, this.#taken)
      this.#taken = 0
    }
    this.#inboxBytes -= bytes
    if (message.kind === 'event') this.#consumedBytes += bytes
    return message
  }

  /** Counts a message that the consumer has finished with. */
  #consumed(message: Message): void {
    if (message.kind !== 'event' || !('offset' in message.event)) return
    this.#offset = message.event.offset
    if (this.#consumedBytes >= WINDOW_BYTES / 2) this.#grant()
  }

  /** Allows the server to send as many bytes again as were consumed. */
  #grant(): void {
    this.#channel.send({ type: 'window', sessionId: this.request.sessionId, offset: this.#offset })
    this.#offset = undefined
    this.#consumedBytes = 0
  }
}
