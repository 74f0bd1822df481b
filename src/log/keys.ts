/** The keys that make an append happen once: one terminal per run, one answer per question, one effect per command key. */

/** Commands that may be retried, and cancels of runs not yet known, are remembered so long, in ms. */
export const COMMAND_KEY_TTL_MS = 24 * 60 * 60 * 1000

/**
 * A key made of parts. Other parts always give another key: a principal's id may be any text, so the colon that
 * separates the parts is escaped within them, as is the escape itself.
 */
function keyOf(...parts: string[]): string {
  return parts.map(part => part.replace(/[%:]/g, encodeURIComponent)).join(':')
}

/** The parts that a key was made of, its kind first: `['end', runId]`. */
export function partsOf(key: string): string[] {
  return key.split(':').map(decodeURIComponent)
}

export const keys = {
  /** The run has begun. */
  run: (runId: string) => keyOf('run', runId),
  /** The run has its terminal. */
  end: (runId: string) => keyOf('end', runId),
  /** A cancel came before the run's start. */
  cancel: (runId: string) => keyOf('cancel', runId),
  /** The question was asked. */
  input: (requestId: string) => keyOf('input', requestId),
  /** The question was answered, or it expired. */
  answer: (requestId: string) => keyOf('answer', requestId),
  /** A principal's command with that idempotency key was accepted. */
  command: (principal: string, key: string) => keyOf('cmd', principal, key),
} as const
