/** Search in the events of one session, newest first, a bounded part of the log at a time. */
import { type Journal, offsetOf } from '../bus/journal.ts'
import type { LogEvent } from '../log/event.ts'
import type { SessionInfo } from '../log/log.ts'
import { PAGE_BYTES, parseOffset, TwinrailError } from '../protocol/index.ts'

/** Events that one request looks at. */
const SEARCH_LOOKED = 20_000

/** UTF-16 units of their JSON. */
const SEARCH_CHARS = 16 * 1024 * 1024

/** Events that are read from the log at a time. */
const STRETCH = 1000

/** What is searched for. All that is given must match. */
export interface Search {
  /** The type, or with `*` at its end the beginning of it. */
  readonly type?: string | undefined
  readonly run?: string | undefined
  /** Text of the event's `data`, whether in capitals or not. */
  readonly text?: string | undefined
  /** Only events before this offset. */
  readonly before?: string | undefined
  /** Maximum number of events in the answer. */
  readonly limit: number
}

/** What was found, the newest event first. */
export interface Found {
  readonly events: readonly LogEvent[]
  /** How many events were looked at. */
  readonly looked: number
  /** The `before` of the next request; absent once the oldest event was looked at. */
  readonly next: string | undefined
}

/** @throws TwinrailError `run-not-found`; `conflict` when `before` is of another life of the session */
export async function search(journal: Journal, session: SessionInfo, wanted: Search): Promise<Found> {
  const { sessionId, epoch, head, earliest } = session
  const run = wanted.run === undefined ? undefined : await journal.run(sessionId, wanted.run)
  const before = wanted.before === undefined ? undefined : parseOffset(wanted.before)
  if (before && before.epoch !== epoch) {
    throw new TwinrailError(
      'conflict',
      'the session was deleted and made anew since that offset; search without before',
    )
  }
  const oldest = Math.max(earliest, run?.start ?? 1)
  let reached = Math.min(before?.seq ?? Infinity, (run?.end ?? head) + 1)
  const matches = matcherOf(wanted)
  const events: LogEvent[] = []
  let bytes = 0
  let looked = 0
  let chars = 0
  const answer = (): Found => ({
    events,
    looked,
    next: reached > oldest ? offsetOf(session, reached) : undefined,
  })
  for await (const stretch of journal.backwards(session, reached, oldest, STRETCH)) {
    for (const event of [...stretch.events].reverse()) {
      if (looked >= SEARCH_LOOKED || chars >= SEARCH_CHARS || events.length >= wanted.limit) return answer()
      if (matches(event)) {
        if (events.length > 0 && bytes + event.bytes > PAGE_BYTES) return answer()
        events.push(event)
        bytes += event.bytes
      }
      looked++
      chars += event.json.length
      reached = event.seq
    }
    // Events that were trimmed meanwhile.
    reached = stretch.from
  }
  return answer()
}

/** Whether an event is one of those that are wanted. */
function matcherOf({ type, run, text }: Search): (event: LogEvent) => boolean {
  const beginning = type?.endsWith('*') ? type.slice(0, -1) : undefined
  // As it stands in JSON.
  const needle = text === undefined ? undefined : JSON.stringify(text.toLowerCase()).slice(1, -1)
  return event => {
    if (run !== undefined && event.runId !== run) return false
    if (
      beginning !== undefined ? !event.type.startsWith(beginning) : type !== undefined && event.type !== type
    )
      return false
    if (needle === undefined) return true
    // No text in JSON has a quote without a backslash before it, so this is the field.
    const data = event.json.indexOf('"data":') + '"data":'.length
    return event.json.slice(data).toLowerCase().includes(needle)
  }
}
