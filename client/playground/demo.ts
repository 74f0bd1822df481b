/** The demo: one answer over both rails, while one line is cut and mended, a reader is slowed, and a rail is switched. */
import { newId } from '../index.ts'
import type { UseSession } from '../react/index.ts'
import type { Rail } from './rail.ts'
import { demoQuestion, recording } from './recording.ts'

/** The agent that plays the recorded answer. */
export const demoAgent = 'playback'

/** The steps, with what the page says about each, and the part of the answer after which each begins. */
export const steps = [
  {
    name: 'Stream',
    from: 0,
    text: 'One answer in one log. Rail A reads it over SSE, rail B over WebSocket.',
  },
  {
    name: 'Cut',
    from: 0.16,
    text: 'Rail A is cut. The answer goes on in the log, and rail B goes on showing it.',
  },
  { name: 'Mend', from: 0.36, text: 'Rail A is mended. It asks for what comes after its last offset.' },
  { name: 'Slow', from: 0.48, text: 'Rail B’s reader is slow. It falls behind alone, and holds up nobody.' },
  {
    name: 'Fast',
    from: 0.66,
    text: 'Rail B’s reader is fast again. What it missed comes folded into few events.',
  },
  {
    name: 'Switch',
    from: 0.76,
    text: 'Rail A switches from SSE to WebSocket in the middle of a sentence, and back.',
  },
] as const

/** The last step: the count. */
export const COUNT = steps.length

/**
 * Plays the demo. Each step begins when one of the rails has shown enough of the answer, so the steps keep their order
 * on a slow machine. Resolves when both rails have the whole answer. The rails are then as they were at the start.
 * @param show is called with the number of each step
 * @throws the signal's reason; an error when the server refuses the run
 */
export async function playDemo(
  [a, b]: readonly [Rail, Rail],
  start: UseSession['start'],
  show: (step: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const runId = newId()
  const events = recording()
  const actions = [
    async () => {
      // The page shows why a start was refused.
      if (!(await start(demoAgent, { query: demoQuestion, events }, { runId }))) throw new Error('refused')
    },
    () => a.set({ cut: true }),
    () => a.set({ cut: false }),
    () => b.set({ slow: true }),
    () => b.set({ slow: false }),
    () => a.set({ transport: 'websocket' }),
  ]
  const furthest = (part: number) =>
    Promise.race([a, b].map(rail => rail.reached(runId, Math.ceil(part * events.length), signal)))
  a.reset()
  b.reset()
  try {
    for (const [index, act] of actions.entries()) {
      await furthest(steps[index]!.from)
      if (index > 0 && [a, b].some(rail => rail.ledger.of(runId).ended)) break // the run was stopped
      show(index)
      await act()
    }
    await furthest(0.9)
    a.set({ transport: a.home })
    await Promise.all([a, b].map(rail => rail.reached(runId, Infinity, signal)))
    show(COUNT)
  } finally {
    a.reset()
    b.reset()
  }
}
