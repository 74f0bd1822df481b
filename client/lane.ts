/** One session's part of a shared WebSocket: what came and was not asked for yet, and the window that bounds it. */
import type { ControlOf } from '../src/protocol/controls.ts'
import { ClientError, errorOfRefusal } from './errors.ts'
import type { Message, RailRequest } from './rail.ts'

/** Bytes of events that the server may send ahead of what was consumed: a page cannot stop its socket. */
export const WINDOW_BYTES = 256 * 1024

/** Bytes that may lie here unread: the window, one event that is larger, and what does not count. */
export const INBOX_BYTES = WINDOW_BYTES + 2 * 1024 * 1024

/** What was consumed is told after so many idle ms even if it is little: the next event may need the whole window. */
const IDLE_MS = 50

interface Entry {
  message: Message
  bytes: number
}

interface Way {
  /** Pairs the `subscribe` with its answer. */
  id: string
  send(message: object): void
  leave(broken: boolean): void
}

export class Lane {
  readonly request: RailRequest
  readonly #way: Way
  readonly #entries: Entry[] = []
  /** How many of the entries were taken; they go when they are half of all, so that taking costs the same always. */
  #taken = 0
  #inbox = 0
  #accepted = false
  #failure: ClientError | undefined
  #wake: (() => void) | undefined
  #offset: string | undefined
  #consumed = 0
  readonly #abort = () => this.fail(new ClientError('connection-lost', 'Aborted'))

  constructor(request: RailRequest, way: Way) {
    this.request = request
    this.#way = way
    request.signal.addEventListener('abort', this.#abort)
  }

  /** The socket is open. */
  begin(): void {
    const { sessionId, start } = this.request
    this.#way.send({ type: 'subscribe', id: this.#way.id, sessionId, ...start, windowBytes: WINDOW_BYTES })
  }

  /** From its ack on, what comes is of this subscription and not of the one before it. */
  acked(id: string): void {
    if (id === this.#way.id) this.#accepted = true
  }

  refused(nack: ControlOf<'nack'>): void {
    if (nack.id === this.#way.id) this.fail(errorOfRefusal(nack))
  }

  /** Takes a message in; gives the bytes that lie here now. */
  add(message: Message, bytes: number): number {
    const closing = message.kind === 'control' && message.control.type === 'closing'
    if (this.#failure || !(this.#accepted || closing)) return 0
    this.request.onBytes(bytes)
    this.#entries.push({ message, bytes })
    this.#inbox += bytes
    this.#wake?.()
    return this.#inbox
  }

  fail(error: ClientError): void {
    this.#failure ??= error
    this.#wake?.()
  }

  /** The next message; what came before a failure is given first. */
  async next(): Promise<Message> {
    const idle = this.#offset === undefined ? undefined : setTimeout(() => this.#tell(), IDLE_MS)
    try {
      while (this.#taken === this.#entries.length) {
        if (this.#failure) throw this.#failure
        await new Promise<void>(resolve => {
          this.#wake = resolve
        })
      }
    } finally {
      clearTimeout(idle)
    }
    const { message, bytes } = this.#entries[this.#taken++]!
    if (this.#taken * 2 >= this.#entries.length) {
      this.#entries.splice(0, this.#taken)
      this.#taken = 0
    }
    this.#inbox -= bytes
    if (message.kind === 'event') this.#consumed += bytes
    return message
  }

  /** The message that {@link next} gave is done with. */
  consumed(message: Message): void {
    if (message.kind !== 'event' || !('offset' in message.event)) return
    this.#offset = message.event.offset
    if (this.#consumed >= WINDOW_BYTES / 2) this.#tell()
  }

  leave(broken: boolean): void {
    this.request.signal.removeEventListener('abort', this.#abort)
    this.#way.leave(broken)
  }

  #tell(): void {
    this.#way.send({ type: 'window', sessionId: this.request.sessionId, offset: this.#offset })
    this.#offset = undefined
    this.#consumed = 0
  }
}
