/** `twinrail tail <sessionId>`: shows the events of a session, past and new. */
import { exitCodes, reportError } from './exit.ts'
import { Screen } from './screen.ts'
import { type TerminalOptions, watch } from './watch.ts'

export interface TailOptions extends TerminalOptions {
  sessionId: string
  /** Start after this offset. @default from the earliest */
  after?: string | undefined
  /** Start this many events before the head. */
  last?: number | undefined
  /** Show only this run, and end with it. */
  run?: string | undefined
  replay?: 'compact' | 'full' | 'none' | undefined
}

/**
 * Shows a session until `signal` aborts, or one run until it ends. Leaving cancels nothing.
 * @returns the process's exit code; with `run`, 0 only if the run completed
 */
export async function tailCommand(options: TailOptions): Promise<number> {
  const { url, signal, sessionId, after, last, run, replay, stdout, stderr, env = process.env } = options
  const screen = new Screen(stdout, stderr, env)
  try {
    const outcome = await watch(options, { sessionId, after, last, run, replay }, screen, signal)
    if (run === undefined || outcome?.type === 'run.completed') return exitCodes.completed
    return exitCodes.failed
  } catch (error) {
    if (signal.aborted) return exitCodes.interrupted
    if (screen.gone.aborted) return exitCodes.completed
    reportError(screen, url, error)
    return exitCodes.refused
  }
}
