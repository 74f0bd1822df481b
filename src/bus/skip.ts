/** Skipping: what a `skip` subscriber gets of a stretch that it jumps over. */
import type { LogEvent } from '../log/event.ts'
import { isTerminal } from '../protocol/index.ts'

/** Events that are sent even when what is around them is skipped: somebody waits for them. */
export function mustNotSkip({ type }: LogEvent): boolean {
  return isTerminal(type) || type === 'input.requested' || type === 'input.answered'
}

/** Numbers of the first and the last event of a stretch that was left out. */
export interface Stretch {
  readonly from: number
  readonly to: number
}

/** Goes over the events that a subscriber would have seen and tells what to send in their place. */
export class Skipper {
  #from = 0
  #to = 0

  /** Takes the next event; gives what must be sent now: the gap before it and the event itself, or nothing. */
  take(event: LogEvent): { gap: Stretch | undefined; event: LogEvent } | undefined {
    if (mustNotSkip(event)) return { gap: this.rest(), event }
    if (this.#from === 0) this.#from = event.seq
    this.#to = event.seq
    return undefined
  }

  /** The stretch left out since the last event that was sent. */
  rest(): Stretch | undefined {
    const stretch = this.#from === 0 ? undefined : { from: this.#from, to: this.#to }
    this.#from = 0
    return stretch
  }
}
