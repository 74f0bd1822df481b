/** A subscription that is read by pulling: for streams whose text is made for one reader. */
import type { Encoding } from '../bus/encoding.ts'
import type { Sink } from '../bus/sink.ts'
import type { LogEvent } from '../log/event.ts'
import type { Control } from '../protocol/index.ts'
import { type Cancel, startTimer } from '../protocol/timers.ts'

/** What a reader gets: an event of the log, or a control message. */
export type Item = { event: LogEvent } | { control: Control }

/** Subscribers of all dialects share the batches of a topic: the events themselves, which are parsed once. */
const items: Encoding<readonly Item[]> = {
  name: 'dialect',
  // Ephemeral events have no offset and no form in any dialect.
  events(events) {
    const batch: Item[] = []
    for (const event of events) if (event.offset !== undefined) batch.push({ event: event as LogEvent })
    return batch
  },
  control: control => [{ control }],
}

/** Why a reader that waits is woken without items. */
export type Pause = 'beat' | 'quiet'

/**
 * The sink of one subscription. It holds one batch at a time: while that is unread, the subscription falls behind and
 * later reads on from the log, so memory stays bounded however slow the reader is.
 */
export class EventReader implements Sink<readonly Item[]> {
  readonly encoding = items
  history = undefined
  readonly #wake: (pause?: Pause) => void
  #items: readonly Item[] = []
  #closed = false
  #resume: (() => void) | undefined
  #isWaiting = false
  #cancelQuiet: Cancel | undefined

  /**
   * @param wake is called once after each `take` that gave nothing: when there is something to take, within the call
   * that brought it, or with the reason why it is called without
   */
  constructor(wake: (pause?: Pause) => void) {
    this.#wake = wake
  }

  ready(): boolean {
    return this.#items.length === 0 && !this.#closed
  }

  write(batch: readonly Item[]): void {
    if (this.#closed || batch.length === 0) return
    this.#items = this.#items.length === 0 ? batch : [...this.#items, ...batch]
    this.#wakeUp()
  }

  control(control: Control): void {
    this.write([{ control }])
  }

  whenReady(resume: () => void): void {
    if (this.ready()) queueMicrotask(resume)
    else this.#resume = resume
  }

  /**
   * What has arrived, or that the reader is closed. With nothing the reader waits: `wake` will be called.
   * @param quietMs wakes with `quiet` after this time without items
   */
  take(quietMs?: number): readonly Item[] | 'closed' | undefined {
    if (this.#closed) return 'closed'
    if (this.#items.length === 0) {
      this.#isWaiting = true
      if (quietMs !== undefined) this.#cancelQuiet = startTimer(quietMs, () => this.#wakeUp('quiet'))
      return undefined
    }
    const taken = this.#items
    this.#items = []
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
    return taken
  }

  /** A heartbeat is due. Ignored while there is something else to send. */
  beat(): void {
    this.#wakeUp('beat')
  }

  /** Discards what is unread; `take` gives `closed` from now on. */
  close(): void {
    this.#closed = true
    this.#items = []
    this.#resume = undefined
    this.#wakeUp()
  }

  #wakeUp(pause?: Pause): void {
    if (!this.#isWaiting) return
    this.#isWaiting = false
    this.#cancelQuiet?.()
    this.#cancelQuiet = undefined
    this.#wake(pause)
  }
}
