/** Questions that expire by themselves. */
import type { Bus } from '../bus/bus.ts'
import { keys } from '../log/keys.ts'
import type { Appended } from '../log/log.ts'

/** The longest delay a timer takes; a later end is looked at again then. */
const MAX_DELAY_MS = 2 ** 31 - 1

/** Logs `input.expired` when a question's time is over, unless an answer or the run's end was first. */
export class Expiry {
  readonly #bus: Bus
  readonly #onError: (error: unknown) => void
  readonly #timers = new Map<string, NodeJS.Timeout>()

  constructor(bus: Bus, onError: (error: unknown) => void) {
    this.#bus = bus
    this.#onError = onError
  }

  schedule(
    sessionId: string,
    epoch: number,
    runId: string | undefined,
    requestId: string,
    expiresAt: number,
  ): void {
    const key = `${sessionId} ${requestId}`
    clearTimeout(this.#timers.get(key))
    const delay = Math.min(MAX_DELAY_MS, Math.max(0, expiresAt - Date.now()))
    const timer = setTimeout(() => {
      this.#timers.delete(key)
      if (Date.now() < expiresAt) this.schedule(sessionId, epoch, runId, requestId, expiresAt)
      else this.expire(sessionId, epoch, runId, requestId).catch(this.#onError)
    }, delay)
    this.#timers.set(key, timer.unref())
  }

  /** Ends the question now. Resolves with what the log says of it. */
  expire(sessionId: string, epoch: number, runId: string | undefined, requestId: string): Promise<Appended> {
    return this.#bus.append(sessionId, [{ type: 'input.expired', runId, data: { requestId } }], {
      epoch,
      once: [{ key: keys.answer(requestId), note: { expired: true } }],
      absent: runId === undefined ? [] : [keys.end(runId)],
    })
  }

  /** The question is settled. */
  cancel(sessionId: string, requestId: string): void {
    const key = `${sessionId} ${requestId}`
    clearTimeout(this.#timers.get(key))
    this.#timers.delete(key)
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
  }
}
