/**
 * The load process with text subscribers, each with a pace of its own: they parse what they read, to check that they hold
 * exactly the text that was published.
 */
import { createHash } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { StringDecoder } from 'node:string_decoder'
import type { Dial } from '../peers/peer.ts'
import { serveWorker } from '../serve.ts'
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

class TextSubscriber {
  readonly stream: RawStream
  readonly #decoder = new StringDecoder('utf8')
  readonly #prefix: string
  readonly #text = createHash('sha1')
  readonly #counts = { received: 0, skipped: 0, folds: 0, faults: 0, closed: false }
  #line = ''
  #seq: number
  #farewell: string | undefined
  #onProgress: () => void = () => {}

  /**
   * @param pace bytes to read per second once subscribed; 0 reads nothing. @default as fast as they come
   * @param head number of the last event before the subscription
   */
  constructor(dial: Dial, pace: number | undefined, head: number) {
    this.#seq = head
    this.#prefix = dial.wire === 'sse' ? 'data: {' : '{'
    const onClose = () => {
      this.#counts.closed = true
      this.#onProgress()
    }
    this.stream = new RawStream({ dial, pace, unwraps: true, onBody: bytes => this.#read(bytes), onClose })
  }

  get held(): Held {
    const text = this.#text.copy().digest('hex')
    const { received: bytes } = this.stream
    return { ...this.#counts, seq: this.#seq, farewell: this.#farewell, text, bytes }
  }

  /** Resolves once it has everything up to `seq`, or the server has ended the stream. */
  reaches(seq: number): Promise<void> {
    return new Promise(resolve => {
      this.#onProgress = () => {
        if (this.#seq >= seq || this.#counts.closed || this.#farewell !== undefined) resolve()
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
      if (from !== undefined) this.#counts.folds++
      this.#cover(from ?? (offset as string), offset as string, 'received')
      if (data?.delta !== undefined) this.#text.update(data.delta)
    }
  }

  #cover(from: string, to: string, how: 'received' | 'skipped'): void {
    const [first, last] = [seqOf(from), seqOf(to)]
    if (first !== this.#seq + 1) this.#counts.faults++
    this.#counts[how] += last - first + 1
    this.#seq = last
  }
}

const subscribers: TextSubscriber[] = []

export const handlers = {
  /**
   * Adds a subscriber for each pace, in bytes per second: 0 reads nothing, Infinity reads at full speed. Resolves when all are
   * subscribed.
   * @param head number of the session's last event
   */
  async open(dial: Dial, paces: readonly number[], head = 0): Promise<void> {
    const opened = paces.map(pace => new TextSubscriber(dial, pace === Infinity ? undefined : pace, head))
    subscribers.push(...opened)
    await Promise.all(opened.map(({ stream }) => stream.ready))
  },

  /** Subscribes, waits until the stream is live, and leaves. @returns how long that took and how many bytes came */
  async join(dial: Dial): Promise<{ ms: number; bytes: number }> {
    const begun = performance.now()
    const stream = new RawStream({ dial, onBody() {} })
    await stream.ready
    const ms = performance.now() - begun
    stream.close()
    return { ms, bytes: stream.received }
  },

  /** Lets these read at full speed. */
  wake(indexes: readonly number[]): void {
    for (const index of indexes) subscribers[index]?.stream.wake()
  },

  /** Resolves once these have everything up to `seq` or their streams have ended, after `ms` at the latest. */
  async reach(indexes: readonly number[], seq: number, ms: number): Promise<void> {
    const late = new Promise<void>(resolve => setTimeout(resolve, ms).unref())
    await Promise.race([Promise.all(indexes.map(index => subscribers[index]?.reaches(seq))), late])
  },

  held: (): Held[] => subscribers.map(({ held }) => held),
}

serveWorker(handlers)
