/** A limit on the size of a log as a whole: what is refused beyond it, and how. */
import { TwinrailError } from '../protocol/index.ts'

/**
 * Smaller appends need as much room as this, in bytes. So of the usual appends all are refused or none is, and what is
 * said about readiness holds for all.
 */
const USUAL_BYTES = 64 * 1024

/** How clients are told to come back while the log is over its limit, in ms. */
const RETRY_MS = 5000

export class SizeLimit {
  /** In bytes; Infinity for no limit. */
  readonly maxBytes: number
  /** Appends and sessions that were refused. */
  refused = 0

  constructor(maxBytes = Number.POSITIVE_INFINITY) {
    this.maxBytes = maxBytes
  }

  get isSet(): boolean {
    return this.maxBytes !== Number.POSITIVE_INFINITY
  }

  /** Whether a log of so many bytes has no room for so many more. */
  isOver(bytes: number, added = 0): boolean {
    return bytes + Math.max(added, USUAL_BYTES) > this.maxBytes
  }

  /** @param bytes size of the log @throws TwinrailError `rate-limited` when it has no room for so many more */
  mustHaveRoom(bytes: number, added = 0): void {
    if (this.isOver(bytes, added)) throw this.refusal()
  }

  /** @param bytes size of the log @throws TwinrailError `unavailable` when it has no room for a usual append */
  mustBeReady(bytes: number): void {
    if (this.isOver(bytes)) throw this.#error('unavailable')
  }

  /** `rate-limited`, counted. */
  refusal(): TwinrailError {
    this.refused++
    return this.#error('rate-limited')
  }

  #error(code: 'rate-limited' | 'unavailable'): TwinrailError {
    return new TwinrailError(
      code,
      `the log has reached its limit of ${this.maxBytes} bytes (--max-log-bytes); delete sessions, keep fewer events, or raise the limit`,
      { details: { reason: 'max-log-bytes', maxBytes: this.maxBytes }, retryAfterMs: RETRY_MS },
    )
  }
}

/** What the texts of an append take, by a cheap measure: UTF-16 units. */
export function lengthOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + text.length, 0)
}
