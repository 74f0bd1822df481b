/** How a followed stream stands, for whoever shows it to people. */
import type { Transport } from './rail.ts'

export type FollowStatus = {
  transport: Transport
  /** Times that it set out to connect; one more than the reconnects. */
  attempts: number
  /** Bytes received over all connections, as they are after decompression. */
  bytes: number
} & (
  | { state: 'connecting' | 'open' }
  /** Between two connections, for `retryInMs` because of `error`. */
  | { state: 'waiting'; retryInMs: number; error: Error }
  /** Over; `error` is what was thrown, if anything was. */
  | { state: 'closed'; error?: unknown }
)

type State = FollowStatus extends infer S
  ? S extends unknown
    ? Omit<S, 'transport' | 'attempts' | 'bytes'>
    : never
  : never

/** Counts attempts and bytes, and tells every change. */
export class Progress {
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
    this.#become({ state: 'connecting' })
  }

  open(transport: Transport): void {
    this.#transport = transport
    this.#become({ state: 'open' })
  }

  received(bytes: number): void {
    this.#bytes += bytes
    this.#become(this.#state)
  }

  waiting(retryInMs: number, error: Error): void {
    this.#become({ state: 'waiting', retryInMs, error })
  }

  closed(error?: unknown): void {
    this.#become(error === undefined ? { state: 'closed' } : { state: 'closed', error })
  }

  #become(state: State): void {
    this.#state = state
    this.#onStatus?.({ transport: this.#transport, attempts: this.#attempts, bytes: this.#bytes, ...state })
  }
}
