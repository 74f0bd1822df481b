/** The lag policy `skip`: what a subscriber gets of a stretch that it jumps over. */
import type { LogEvent } from '../log/event.ts'
import { isTerminal } from '../protocol/index.ts'

/** Events that clients wait for; they are sent even when their neighbours are skipped. */
export function mustNotSkip({ type }: LogEvent): boolean {
  return isTerminal(type) || type === 'input.requested' || type === 'input.answered'
}

/** Numbers of the first and the last event of a stretch that was left out. */
export interface Stretch {
  readonly from: number
  readonly to: number
}

/** Goes over the events that a subscriber would have seen and decides what is sent in their place. */
export class Skipper {
  #from = 0
  #to = 0

  /** Gives what must be sent for the next event: the gap before it and the event itself, or nothing when it is skipped. */
  classify(event: LogEvent): { gap: Stretch | undefined; event: LogEvent } | undefined {
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
