/** A subscriber that parses what it reads, to check that it holds exactly the text that was published. */
import { createHash } from 'node:crypto'
import { StringDecoder } from 'node:string_decoder'
import type { Dial } from '../peers/peer.ts'
import { RawStream } from './raw-stream.ts'

/** What a subscriber has received. */
export interface Held {
  /** Number of the last event received, or reported as skipped by a `gap`. */
  seq: number
  /** Events received; a fold counts as those that it stands for. */
  received: number
  /** Events that a `gap` reported as skipped. */
  skipped: number
  folds: number
  /** Events that came twice, out of order or after a hole without a `gap`. */
  faults: number
  /** SHA-1 of all deltas in order. */
  text: string
  bytes: number
  /** Code of the server's `closing` message. */
  farewell: string | undefined
  closed: boolean
}

interface Message {
  type: string
  offset?: string
  from?: string
  to?: string
  code?: string
  data?: { delta?: string }
}

const seqOf = (offset: string) => Number(offset.slice(offset.indexOf('-') + 1))

export class TextSubscriber {
  readonly #stream: RawStream
  readonly #decoder = new StringDecoder('utf8')
  readonly #prefix: string
  readonly #text = createHash('sha1')
  #line = ''
  #seq: number
  #received = 0
  #skipped = 0
  #folds = 0
  #faults = 0
  #farewell: string | undefined
  #closed = false
  #onProgress: () => void = () => {}

  /**
   * @param pace bytes to read per second once subscribed; 0 reads nothing. @default as fast as they come
   * @param head number of the last event before the subscription
   */
  constructor(dial: Dial, pace?: number, head = 0) {
    this.#seq = head
    this.#prefix = dial.wire === 'sse' ? 'data: {' : '{'
    this.#stream = new RawStream({
      dial,
      pace,
      unwraps: true,
      onBody: bytes => this.#read(bytes),
      onClose: () => {
        this.#closed = true
        this.#onProgress()
      },
    })
  }

  get ready(): Promise<void> {
    return this.#stream.ready
  }

  get held(): Held {
    return {
      seq: this.#seq,
      received: this.#received,
      skipped: this.#skipped,
      folds: this.#folds,
      faults: this.#faults,
      text: this.#text.copy().digest('hex'),
      bytes: this.#stream.received,
      farewell: this.#farewell,
      closed: this.#closed,
    }
  }

  wake(): void {
    this.#stream.wake()
  }

  close(): void {
    this.#stream.close()
  }

  /** Resolves once it has everything up to `seq`, or the server has ended the stream. */
  reaches(seq: number): Promise<void> {
    return new Promise(resolve => {
      this.#onProgress = () => {
        if (this.#seq >= seq || this.#closed || this.#farewell !== undefined) resolve()
      }
      this.#onProgress()
    })
  }

  #read(bytes: Buffer): void {
    const lines = (this.#line + this.#decoder.write(bytes)).split('\n')
    this.#line = lines.pop() as string
    for (const line of lines) {
      if (line.startsWith(this.#prefix)) {
        this.#take(JSON.parse(line.slice(this.#prefix.length - 1)) as Message)
      }
    }
    this.#onProgress()
  }

  #take({ type, offset, from, to, code, data }: Message): void {
    if (type === 'gap') this.#cover(from as string, to as string, 'skipped')
    else if (type === 'closing') this.#farewell = code
    else if (type.includes('.')) {
      if (from !== undefined) this.#folds++
      this.#cover(from ?? (offset as string), offset as string, 'received')
      if (data?.delta !== undefined) this.#text.update(data.delta)
    }
  }

  #cover(from: string, to: string, how: 'received' | 'skipped'): void {
    const [first, last] = [seqOf(from), seqOf(to)]
    if (first !== this.#seq + 1) this.#faults++
    if (how === 'received') this.#received += last - first + 1
    else this.#skipped += last - first + 1
    this.#seq = last
  }
}
