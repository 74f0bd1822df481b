/** Folding: neighbouring deltas of one part become one event. PROTOCOL.md, "Folding". */
import { LogEvent } from '../log/event.ts'
import { deltaParts, endOfString, FOLD_BYTES, formatOffset } from '../protocol/index.ts'

interface DeltaEvent {
  sessionId: string
  time: number
  by?: string
  data: { delta: string; [field: string]: unknown }
}

/** A delta as its event's JSON has it: the strings are what stands between the quotes. */
interface Delta {
  /** The field that names its part. */
  readonly field: string
  /** The id of its part. */
  readonly part: string
  readonly text: string
  /** Whether the data is nothing else and needs no parsing. */
  readonly isAll: boolean
}

/** Neighbouring deltas of one part. */
interface Joined {
  readonly first: LogEvent
  last: LogEvent
  /** The delta of `last`. */
  delta: Delta
  readonly texts: string[]
  /** UTF-8 bytes of `texts`. */
  bytes: number
}

/** A string as it stands between quotes in JSON. */
const inJson = (text: unknown) => JSON.stringify(text).slice(1, -1)

/** The most bytes that `from` adds to an event. */
const FROM_BYTES = ',"from":""'.length + 33

/** What stands between the id of a part and the text. */
const ID_END = '","delta":"'

/** The event's delta; `undefined` for events that never fold. */
function deltaOf(event: LogEvent): Delta | undefined {
  const field = deltaParts[event.type]
  if (!field) return undefined
  const { dataJson } = event
  const read = dataJson && readDelta(dataJson, field)
  if (read) return read
  const { data } = event.event as unknown as DeltaEvent
  return { field, part: inJson(data[field]), text: inJson(data.delta), isAll: false }
}

/** The delta of data that has no other fields: of most. Read off its JSON, which takes a third of a parse. */
function readDelta(json: string, field: string): Delta | undefined {
  const head = `{"${field}":"`
  if (!json.startsWith(head)) return undefined
  const idEnd = json.indexOf('"', head.length)
  if (!json.startsWith(ID_END, idEnd)) return undefined
  const start = idEnd + ID_END.length
  if (endOfString(json, start - 1) !== json.length - 1) return undefined
  return { field, part: json.slice(head.length, idEnd), text: json.slice(start, -2), isAll: true }
}

/** One event for them all. */
function join(epoch: number, { first, last, delta, texts }: Joined): LogEvent {
  if (first === last) return last
  const text = texts.join('')
  const from = formatOffset(epoch, first.seq)
  return new LogEvent(epoch, last.seq, foldedText(last, delta, from, text), first.seq)
}

/** @param text of all deltas, in JSON */
function foldedText(last: LogEvent, { field, part, isAll }: Delta, from: string, text: string): string {
  // Two halves of a character, escaped in two deltas, are a character when they stand together.
  if (isAll && !text.includes('\\ud')) return last.textWith(from, `{"${field}":"${part}","delta":"${text}"}`)
  const { sessionId, time, by, data } = last.event as unknown as DeltaEvent
  const joined = { ...data, delta: JSON.parse(`"${text}"`) as string }
  return JSON.stringify({ sessionId, runId: last.runId, type: last.type, time, by, from, data: joined })
}

/**
 * Joins deltas of one part that stand next to each other into single events of at most `maxBytes` UTF-8 bytes: the
 * deltas concatenated, `offset`, `time` and the other fields of the last, `from` the offset of the first. Everything
 * else stays as it is, in its place. The events must be neighbours in what the subscription sees.
 */
export function fold(epoch: number, events: readonly LogEvent[], maxBytes = FOLD_BYTES): LogEvent[] {
  const folded: LogEvent[] = []
  let joined: Joined | undefined
  for (const event of events) {
    const delta = deltaOf(event)
    // A folded event has the envelope of its last delta, so the size is checked with the envelope of this event.
    const fits =
      joined &&
      delta &&
      continues(joined, event, delta) &&
      joined.bytes + event.bytes + FROM_BYTES <= maxBytes
    if (joined && !fits) {
      folded.push(join(epoch, joined))
      joined = undefined
    }
    if (!delta) {
      folded.push(event)
      continue
    }
    joined ??= { first: event, last: event, delta, texts: [], bytes: 0 }
    joined.last = event
    joined.delta = delta
    joined.texts.push(delta.text)
    joined.bytes += Buffer.byteLength(delta.text)
  }
  if (joined) folded.push(join(epoch, joined))
  return folded
}

/** Whether the delta belongs to the same part of the same run. */
function continues({ last, delta }: Joined, event: LogEvent, next: Delta): boolean {
  return last.type === event.type && last.runId === event.runId && delta.part === next.part
}
