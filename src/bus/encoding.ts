/** Encodings: how events and control messages become bytes on each wire. PROTOCOL.md, "SSE" and "WebSocket". */
import { type Control, FRAME_BYTES } from '../protocol/index.ts'

/** An event ready for a wire: a logged one with its offset, or an ephemeral one without. */
export interface WireEvent {
  readonly offset?: string | undefined
  readonly json: string
  /** UTF-8 bytes of the JSON. */
  readonly bytes: number
  /** Writes the JSON into `target` at `at`; gives the number of bytes. */
  writeJson(target: Buffer, at: number): number
}

/** An event that is in no log. */
export class EphemeralEvent implements WireEvent {
  readonly offset = undefined
  readonly json: string
  readonly bytes: number

  constructor(json: string) {
    this.json = json
    this.bytes = Buffer.byteLength(json)
  }

  writeJson(target: Buffer, at: number): number {
    return target.write(this.json, at)
  }
}

/**
 * Events with more UTF-16 units of JSON are written into their bytes one by one. Fewer are joined first, which is faster.
 * The joined text of a large batch would wait for V8's next full collection: 55 MB of it, where clients asked for 900 KB
 * and left.
 */
const JOINED = 16 * 1024

const isLarge = (events: readonly WireEvent[]) => {
  let units = 0
  for (const { json } of events) units += json.length
  return units > JOINED
}

/** One wire's form. `B` is what a sink writes; the same value goes to every subscriber that shares it. */
export interface Encoding<B> {
  readonly name: string
  events(events: readonly WireEvent[]): B
  control(control: Control): B
  /** Makes an encoder for one group of live subscribers, where batches refer to the batches before them. */
  live?(): LiveEncoder<B>
  /** Control messages are no part of what batches refer to. @default false */
  readonly controlsKeepHistory?: boolean
}

/** Encodes the batches of one group of live subscribers. */
export interface LiveEncoder<B> {
  /** @param continued the last bytes that every receiver got came from this encoder, none was left out */
  events(events: readonly WireEvent[], continued: boolean): B
}

/**
 * The id comes last: some clients (@microsoft/fetch-event-source, Go's r3labs/sse) commit it as soon as its line is read
 * and would skip the event when the stream is cut between the two lines.
 */
const sseEvent = (event: WireEvent) => SSE_DATA + event.json + sseEnd(event)

const SSE_DATA = 'data: '

const sseEnd = ({ offset }: WireEvent) => (offset === undefined ? '\n\n' : `\nid: ${offset}\n\n`)

/** Events as SSE. */
export function sseEvents(events: readonly WireEvent[]): Buffer {
  if (!isLarge(events)) return Buffer.from(events.map(sseEvent).join(''))
  const whole = Buffer.allocUnsafe(sseLength(events))
  writeSse(whole, 0, events)
  return whole
}

function sseLength(events: readonly WireEvent[]): number {
  return events.reduce((sum, event) => sum + SSE_DATA.length + event.bytes + sseEnd(event).length, 0)
}

/** Gives the position behind them. */
function writeSse(target: Buffer, at: number, events: readonly WireEvent[]): number {
  let end = at
  for (const event of events) {
    end += target.write(SSE_DATA, end, 'latin1')
    end += event.writeJson(target, end)
    end += target.write(sseEnd(event), end, 'latin1')
  }
  return end
}

/** Events as SSE inside an HTTP/1.1 chunk. */
function sseChunk(events: readonly WireEvent[]): Buffer {
  if (!isLarge(events)) return chunk(events.map(sseEvent).join(''))
  const length = sseLength(events)
  const head = `${length.toString(16)}\r\n`
  const whole = Buffer.allocUnsafe(head.length + length + 2)
  const end = writeSse(whole, whole.write(head, 0, 'latin1'), events)
  whole.write('\r\n', end, 'latin1')
  return whole
}

/** A control's SSE text. Only `caught-up` has an id, so that a stream without events yet resumes where it stands. */
export function sseControl(control: Control): string {
  const id = control.type === 'caught-up' ? `id: ${control.offset}\n` : ''
  return `event: ${control.type}\ndata: ${JSON.stringify(control)}\n${id}\n`
}

/** Puts an HTTP/1.1 chunk around a body. */
export function chunk(body: string): Buffer {
  return Buffer.from(`${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n`)
}

/** SSE inside HTTP/1.1 chunks, written straight to the socket. */
export const sseChunked: Encoding<Buffer> = {
  name: 'sse-chunked',
  events: sseChunk,
  control: control => chunk(sseControl(control)),
}

/** SSE without chunks: HTTP/1.0, and streams that frame by themselves. */
export const ssePlain: Encoding<Buffer> = {
  name: 'sse',
  events: sseEvents,
  control: control => Buffer.from(sseControl(control)),
}

/** First byte of a final text frame. */
const TEXT = 0x81

/** A final, unmasked WebSocket frame (RFC 6455, section 5.2). @param first its first byte: flags and opcode */
export function textFrame(payload: string | Buffer, first = TEXT): Buffer {
  const { frame, head } = emptyFrame(Buffer.byteLength(payload), first)
  if (typeof payload === 'string') frame.write(payload, head)
  else payload.copy(frame, head)
  return frame
}

/** A frame for a payload of `length` bytes, which begins at `head`. */
function emptyFrame(length: number, first: number): { frame: Buffer; head: number } {
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const frame = Buffer.allocUnsafe(head + length)
  frame[0] = first
  if (head === 2) frame[1] = length
  else if (head === 4) {
    frame[1] = 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 127
    frame.writeBigUInt64BE(BigInt(length), 2)
  }
  return { frame, head }
}

/** The events of one message, and the bytes of its lines. */
interface Message {
  readonly events: WireEvent[]
  bytes: number
}

/** Events as messages of lines, each at most {@link FRAME_BYTES} unless one event is larger. */
function messagesOf(events: readonly WireEvent[]): Message[] {
  const messages: Message[] = []
  for (const event of events) {
    const last = messages.at(-1)
    if (!last || last.bytes + 1 + event.bytes > FRAME_BYTES) {
      messages.push({ events: [event], bytes: event.bytes })
      continue
    }
    last.events.push(event)
    last.bytes += 1 + event.bytes
  }
  return messages
}

function writeLines(target: Buffer, at: number, events: readonly WireEvent[]): void {
  let end = at
  for (const [i, event] of events.entries()) {
    if (i > 0) end += target.write('\n', end, 'latin1')
    end += event.writeJson(target, end)
  }
}

const linesOf = (events: readonly WireEvent[]) => events.map(({ json }) => json).join('\n')

/** The payload of each message of these events. */
export function eventMessages(events: readonly WireEvent[]): Buffer[] {
  return messagesOf(events).map(({ events, bytes }) => {
    if (!isLarge(events)) return Buffer.from(linesOf(events))
    const payload = Buffer.allocUnsafe(bytes)
    writeLines(payload, 0, events)
    return payload
  })
}

function frameOf({ events, bytes }: Message): Buffer {
  if (!isLarge(events)) return textFrame(linesOf(events))
  const { frame, head } = emptyFrame(bytes, TEXT)
  writeLines(frame, head, events)
  return frame
}

/** WebSocket text messages of events separated by `\n`. */
export const websocket: Encoding<Buffer> = {
  name: 'websocket',
  events(events) {
    const frames = messagesOf(events).map(frameOf)
    return frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames)
  },
  control: control => textFrame(JSON.stringify(control)),
}
