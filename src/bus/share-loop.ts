/** Lets the rest of the server work while a long loop goes on. */
import { setImmediate as nextTurn } from 'node:timers/promises'

/** Time that a loop may take of one turn of the event loop, in ms. */
const TURN_MS = 4

/** Calls between two looks at the clock, which cost more than most loops' bodies. */
const CALLS = 16

/**
 * Makes a function to be awaited once in each round of a loop. It gives up the event loop whenever the loop has worked
 * for {@link TURN_MS}; otherwise it returns `undefined` at once. A log in memory never leaves the turn by itself.
 */
export function shareLoop(): () => Promise<void> | undefined {
  let begun = performance.now()
  let calls = 0
  return () => {
    if (++calls % CALLS !== 0 || performance.now() - begun < TURN_MS) return undefined
    return nextTurn().then(() => {
      begun = performance.now()
    })
  }
}
