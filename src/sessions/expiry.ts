/** Expires questions that nobody answered in time. */
import type { Journal } from '../bus/journal.ts'
import { keys } from '../log/keys.ts'
import type { Appended } from '../log/log.ts'
import { TwinrailError } from '../protocol/index.ts'
import { type Cancel, startTimer } from '../protocol/timers.ts'
import { DueQueue } from './due-queue.ts'

export interface ExpiryParts {
  readonly journal: Journal
  /** Questions with an end that wait at a time. @default 100 000 */
  readonly maxWaiting?: number
  onError(error: unknown, about: Record<string, unknown>): void
}

/** A question with an end. */
interface Waiting {
  readonly sessionId: string
  readonly epoch: number
  readonly runId: string | undefined
  readonly requestId: string
  /** Its `expiresAt`, in ms since 1970. */
  readonly due: number
}

/** Questions that are expired in one turn of the event loop. */
const TURN_QUESTIONS = 100

/**
 * Appends `input.expired` at a question's `expiresAt`. One timer serves all questions. A question leaves with its answer,
 * its run or its session, as far as this process appends them; another node's are found out when the time has come,
 * since the log refuses the event then.
 */
export class Expiry {
  readonly #parts: ExpiryParts
  readonly #queue = new DueQueue<Waiting>()
  /** The questions of each session by their ids. */
  readonly #sessions = new Map<string, Map<string, Waiting>>()
  #cancelTimer: Cancel = () => {}
  #timerDue = Number.POSITIVE_INFINITY

  constructor(parts: ExpiryParts) {
    this.#parts = parts
  }

  /** Questions that wait. */
  get size(): number {
    return this.#queue.size
  }

  /** @throws TwinrailError `rate-limited` when as many questions with an end wait as may */
  mustHaveRoom(): void {
    const { maxWaiting = 100_000 } = this.#parts
    if (this.#queue.size < maxWaiting) return
    throw new TwinrailError('rate-limited', `${maxWaiting} questions with expiresAt wait; ask again later`, {
      retryAfterMs: 10_000,
    })
  }

  /** Waits for the question's end, in place of an earlier one. @param expiresAt ms since 1970 */
  schedule(
    sessionId: string,
    epoch: number,
    runId: string | undefined,
    requestId: string,
    expiresAt: number,
  ): void {
    this.cancel(sessionId, requestId)
    const waiting: Waiting = { sessionId, epoch, runId, requestId, due: expiresAt }
    const ofSession = this.#sessions.get(sessionId) ?? new Map<string, Waiting>()
    this.#sessions.set(sessionId, ofSession.set(requestId, waiting))
    this.#queue.add(waiting)
    this.#setTimer()
  }

  /** Expires the question now. Resolves with the outcome of the append, which is refused when an answer came first. */
  expire(sessionId: string, epoch: number, runId: string | undefined, requestId: string): Promise<Appended> {
    const body = { type: 'input.expired', runId, data: { requestId } }
    return this.#parts.journal.append(sessionId, [body], {
      epoch,
      once: [{ key: keys.answer(requestId), note: { expired: true } }],
      beyondLimit: true,
      absent: runId === undefined ? [] : [keys.end(runId)],
    })
  }

  /** Forgets a question that has its answer. */
  cancel(sessionId: string, requestId: string): void {
    const waiting = this.#sessions.get(sessionId)?.get(requestId)
    if (waiting) this.#forget(waiting)
  }

  /** Forgets the questions of a run that has ended. */
  runEnded(sessionId: string, runId: string): void {
    for (const waiting of this.#sessions.get(sessionId)?.values() ?? []) {
      if (waiting.runId === runId) this.#forget(waiting)
    }
  }

  /** Forgets the questions of a session that was deleted. */
  sessionDeleted(sessionId: string): void {
    for (const waiting of this.#sessions.get(sessionId)?.values() ?? []) this.#forget(waiting)
  }

  /** Forgets all questions. */
  close(): void {
    for (const sessionId of this.#sessions.keys()) this.sessionDeleted(sessionId)
  }

  #forget(waiting: Waiting): void {
    const { sessionId, requestId } = waiting
    const ofSession = this.#sessions.get(sessionId)
    ofSession?.delete(requestId)
    if (ofSession?.size === 0) this.#sessions.delete(sessionId)
    this.#queue.remove(waiting)
    this.#setTimer()
  }

  /** Makes the timer fire when the first question is due. */
  #setTimer(): void {
    const due = this.#queue.first?.due ?? Number.POSITIVE_INFINITY
    if (due === this.#timerDue) return
    this.#cancelTimer()
    this.#timerDue = due
    if (this.#queue.size === 0) return
    this.#cancelTimer = startTimer(Math.max(0, due - Date.now()), () => this.#expireDue(), { unref: true })
  }

  #expireDue(): void {
    // The wall clock may have been set back since the timer was started: only what is due by it is expired.
    this.#timerDue = Number.POSITIVE_INFINITY
    for (let i = 0; i < TURN_QUESTIONS; i++) {
      const { first } = this.#queue
      if (!first || first.due > Date.now()) break
      this.#forget(first)
      const { sessionId, epoch, runId, requestId } = first
      this.expire(sessionId, epoch, runId, requestId).catch(error =>
        this.#parts.onError(error, { sessionId, runId, requestId }),
      )
    }
    this.#setTimer()
  }
}
