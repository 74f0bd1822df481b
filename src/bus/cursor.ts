/** Where a subscription begins. PROTOCOL.md, "Ids, offsets, cursors". */
import type { LogPosition } from '../log/log.ts'
import { parseOffset, type SubscriptionOptions } from '../protocol/index.ts'

/** Where a run lies in its session's log. */
export interface RunRange {
  /** Number of its `run.started`. */
  readonly start: number
  /** Number of its terminal, once it has one. */
  readonly end: number | undefined
}

/** Where a subscription begins, and what the client learns before the first event. */
export interface Start {
  /** Number of the last event that will not be sent. */
  readonly cursor: number
  /** The client's cursor means nothing here: it must forget what it holds. */
  readonly reset: 'epoch' | 'ahead' | undefined
  /** Numbers that are wanted but trimmed. */
  readonly gap: { readonly from: number; readonly to: number } | undefined
  /** The client has all of an ended run: nothing will come. */
  readonly over: boolean
}

/**
 * Applies the cursor rules to a fresh reading of the log; pure. `after` beats `replay: none` and `last`; a cursor of
 * another epoch or past the head counts as none, and says so by `reset`.
 */
export function startOf(
  log: LogPosition,
  { after, last, replay }: Pick<SubscriptionOptions, 'after' | 'last' | 'replay'>,
  run?: RunRange,
): Start {
  const given = after === undefined ? undefined : parseOffset(after)
  const reset =
    given === undefined
      ? undefined
      : given.epoch !== log.epoch
        ? 'epoch'
        : given.seq > log.head
          ? 'ahead'
          : undefined

  let cursor = 0
  if (given && !reset) cursor = given.seq
  else if (replay === 'none') cursor = log.head
  else if (last !== undefined && !reset) cursor = Math.max(0, log.head - last)

  if (run) cursor = Math.max(cursor, run.start - 1)
  const over = run?.end !== undefined && cursor >= run.end
  if (over || cursor + 1 >= log.earliest) return { cursor, reset, gap: undefined, over }

  const to = Math.min(log.earliest - 1, run?.end ?? Infinity)
  return { cursor: to, reset, gap: { from: cursor + 1, to }, over: to === run?.end }
}
