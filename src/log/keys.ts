/** The keys under which appends are made once. Promises 4 and 7 of the design stand on them. */

/** Commands that may be retried, and cancels of runs not yet known, are remembered so long, in ms. */
export const COMMAND_KEY_TTL_MS = 24 * 60 * 60 * 1000

export const keys = {
  /** The run has begun. */
  run: (runId: string) => `run:${runId}`,
  /** The run has its terminal. */
  end: (runId: string) => `end:${runId}`,
  /** A cancel came before the run's start. */
  cancel: (runId: string) => `cancel:${runId}`,
  /** The question was asked. */
  input: (requestId: string) => `input:${requestId}`,
  /** The question was answered, or it expired. */
  answer: (requestId: string) => `answer:${requestId}`,
  /** A principal's command with that idempotency key was accepted. */
  command: (principal: string, key: string) => `cmd:${principal}:${key}`,
} as const
