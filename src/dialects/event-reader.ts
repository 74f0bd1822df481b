/** A subscription that is read by pulling: for streams whose text is made for one reader. */
import type { Encoding } from '../bus/encoding.ts'
import type { Sink } from '../bus/sink.ts'
import type { LogEvent } from '../log/event.ts'
import type { Control } from '../protocol/index.ts'
import { startTimer } from '../protocol/timers.ts'

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

/** Why {@link EventReader.next} resolved without items. */
export type Pause = 'beat' | 'quiet' | 'closed'

/**
 * The sink of one subscription. It holds one batch at a time: while that is unread, the subscription falls behind and
 * later reads on from the log, so memory stays bounded however slow the reader is.
 */
export class EventReader implements Sink<readonly Item[]> {
  readonly encoding = items
  history = undefined
  #items: readonly Item[] = []
  #closed = false
  #resume: (() => void) | undefined
  #wake: ((pause?: Pause) => void) | undefined

  ready(): boolean {
    return this.#items.length === 0 && !this.#closed
  }

  write(batch: readonly Item[]): void {
    if (this.#closed || batch.length === 0) return
    this.#items = this.#items.length === 0 ? batch : [...this.#items, ...batch]
    this.#wake?.()
  }

  control(control: Control): void {
    this.write([{ control }])
  }

  whenReady(resume: () => void): void {
    if (this.ready()) queueMicrotask(resume)
    else this.#resume = resume
  }

  /**
   * Resolves with what has arrived, or with the reason why it resolved without anything. One call at a time.
   * @param quietMs resolves with `quiet` after this time without items
   */
  async next(quietMs?: number): Promise<readonly Item[] | Pause> {
    if (this.#items.length === 0 && !this.#closed) {
      const pause = await new Promise<Pause | undefined>(resolve => {
        const cancel = quietMs === undefined ? undefined : startTimer(quietMs, () => this.#wake?.('quiet'))
        this.#wake = pause => {
          cancel?.()
          this.#wake = undefined
          resolve(pause)
        }
      })
      if (pause && pause !== 'closed') return pause
    }
    if (this.#closed) return 'closed'
    const taken = this.#items
    this.#items = []
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
    return taken
  }

  /** A heartbeat is due. Ignored while there is something else to send. */
  beat(): void {
    this.#wake?.('beat')
  }

  /** Discards what is unread; `next` gives `closed` from now on. */
  close(): void {
    this.#closed = true
    this.#items = []
    this.#resume = undefined
    this.#wake?.('closed')
  }
}
