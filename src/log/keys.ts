/** The keys that make an append happen once: one terminal per run, one answer per question, one effect per command key. */

/** Lifetime of the keys of commands, and of cancels of unknown runs, in ms. */
export const COMMAND_KEY_TTL_MS = 24 * 60 * 60 * 1000

/**
 * Joins parts to a key. Different parts give different keys: a principal's id may be any text, so the separating colon
 * and the escape character are escaped within the parts.
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
  /** A principal's command with this idempotency key was accepted. */
  command: (principal: string, key: string) => keyOf('cmd', principal, key),
  /** A producer of the principal has begun this epoch of the writer. */
  writer: (principal: string, name: string, epoch: number) => keyOf('writer', principal, name, String(epoch)),
} as const
