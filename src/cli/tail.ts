/** `twinrail tail <sessionId>`: shows a session as it is and as it goes on. */
import { exitCodes, reportError } from './exit.ts'
import { Screen } from './screen.ts'
import { type TerminalOptions, watch } from './watch.ts'

export interface TailOptions extends TerminalOptions {
  sessionId: string
  /** Start after this offset. @default from the earliest */
  after?: string | undefined
  /** Start so many events before the head. */
  last?: number | undefined
  /** Only this run; ends with it. */
  run?: string | undefined
  replay?: 'compact' | 'full' | 'none' | undefined
}

/**
 * Shows a session until `signal` aborts, or one run until its end. Nothing is cancelled by leaving.
 * @returns the process's exit code; with `run` its outcome
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
