/** One logged event: its JSON text, and the fields that can be read without parsing it. */
import { formatOffset, type TwinrailEvent } from '../protocol/index.ts'

/** The fields of an event before it is appended. The log adds `offset`. */
export interface EventParts {
  sessionId: string
  runId?: string | undefined
  type: string
  time: number
  by?: string | undefined
  data: unknown
}

/**
 * The text that a log stores: the event's JSON without its offset, keys in the order of the wire. The ids and the type hold
 * no character that JSON escapes.
 */
export function encodeEvent({ sessionId, runId, type, time, by, data }: EventParts): string {
  const ofRun = runId === undefined ? '' : `"runId":"${runId}",`
  const author = by === undefined ? '' : `,"by":${JSON.stringify(by)}`
  const json = JSON.stringify(data)
  const content = json === undefined ? '' : `,"data":${json}`
  return `{"sessionId":"${sessionId}",${ofRun}"type":"${type}","time":${time}${author}${content}}`
}

const SESSION_ID = '{"sessionId":"'.length
const TIME = ',"time":'
const DATA = ',"data":'

/**
 * An event of a log. Its JSON is the stored text with the offset before it, so it is byte-identical from every driver
 * and on every transport. Type and run are read off the text's fixed beginning; only `event` parses.
 */
export class LogEvent {
  /** The event's number in its epoch; of a folded event, that of the last event in it. */
  readonly seq: number
  /** The event's offset, `<epoch>-<seq>`. */
  readonly offset: string
  /** The number of the first event that this one folds together; its own number when it is not folded. */
  readonly fromSeq: number
  /** The event as it is sent to clients. */
  readonly json: string
  /** The event's type. */
  readonly type: string
  /** The run that the event belongs to; `undefined` outside a run. */
  readonly runId: string | undefined
  /** The JSON behind the offset. */
  readonly #rest: string
  /** Where `#rest` goes on after the type. */
  readonly #afterType: number
  #event: TwinrailEvent | undefined
  #bytes = 0

  constructor(epoch: number, seq: number, text: string, fromSeq = seq) {
    this.seq = seq
    this.fromSeq = fromSeq
    this.offset = formatOffset(epoch, seq)
    this.#rest = text.slice(1)
    this.json = this.#head + this.#rest
    // Ids and types hold no character that JSON escapes, so the next quote ends each of them.
    let end = text.indexOf('"', SESSION_ID)
    this.runId = undefined
    if (text.startsWith('","runId":"', end)) {
      const start = end + '","runId":"'.length
      end = text.indexOf('"', start)
      this.runId = text.slice(start, end)
    }
    const start = end + '","type":"'.length
    const typeEnd = text.indexOf('"', start)
    this.type = text.slice(start, typeEnd)
    this.#afterType = typeEnd
  }

  /** UTF-8 bytes of the JSON. */
  get bytes(): number {
    if (this.#bytes === 0) this.#bytes = this.#head.length + Buffer.byteLength(this.#rest)
    return this.#bytes
  }

  /**
   * Writes the JSON into `target` at `at`; gives the number of bytes. `json` is two strings for V8, which joins them in a
   * copy when it is read: for a large event a copy of a megabyte.
   */
  writeJson(target: Buffer, at: number): number {
    const head = target.write(this.#head, at, 'latin1')
    return head + target.write(this.#rest, at + head)
  }

  get #head(): string {
    return `{"offset":"${this.offset}",`
  }

  /** The parsed event, shared by all readers. Do not change it. */
  get event(): TwinrailEvent {
    this.#event ??= this.#parse()
    return this.#event
  }

  /** The JSON of the data; `undefined` in an event with an author, without data, or folded: these are to be parsed. */
  get dataJson(): string | undefined {
    const at = this.#dataAt
    return at < 0 ? undefined : this.#rest.slice(at, -1)
  }

  /** The text of this event with `from` and other data. Only for events that have a `dataJson`. */
  textWith(from: string, dataJson: string): string {
    return `{${this.#rest.slice(0, this.#dataAt - DATA.length)},"from":"${from}"${DATA}${dataJson}}`
  }

  /** Where the data begins in `#rest`; -1 when it does not come right after the time. */
  get #dataAt(): number {
    const timeEnd = this.#rest.indexOf(',', this.#afterType + TIME.length)
    return timeEnd >= 0 && this.#rest.startsWith(DATA, timeEnd) ? timeEnd + DATA.length : -1
  }

  /** Of most events only the data is parsed: the rest is known, and takes longer than small data. */
  #parse(): TwinrailEvent {
    const { offset, runId, type } = this
    const rest = this.#rest
    const dataAt = this.#dataAt
    if (dataAt < 0) return JSON.parse(this.json) as TwinrailEvent
    const sessionAt = SESSION_ID - 1
    const sessionId = rest.slice(sessionAt, rest.indexOf('"', sessionAt))
    const time = Number(rest.slice(this.#afterType + TIME.length, dataAt - DATA.length))
    const data: unknown = JSON.parse(rest.slice(dataAt, -1))
    const event =
      runId === undefined
        ? { offset, sessionId, type, time, data }
        : { offset, sessionId, runId, type, time, data }
    return event as TwinrailEvent
  }
}
