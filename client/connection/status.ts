/** The status of a stream, for display. */
import type { Transport } from '../guide.ts'

/** The status of a stream. `connecting` until the first message of a connection, `open` after it. */
export type FollowStatus = {
  transport: Transport
  /** Number of attempts to connect: one more than the number of reconnects. */
  attempts: number
  /** Bytes received over all connections, counted after decompression. */
  bytes: number
} & (
  | { state: 'connecting' | 'open' }
  /** The stream waits `retryInMs` before the next attempt; `error` ended the last connection. */
  | { state: 'waiting'; retryInMs: number; error: Error }
  /** The stream has ended; `error` is the error that it threw, if any. */
  | { state: 'closed'; error?: unknown }
)

type State = FollowStatus extends infer S
  ? S extends unknown
    ? Omit<S, 'transport' | 'attempts' | 'bytes'>
    : never
  : never

/** Counts attempts and bytes, and reports every change. */
export class StatusTracker {
  readonly #onStatus: ((status: FollowStatus) => void) | undefined
  #transport: Transport
  #state: State = { state: 'connecting' }
  #attempts = 0
  #bytes = 0

  constructor(transport: Transport, onStatus: ((status: FollowStatus) => void) | undefined) {
    this.#transport = transport
    this.#onStatus = onStatus
  }

  connecting(): void {
    this.#attempts += 1
    this.#change({ state: 'connecting' })
  }

  open(transport: Transport): void {
    this.#transport = transport
    this.#change({ state: 'open' })
  }

  received(bytes: number): void {
    this.#bytes += bytes
    this.#change(this.#state)
  }

  waiting(retryInMs: number, error: Error): void {
    this.#change({ state: 'waiting', retryInMs, error })
  }

  closed(error?: unknown): void {
    this.#change(error === undefined ? { state: 'closed' } : { state: 'closed', error })
  }

  #change(state: State): void {
    this.#state = state
    this.#onStatus?.({ transport: this.#transport, attempts: this.#attempts, bytes: this.#bytes, ...state })
  }
}
