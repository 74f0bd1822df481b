/** Appends of events that belong to nobody's run, joined: a call of the log costs more than an event in it. */
import type { Appended } from '../log/log.ts'

/** UTF-16 units of one call, unless its first event alone is larger. Drivers judge all calls up to this size alike. */
const CALL_CHARS = 64 * 1024

/** An event that waits for its call. */
interface Waiting {
  readonly text: string
  readonly by: string | undefined
  resolve(appended: Appended): void
  reject(error: unknown): void
}

/** Appends texts in one call. @param by who creates the session when it is missing */
type Append = (sessionId: string, texts: readonly string[], by: string | undefined) => Promise<Appended>

/**
 * Appends single events, those of each session in the order of the calls of {@link add}. Events that come together, and
 * those that come while a call is under way, share the next call. So it does not matter for the order how a log treats
 * calls that overlap.
 */
export class JointAppends {
  readonly #append: Append
  /** What waits, of each session with a call under way or about to be made. */
  readonly #sessions = new Map<string, Waiting[]>()

  constructor(append: Append) {
    this.#append = append
  }

  /** Resolves with what an append of this event alone would have; rejects as the call that it shared. */
  add(sessionId: string, text: string, by: string | undefined): Promise<Appended> {
    return new Promise((resolve, reject) => {
      const waiting = this.#sessions.get(sessionId)
      if (waiting) {
        waiting.push({ text, by, resolve, reject })
        return
      }
      const first = [{ text, by, resolve, reject }]
      this.#sessions.set(sessionId, first)
      // Once nothing else is to be done at this moment: the other commands that were read with this one have joined it.
      process.nextTick(() => void this.#work(sessionId, first))
    })
  }

  /** Makes one call after the other until nothing waits. Never rejects. */
  async #work(sessionId: string, waiting: Waiting[]): Promise<void> {
    while (waiting.length > 0) {
      const events = waiting.splice(0, fitting(waiting))
      try {
        const texts = events.map(({ text }) => text)
        const appended = await this.#append(sessionId, texts, events[0]?.by)
        for (const [i, { resolve }] of events.entries()) {
          if (!appended.accepted) resolve(appended)
          else resolve({ ...appended, first: appended.first + i, head: appended.first + i })
        }
      } catch (error) {
        for (const { reject } of events) reject(error)
      }
    }
    this.#sessions.delete(sessionId)
  }
}

/** How many of the first events share a call. */
function fitting(waiting: readonly Waiting[]): number {
  let chars = 0
  const end = waiting.findIndex(({ text }, i) => {
    chars += text.length
    return i > 0 && chars > CALL_CHARS
  })
  return end < 0 ? waiting.length : end
}
