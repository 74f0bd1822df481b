/** Folding: neighbouring deltas of one part become one event. PROTOCOL.md, "Folding". */
import { LogEvent } from '../log/event.ts'
import { deltaParts, FOLD_BYTES, formatOffset } from '../protocol/index.ts'

interface DeltaEvent {
  sessionId: string
  time: number
  by?: string
  data: { delta: string; [field: string]: unknown }
}

/** Bytes that a string takes inside JSON. */
const jsonBytes = (text: string) => Buffer.byteLength(JSON.stringify(text)) - 2

/** The most bytes that `from` adds to an event. */
const FROM_BYTES = ',"from":""'.length + 33

/** The part that a delta belongs to, with its run; `undefined` for events that never fold. */
function partOf(event: LogEvent): string | undefined {
  const field = deltaParts[event.type]
  if (!field) return undefined
  return `${event.type} ${event.runId ?? ''} ${(event.event.data as Record<string, unknown>)[field]}`
}

/** One event for the deltas from `first` to `last`, which are neighbours of one part. */
function join(epoch: number, first: LogEvent, last: LogEvent, deltas: string[]): LogEvent {
  if (first === last) return last
  const { sessionId, time, by, data } = last.event as unknown as DeltaEvent
  const from = formatOffset(epoch, first.seq)
  const joined = { ...data, delta: deltas.join('') }
  const text = JSON.stringify({ sessionId, runId: last.runId, type: last.type, time, by, from, data: joined })
  return new LogEvent(epoch, last.seq, text, first.seq)
}

/**
 * Joins deltas of one part that stand next to each other into single events of at most `maxBytes` UTF-8 bytes: the
 * deltas concatenated, `offset`, `time` and the other fields of the last, `from` the offset of the first. Everything
 * else stays as it is, in its place. The events must be neighbours in what the subscription sees.
 */
export function fold(epoch: number, events: readonly LogEvent[], maxBytes = FOLD_BYTES): LogEvent[] {
  const folded: LogEvent[] = []
  let part: string | undefined
  let first: LogEvent | undefined
  let last: LogEvent | undefined
  let deltas: string[] = []
  /** JSON bytes of `deltas`. */
  let deltaBytes = 0

  const flush = () => {
    if (first && last) folded.push(join(epoch, first, last, deltas))
    first = last = part = undefined
    deltas = []
  }

  for (const event of events) {
    const eventPart = partOf(event)
    if (eventPart === undefined) {
      flush()
      folded.push(event)
      continue
    }
    const delta = (event.event as unknown as DeltaEvent).data.delta
    // A folded event has the envelope of its last delta, so the size is checked with the envelope of this event.
    if (part !== eventPart || deltaBytes + event.bytes + FROM_BYTES > maxBytes) {
      flush()
      part = eventPart
      first = event
      deltaBytes = 0
    }
    last = event
    deltas.push(delta)
    deltaBytes += jsonBytes(delta)
  }
  flush()
  return folded
}
