/** Detects a subscriber connection that is open but no longer delivers messages. */
import { type Cancel, startTimer } from '../../protocol/timers.ts'
import { type Connection, isTimeout } from './connection.ts'

/** Pause between two pings, in ms. */
const EVERY_MS = 2000

/** Time after which an unanswered ping means that the connection is dead, in ms. */
const PATIENCE_MS = 2000

export class Heartbeat {
  readonly #subscriber: Connection
  readonly #onSilence: () => void
  #cancel: Cancel = () => {}
  #isClosed = false

  /**
   * Pings the subscriber's connection and reconnects when there is no answer, so that messages of other nodes are at
   * most five seconds late.
   * @param onSilence called for each unanswered ping
   */
  constructor(subscriber: Connection, onSilence: () => void) {
    this.#subscriber = subscriber
    this.#onSilence = onSilence
    this.#next()
  }

  close(): void {
    this.#isClosed = true
    this.#cancel()
  }

  #beat(): void {
    // Without a connection, a reconnect is already in progress.
    if (!this.#subscriber.isUp) return this.#next()
    let isOver = false
    const over = (isDead: boolean) => {
      if (isOver || this.#isClosed) return
      isOver = true
      if (isDead) {
        this.#onSilence()
        this.#subscriber.renew()
      }
      this.#next()
    }
    // After a pause of this process, answers that have arrived meanwhile are read first.
    this.#wait(PATIENCE_MS, () => setImmediate(() => over(true)))
    this.#subscriber
      .sendNow(client => client.ping())
      .then(
        () => over(false),
        error => over(isTimeout(error)),
      )
  }

  #next(): void {
    this.#wait(EVERY_MS, () => this.#beat())
  }

  #wait(ms: number, then: () => void): void {
    this.#cancel()
    if (!this.#isClosed) this.#cancel = startTimer(ms, then, { unref: true })
  }
}
