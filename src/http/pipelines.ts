/** Keeps the end of a connection with many pipelined requests cheap. */
import type { Socket } from 'node:net'

/**
 * Node goes on to read all requests that came together, although the connection is closed. Without this it would prepare
 * and then abort each of them, 700 in 64 KiB. The parser is not documented; where it has no such field nothing changes.
 */
export function dropRest(socket: Socket): void {
  const { parser } = socket as { parser?: { onIncoming?: unknown } | null }
  if (typeof parser?.onIncoming === 'function') parser.onIncoming = () => 0
}

let stackTraceLimit = Error.stackTraceLimit

/**
 * Called before Node's own listener for the end of a connection. It makes an error for each request that has not been
 * answered, and nobody looks at their stacks: with them the end of a thousand pipelined requests takes 60 ms.
 */
export function withoutStacks(): void {
  if (Error.stackTraceLimit > 0) stackTraceLimit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
}

/** Called after it. */
export function withStacks(): void {
  Error.stackTraceLimit = stackTraceLimit
}
