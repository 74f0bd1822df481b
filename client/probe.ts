/** Tells a stream that something on the way holds back from one that is merely slow. */
import type { Message } from './rail.ts'

/** The server's second message follows its `hello` within a second; after so many ms without it, it is held back. */
const SECOND_MESSAGE_MS = 3000

/**
 * Watches the first two time-stamped messages: stamped apart but arriving together, or the second not arriving at all,
 * they were held back.
 */
export class Probe {
  readonly #onBuffering: () => void
  #stamp: number | undefined
  #arrivedAt = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(onBuffering: () => void) {
    this.#onBuffering = onBuffering
  }

  /** @param arrivedAt when the bytes came, by this machine's clock */
  heard({ kind, ...rest }: Message, arrivedAt: number): void {
    const { control } = rest as { control?: { type: string; serverTime?: number; time?: number } }
    if (kind === 'control' && control?.type === 'hello') {
      this.#stamp = control.serverTime
      this.#arrivedAt = arrivedAt
      this.#timer = setTimeout(this.#onBuffering, SECOND_MESSAGE_MS)
    } else if (kind === 'control' && control?.type === 'ping' && this.#stamp !== undefined) {
      const apart = control.time! - this.#stamp
      if (apart >= 200 && arrivedAt - this.#arrivedAt < apart / 4) this.#onBuffering()
      this.stop()
    }
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#stamp = undefined
  }
}
