/** The input that users send to a running run, read from the log: answers and steering messages. */
import { TwinrailError, type TwinrailEvent } from '../protocol/index.ts'
import type { Answer, Steer } from './agent.ts'

interface Waiting {
  resolve(answer: Answer): void
  reject(reason: unknown): void
}

/** Takes a run's `input.*` events in log order and delivers them to the agent's `ask` and `steering`. */
export class Inbox {
  /** Questions whose answer the agent awaits, by requestId. */
  readonly #waiting = new Map<string, Waiting>()
  /** Outcomes of questions that the agent has not asked yet. Only a run that was taken over has any. */
  readonly #early = new Map<string, Answer | 'expired'>()
  readonly #steers: Steer[] = []
  #steered: (() => void) | undefined
  #closed: { reason: unknown } | undefined

  /** Takes the next `input.*` event of the run. */
  event(event: TwinrailEvent): void {
    const { offset, by } = event
    if (event.type === 'input.answered') {
      const { requestId, value } = event.data
      this.#settle(requestId, { value, by, offset })
    } else if (event.type === 'input.expired') {
      this.#settle(event.data.requestId, 'expired')
    } else if (event.type === 'input.steered') {
      const { inputId, text } = event.data
      this.#steers.push({ inputId, text, by })
      this.#steered?.()
    } else if (event.type === 'input.applied') {
      const at = this.#steers.findIndex(steer => steer.inputId === event.data.inputId)
      if (at >= 0) this.#steers.splice(at, 1)
    }
  }

  /** Resolves with the answer to a question. @throws TwinrailError `input-expired`; or the reason given to `close` */
  answer(requestId: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#closed.reason)
      this.#waiting.set(requestId, { resolve, reject })
      const early = this.#early.get(requestId)
      this.#early.delete(requestId)
      if (early) this.#settle(requestId, early)
    })
  }

  /** Removes and returns all steering messages that the agent has not taken yet. */
  takeSteers(): Steer[] {
    return this.#steers.splice(0)
  }

  /** Resolves with `true` when a steering message is available, with `false` once the inbox is closed. */
  async untilSteered(): Promise<boolean> {
    while (this.#steers.length === 0) {
      if (this.#closed) return false
      await new Promise<void>(resolve => {
        this.#steered = resolve
      })
    }
    return true
  }

  /** Rejects all pending answers with `reason` and ends the steering messages. Called when the run is over. */
  close(reason: unknown): void {
    if (this.#closed) return
    this.#closed = { reason }
    for (const { reject } of this.#waiting.values()) reject(reason)
    this.#waiting.clear()
    this.#steered?.()
  }

  #settle(requestId: string, outcome: Answer | 'expired'): void {
    const waiting = this.#waiting.get(requestId)
    if (!waiting) {
      this.#early.set(requestId, outcome)
      return
    }
    this.#waiting.delete(requestId)
    if (outcome !== 'expired') waiting.resolve(outcome)
    else
      waiting.reject(
        new TwinrailError('input-expired', 'the question was not answered before it expired', {
          details: { requestId },
        }),
      )
  }
}
