/** What an agent may yield, and the terminal event of its run. The same in the server and in a worker. */
import { commandOnlyTypes, type TerminalType, TwinrailError } from '../protocol/index.ts'
import { RunError, type RunResult } from './agent.ts'

/** Event types that an agent must not yield: commands or the server make them. */
const typesNoAgentYields = new Set<string>([
  ...commandOnlyTypes,
  'run.started',
  'run.cancelled',
  'input.requested',
  'input.applied',
  'input.expired',
])

export interface TerminalBody {
  type: TerminalType
  data: unknown
}

/** @throws TwinrailError `bad-request` */
export function mustBeOfAgent(type: string, agent: string): void {
  if (!typesNoAgentYields.has(type)) return
  throw new TwinrailError(
    'bad-request',
    `agent ${agent} yielded ${type}, which only commands or the server make`,
  )
}

/** The terminal event of a run whose generator returned. */
export function completed(result: RunResult | undefined): TerminalBody {
  return {
    type: 'run.completed',
    data: {
      finishReason: result?.finishReason ?? 'stop',
      ...(result?.result !== undefined && { result: result.result }),
      ...(result?.usage !== undefined && { usage: result.usage }),
    },
  }
}

/**
 * The terminal event of a run whose generator threw. Messages of unexpected exceptions are not sent to users.
 * @param report reports such an exception; returns the id under which it is found
 * @param place where it is found
 */
export function failed(
  error: unknown,
  report: (error: unknown) => string,
  place = 'the server’s own log, if enabled,',
): TerminalBody {
  if (error instanceof RunError || error instanceof TwinrailError) {
    const code = error instanceof TwinrailError && error.code === 'bad-request' ? 'bad-event' : error.code
    const { message, retryable } = error
    return { type: 'run.failed', data: { code, message, retryable } }
  }
  const errorId = report(error)
  const message = `the agent failed; ${place} has the cause under errorId ${errorId}`
  return { type: 'run.failed', data: { code: 'agent-error', message, retryable: false, errorId } }
}
