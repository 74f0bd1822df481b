/** The default diagnostic output of a server: warnings and stack traces as plain text on stderr. */

import { writeOutput } from './process-output.ts'
import { printable } from './protocol/printable.ts'

/** Maximum number of nested errors that are written: causes, and the members of an `AggregateError`. */
const MOST_PARTS = 10

/** Fields that are written with an entry. Requests and their headers are never written. */
const SUBJECTS = ['agent', 'runId', 'errorId', 'sessionId', 'what', 'reqId'] as const

/**
 * Serializes an error with its stack trace and those of its causes. Other fields are left out, since libraries put
 * requests and answers there (the AI SDK the whole prompt).
 */
export function describeError(error: unknown): { type: string; message: string; stack: string } {
  const stacks: string[] = []
  const pending = [error]
  while (pending.length > 0 && stacks.length < MOST_PARTS) {
    const part = pending.shift()
    stacks.push(part instanceof Error ? (part.stack ?? String(part)) : describeThrown(part))
    if (!(part instanceof Error)) continue
    if (part.cause !== undefined) pending.push(part.cause)
    if (part instanceof AggregateError) pending.push(...part.errors)
  }
  return {
    type: error instanceof Error ? error.name : typeof error,
    message: error instanceof Error ? error.message : describeThrown(error),
    stack: stacks.join('\ncaused by: '),
  }
}

/** A thrown value that is no `Error`, and therefore has no stack trace. */
function describeThrown(value: unknown): string {
  if (typeof value !== 'object' || value === null) return `thrown ${typeof value}: ${String(value)}`
  const { message } = value as { message?: unknown }
  return `thrown object${typeof message === 'string' ? `: ${message}` : ' without a message'}`
}

/** Settings of Fastify's logger that write entries from `level` up to stderr as plain text. */
export function stderrLog(level: string, write = (text: string) => writeOutput(process.stderr, text)) {
  return {
    level,
    serializers: { err: describeError },
    stream: { write: (line: string) => write(plainText(line)) },
  }
}

/** Formats an entry of the logger, a line of JSON, as readable text. */
function plainText(line: string): string {
  const entry = JSON.parse(line) as Record<string, unknown> & { err?: { stack: string } }
  const subjects = SUBJECTS.flatMap(name => (name in entry ? `${name}=${entry[name]}` : []))
  const about = subjects.length > 0 ? ` (${subjects.join(' ')})` : ''
  return printable(`twinrail: ${entry['msg']}${about}\n${entry.err ? `${entry.err.stack}\n` : ''}`)
}
