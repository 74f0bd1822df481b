/** Schedules a drawing for the next frame. */

/** The longest wait for a frame, in ms: a hidden page has no frames, but its title and its tools should go on. */
const HIDDEN_MS = 1000

/** Time between two drawings where there are no frames, as in Node, in ms. */
const FRAMELESS_MS = 16

/**
 * Calls `draw` at the next frame, or after a second where the page is hidden. Returns the function that cancels it.
 */
export function nextFrame(draw: () => void): () => void {
  const framed = typeof requestAnimationFrame === 'function'
  const cancel = () => {
    clearTimeout(timer)
    if (framed) cancelAnimationFrame(frame)
  }
  const run = () => {
    cancel()
    draw()
  }
  const timer = framed ? setTimeout(run, HIDDEN_MS) : setTimeout(run, FRAMELESS_MS)
  const frame = framed ? requestAnimationFrame(run) : 0
  return cancel
}
