/** Whether the subscriber's connection delivers: one that is half dead stays open and says nothing. */
import { type Cancel, startTimer } from '../../protocol/timers.ts'
import { type Connection, isTimeout } from './connection.ts'

/** Pause between two pings, in ms. */
const EVERY_MS = 2000

/** A ping that is not answered for so long tells that the connection is dead, in ms. */
const PATIENCE_MS = 2000

export class Heartbeat {
  readonly #subscriber: Connection
  readonly #onSilence: () => void
  #cancel: Cancel = () => {}
  #isClosed = false

  /**
   * Pings the subscriber's connection, and has it made anew when there is no answer: so what other nodes tell is at
   * most five seconds late.
   * @param onSilence called each time
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
    // While it is away, coming back is under way.
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
    // A process that stood still reads first what has arrived meanwhile.
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
