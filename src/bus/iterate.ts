/** A subscription as an async iterable, for readers in this process that pull at their own pace. */
import type { Control } from '../protocol/index.ts'
import type { Bus, SubscribeRequest } from './bus.ts'
import { type Message, messages } from './encoding.ts'
import type { Sink } from './sink.ts'
import type { Subscription } from './subscription.ts'

/** A sink whose other end is an iterator: it is ready when everything written was taken. */
class PullSink implements Sink<readonly Message[]> {
  readonly encoding = messages
  readonly history = undefined
  #queue: Message[] = []
  #taker: (() => void) | undefined
  readonly #resumes = new Set<() => void>()
  #closed = false

  ready(): boolean {
    return this.#queue.length === 0
  }

  write(batch: readonly Message[]): void {
    if (this.#closed) return
    this.#queue.push(...batch)
    this.#wake()
  }

  control(control: Control): void {
    this.write(messages.control(control))
  }

  whenReady(resume: () => void): void {
    this.#resumes.add(resume)
    if (this.ready()) setImmediate(() => this.#resumeAll())
  }

  close(): void {
    this.#closed = true
    this.#wake()
  }

  /** Messages in order until closed and empty. */
  async *take(): AsyncGenerator<Message, void, void> {
    for (;;) {
      const taken = this.#queue
      this.#queue = []
      yield* taken
      if (this.#queue.length > 0) continue
      if (this.#closed) return
      this.#resumeAll()
      if (this.#queue.length > 0 || this.#closed) continue
      await new Promise<void>(resolve => {
        this.#taker = resolve
      })
    }
  }

  #wake(): void {
    this.#taker?.()
    this.#taker = undefined
  }

  #resumeAll(): void {
    if (!this.ready()) return
    const resumes = [...this.#resumes]
    this.#resumes.clear()
    for (const resume of resumes) resume()
  }
}

/** A subscription that is pulled. */
export interface PulledSubscription {
  readonly subscription: Subscription<readonly Message[]>
  /**
   * Starts the subscription and gives its messages; ends after `end`, when `close` is called or when the loop over it
   * is left. While nobody pulls, nothing is read from the log.
   */
  messages(): AsyncGenerator<Message, void, void>
  /** Whether everything given so far was taken. */
  ready(): boolean
  /** Ends the iterable from outside. */
  close(): void
  /** Hands the reader one message out of turn, such as a ping. */
  inject(message: Message): void
}

/** Makes a subscription to pull from. @throws TwinrailError as `bus.subscribe` */
export async function pull(
  bus: Bus,
  request: Omit<SubscribeRequest<readonly Message[]>, 'sink' | 'onEnd'>,
): Promise<PulledSubscription> {
  const sink = new PullSink()
  const subscription = await bus.subscribe({ ...request, sink, onEnd: () => sink.close() })
  return {
    subscription,
    async *messages() {
      try {
        subscription.start()
        yield* sink.take()
      } finally {
        subscription.close()
      }
    },
    close() {
      subscription.close()
      sink.close()
    },
    ready: () => sink.ready(),
    inject: message => sink.write([message]),
  }
}
