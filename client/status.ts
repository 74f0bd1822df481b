/** How a followed stream stands, for whoever shows it to people. */
import type { Transport } from './rail.ts'

export type FollowStatus = {
  transport: Transport
  /** Connections tried so far; one more than the reconnects. */
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
  readonly #transport: Transport
  readonly #onStatus: ((status: FollowStatus) => void) | undefined
  #state: State = { state: 'connecting' }
  #attempts = 0
  #bytes = 0
  #openedAt: number | undefined

  constructor(transport: Transport, onStatus: ((status: FollowStatus) => void) | undefined) {
    this.#transport = transport
    this.#onStatus = onStatus
  }

  /** How long the current or last connection has been open, in ms; 0 when it never was. */
  get openMs(): number {
    return this.#openedAt === undefined ? 0 : Date.now() - this.#openedAt
  }

  connecting(): void {
    this.#attempts += 1
    this.#openedAt = undefined
    this.#become({ state: 'connecting' })
  }

  /** May be said again: each page of a long-poll says it. */
  open(): void {
    if (this.#openedAt !== undefined) return
    this.#openedAt = Date.now()
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
