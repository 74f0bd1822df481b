/** Encodings: how events and control messages become bytes on each wire. PROTOCOL.md, "SSE" and "WebSocket". */
import { type Control, FRAME_BYTES } from '../protocol/index.ts'

/** An event ready for a wire: a logged one with its offset, or an ephemeral one without. */
export interface WireEvent {
  readonly offset?: string | undefined
  readonly json: string
  /** UTF-8 bytes of the JSON. */
  readonly bytes: number
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
const sseEvent = ({ offset, json }: WireEvent) =>
  offset === undefined ? `data: ${json}\n\n` : `data: ${json}\nid: ${offset}\n\n`

/** Events as SSE text. */
export function sseEvents(events: readonly WireEvent[]): string {
  return events.map(sseEvent).join('')
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
  events: events => chunk(sseEvents(events)),
  control: control => chunk(sseControl(control)),
}

/** SSE without chunks: HTTP/1.0, and streams that frame by themselves. */
export const ssePlain: Encoding<Buffer> = {
  name: 'sse',
  events: events => Buffer.from(sseEvents(events)),
  control: control => Buffer.from(sseControl(control)),
}

/** First byte of a final text frame. */
const TEXT = 0x81

/** A final, unmasked WebSocket frame (RFC 6455, section 5.2). @param first its first byte: flags and opcode */
export function textFrame(payload: string | Buffer, first = TEXT): Buffer {
  const length = Buffer.byteLength(payload)
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
  if (typeof payload === 'string') frame.write(payload, head)
  else payload.copy(frame, head)
  return frame
}

/** Events as messages of lines, each at most {@link FRAME_BYTES} unless one event is larger. */
export function eventMessages(events: readonly WireEvent[]): string[] {
  const messages: string[] = []
  let lines: string[] = []
  let bytes = 0
  for (const { json, bytes: added } of events) {
    if (lines.length > 0 && bytes + 1 + added > FRAME_BYTES) {
      messages.push(lines.join('\n'))
      lines = []
      bytes = 0
    }
    bytes += added + (lines.length > 0 ? 1 : 0)
    lines.push(json)
  }
  messages.push(lines.join('\n'))
  return messages
}

/** WebSocket text messages of events separated by `\n`. */
export const websocket: Encoding<Buffer> = {
  name: 'websocket',
  events(events) {
    const frames = eventMessages(events).map(message => textFrame(message))
    return frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames)
  },
  control: control => textFrame(JSON.stringify(control)),
}

/** What a subscription in this process gets: nothing is encoded. */
export type Message = { readonly event: WireEvent } | { readonly control: Control }

/** Events as they are, for readers in this process. */
export const messages: Encoding<readonly Message[]> = {
  name: 'messages',
  events: events => events.map(event => ({ event })),
  control: control => [{ control }],
}
