/** Questions that expire by themselves. */
import type { Journal } from '../bus/journal.ts'
import { keys } from '../log/keys.ts'
import type { Appended } from '../log/log.ts'
import { type Cancel, startTimer } from '../protocol/timers.ts'

export interface ExpiryParts {
  readonly journal: Journal
  onError(error: unknown, about: Record<string, unknown>): void
}

/** Logs `input.expired` when a question's time is over, unless an answer or the run's end was first. */
export class Expiry {
  readonly #parts: ExpiryParts
  /** What stops the timer of each question. */
  readonly #timers = new Map<string, Cancel>()

  constructor(parts: ExpiryParts) {
    this.#parts = parts
  }

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
      // The wall clock may have been set back meanwhile.
      if (Date.now() < expiresAt) return this.schedule(sessionId, epoch, runId, requestId, expiresAt)
      this.expire(sessionId, epoch, runId, requestId).catch(error =>
        this.#parts.onError(error, { sessionId, runId, requestId }),
      )
    }
    const key = keyOf(sessionId, requestId)
    this.#timers.set(key, startTimer(Math.max(0, expiresAt - Date.now()), expire, { unref: true }))
  }

  /** Ends the question now. Resolves with what the log says of it. */
  expire(sessionId: string, epoch: number, runId: string | undefined, requestId: string): Promise<Appended> {
    const body = { type: 'input.expired', runId, data: { requestId } }
    return this.#parts.journal.append(sessionId, [body], {
      epoch,
      once: [{ key: keys.answer(requestId), note: { expired: true } }],
      absent: runId === undefined ? [] : [keys.end(runId)],
    })
  }

  /** The question is settled. */
  cancel(sessionId: string, requestId: string): void {
    const key = keyOf(sessionId, requestId)
    this.#timers.get(key)?.()
    this.#timers.delete(key)
  }

  close(): void {
    for (const cancel of this.#timers.values()) cancel()
    this.#timers.clear()
  }
}

/** Ids hold no blank. */
const keyOf = (sessionId: string, requestId: string) => `${sessionId} ${requestId}`
