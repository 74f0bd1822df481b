/** Holds refusals by a limit back, so that a client that sends too much is refused no faster than it may send. */
import { sleep } from '../protocol/timers.ts'
import type { LimitError } from './quotas.ts'

/** The longest time for which a refusal is held, in ms. */
const LONGEST_MS = 500

/** How much the requests whose refusals are held may occupy together, in bytes. Further refusals are not held. */
const ROOM_BYTES = 16 * 1024 * 1024

/** What a request occupies besides its body, in bytes. */
const REQUEST_BYTES = 8 * 1024

/**
 * The refusals of one principal or address stand in a line: each leaves when the limit would have allowed one more use
 * since the one before it. A client that ignores `retryAfterMs` and sends its next request after each answer would
 * otherwise take more of the server's time than one that keeps to the limit, since a refused HTTP request costs about as
 * much as an allowed one. While its line is shorter than {@link LONGEST_MS}, it is refused no more often than it is served.
 */
export class HeldRefusals {
  /** When the last refusal of each line leaves. */
  readonly #lines = new Map<string, number>()
  readonly #closing = new AbortController()
  #bytes = 0

  /**
   * Resolves when the refusal may be sent: at once, or at most half a second later. Its `retryAfterMs` is then what is left.
   * @param bodyBytes what the request's body occupies
   */
  async hold(refusal: LimitError, bodyBytes: number): Promise<void> {
    const { line, everyMs } = refusal
    const bytes = REQUEST_BYTES + bodyBytes
    if (this.#bytes + bytes > ROOM_BYTES) return
    const now = performance.now()
    const leaves = Math.min((this.#lines.get(line) ?? now) + everyMs, now + LONGEST_MS)
    this.#lines.set(line, leaves)
    this.#bytes += bytes
    await sleep(leaves - now, this.#closing.signal).catch(() => {})
    this.#bytes -= bytes
    if (this.#lines.get(line) === leaves) this.#lines.delete(line)
    refusal.retryAfterMs = Math.max(1, Math.ceil(refusal.retryAfterMs - (performance.now() - now)))
  }

  /** Lets all go. */
  close(): void {
    this.#closing.abort()
  }
}
