/** A subscriber that understands what it reads: what it holds must be exactly what was said. */
import { createHash } from 'node:crypto'
import { StringDecoder } from 'node:string_decoder'
import type { Dial } from '../peers/peer.ts'
import { Connection } from './connection.ts'

/** What a reader holds. */
export interface Held {
  /** Number of the last event that it has or knows it will not get. */
  seq: number
  /** Events that it has, each fold counted as those that it stands for. */
  received: number
  /** Events that it was told it will not get. */
  skipped: number
  folds: number
  /** Events that came twice, out of order or after a hole that nobody spoke of. */
  faults: number
  /** SHA-1 of all deltas in order. */
  text: string
  bytes: number
  /** Why the server ended the connection, in its own word. */
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

export class Reader {
  readonly #connection: Connection
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
   * @param pace bytes to read in a second once subscribed; 0: none; none given: as they come
   * @param head number of the last event before it is subscribed
   */
  constructor(dial: Dial, pace?: number, head = 0) {
    this.#seq = head
    this.#prefix = dial.wire === 'sse' ? 'data: {' : '{'
    this.#connection = new Connection({
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
    return this.#connection.ready
  }

  get held(): Held {
    return {
      seq: this.#seq,
      received: this.#received,
      skipped: this.#skipped,
      folds: this.#folds,
      faults: this.#faults,
      text: this.#text.copy().digest('hex'),
      bytes: this.#connection.received,
      farewell: this.#farewell,
      closed: this.#closed,
    }
  }

  wake(): void {
    this.#connection.wake()
  }

  close(): void {
    this.#connection.close()
  }

  /** Resolves once it has everything up to `seq`, or was told goodbye. */
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
