/** Timers that expire questions which nobody answered. */
import type { Journal } from '../bus/journal.ts'
import { keys } from '../log/keys.ts'
import type { Appended } from '../log/log.ts'
import { type Cancel, startTimer } from '../protocol/timers.ts'

export interface ExpiryParts {
  readonly journal: Journal
  onError(error: unknown, about: Record<string, unknown>): void
}

/** Appends `input.expired` at a question's `expiresAt`, unless the question was answered or its run ended before. */
export class Expiry {
  readonly #parts: ExpiryParts
  /** Cancels the timer of a question, by {@link keyOf}. */
  readonly #timers = new Map<string, Cancel>()

  constructor(parts: ExpiryParts) {
    this.#parts = parts
  }

  /** Starts the question's timer, in place of an earlier one. @param expiresAt ms since 1970 */
  schedule(
    sessionId: string,
    epoch: number,
    runId: string | undefined,
    requestId: string,
    expiresAt: number,
  ): void {
    this.cancel(sessionId, requestId)
    const expire = () => {
      this.#timers.delete(key)
      // The wall clock may have been set back since the timer was started.
      if (Date.now() < expiresAt) return this.schedule(sessionId, epoch, runId, requestId, expiresAt)
      this.expire(sessionId, epoch, runId, requestId).catch(error =>
        this.#parts.onError(error, { sessionId, runId, requestId }),
      )
    }
    const key = keyOf(sessionId, requestId)
    this.#timers.set(key, startTimer(Math.max(0, expiresAt - Date.now()), expire, { unref: true }))
  }

  /** Expires the question now. Resolves with the outcome of the append, which is refused when an answer came first. */
  expire(sessionId: string, epoch: number, runId: string | undefined, requestId: string): Promise<Appended> {
    const body = { type: 'input.expired', runId, data: { requestId } }
    return this.#parts.journal.append(sessionId, [body], {
      epoch,
      once: [{ key: keys.answer(requestId), note: { expired: true } }],
      absent: runId === undefined ? [] : [keys.end(runId)],
    })
  }

  /** Stops the timer of a question that has its answer. */
  cancel(sessionId: string, requestId: string): void {
    const key = keyOf(sessionId, requestId)
    this.#timers.get(key)?.()
    this.#timers.delete(key)
  }

  /** Stops all timers. */
  close(): void {
    for (const cancel of this.#timers.values()) cancel()
    this.#timers.clear()
  }
}

/** Unique, because ids contain no spaces. */
const keyOf = (sessionId: string, requestId: string) => `${sessionId} ${requestId}`
