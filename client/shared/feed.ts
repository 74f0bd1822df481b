/** One connection of the leading tab, and the readers that share it. */
import type { Message } from '../connection/transport.ts'
import { type FeedPart, plainError } from './messages.ts'

/**
 * Characters of messages that a reader may be behind. Beyond it the others do not wait: it is detached, and goes on by pages at
 * its own cursor. So this is all that is held for a tab that is slow, hidden or frozen.
 */
export const READER_CHARS = 64 * 1024

/** A reader of a feed, in this tab or in another one. */
export class Reader {
  readonly #send: (part: FeedPart) => void
  /** Whether the feed was opened at its cursor. */
  isFirst = false
  /** Characters that it was sent and has not taken. */
  behind = 0
  onTaken: () => void = () => {}
  #texts: string[] = []

  /** @param send delivers in order; what it delivers may be taken later */
  constructor(send: (part: FeedPart) => void) {
    this.#send = send
  }

  get hasRoom(): boolean {
    return this.behind < READER_CHARS
  }

  /** Messages of one turn are sent together. */
  message(text: string): void {
    this.behind += text.length
    this.#texts.push(text)
    if (this.#texts.length === 1) afterTurn(() => this.#flush())
  }

  send(part: FeedPart): void {
    this.#flush()
    this.#send(part)
  }

  taken(chars: number): void {
    this.behind -= chars
    this.onTaken()
  }

  #flush(): void {
    if (this.#texts.length === 0) return
    const texts = this.#texts
    this.#texts = []
    this.#send({ type: 'messages', texts })
  }
}

/** Reads one connection for all its readers, as fast as the fastest of them. */
export class Feed {
  readonly #readers = new Set<Reader>()
  readonly #onEmpty: () => void
  #isOpen = true
  #wake: (() => void) | undefined

  /** @param onEmpty called once, when the feed has no readers any more */
  constructor(onEmpty: () => void) {
    this.#onEmpty = onEmpty
  }

  attach(reader: Reader): void {
    reader.isFirst = this.#readers.size === 0
    reader.onTaken = () => this.#wake?.()
    this.#readers.add(reader)
    reader.send({ type: 'attached', isFirst: reader.isFirst })
    this.#wake?.()
  }

  detach(reader: Reader): void {
    if (!this.#readers.delete(reader)) return
    this.#wake?.()
    this.#endIfEmpty()
  }

  /** Sends all readers something that is no message. */
  tell(part: FeedPart): void {
    for (const reader of this.#readers) reader.send(part)
  }

  /** Delivers what a connection yields until it ends. Never rejects: the readers get the error. */
  async run(messages: AsyncGenerator<Message, void, undefined>): Promise<void> {
    try {
      for (;;) {
        while (this.#isOpen && ![...this.#readers].some(({ hasRoom }) => hasRoom)) {
          await new Promise<void>(resolve => {
            this.#wake = resolve
          })
        }
        if (!this.#isOpen) return
        const { done, value } = await messages.next()
        if (!this.#isOpen) return
        if (done) return this.#end({ type: 'ended' })
        this.#deliver(value)
      }
    } catch (error) {
      this.#end({ type: 'ended', error: plainError(error) })
    } finally {
      messages.return().catch(() => {}) // a failure while closing changes nothing
    }
  }

  /** Ends the feed; its readers go on elsewhere. */
  close(): void {
    this.#end({ type: 'detached' })
  }

  #deliver(message: Message): void {
    const text =
      message.kind === 'event'
        ? (message.json ?? JSON.stringify(message.event))
        : JSON.stringify(message.control)
    const type = message.kind === 'event' ? undefined : message.control.type
    const isOfStart = type === 'subscribed' || type === 'caught-up'
    const isJump = type === 'gap' || type === 'reset'
    for (const reader of [...this.#readers]) {
      // Those that joined later have a start of their own.
      if (isOfStart && !reader.isFirst) continue
      if (reader.hasRoom && !(isJump && !reader.isFirst)) reader.message(text)
      else {
        this.#readers.delete(reader)
        reader.send({ type: 'detached' })
      }
    }
    this.#endIfEmpty()
  }

  #endIfEmpty(): void {
    if (this.#readers.size === 0) this.#end({ type: 'detached' })
  }

  #end(part: FeedPart): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.tell(part)
    this.#readers.clear()
    this.#wake?.()
    this.#onEmpty()
  }
}

/** Calls `callback` once the current turn is over. Unlike timers this is not throttled in hidden pages. */
function afterTurn(callback: () => void): void {
  turns ??= new MessageChannel()
  turns.port1.onmessage = () => {
    for (const call of waiting.splice(0)) call()
  }
  if (waiting.push(callback) === 1) turns.port2.postMessage(undefined)
}

let turns: MessageChannel | undefined
const waiting: (() => void)[] = []
