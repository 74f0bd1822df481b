/** Encodings: how events and control messages become bytes on each wire. PROTOCOL.md, "SSE" and "WebSocket". */
import { type Control, FRAME_BYTES } from '../protocol/index.ts'

/** An event ready for a wire: a logged one with its offset, or an ephemeral one without. */
export interface WireEvent {
  readonly offset?: string | undefined
  readonly json: string
  /** UTF-8 bytes of the JSON. */
  readonly bytes: number
}

/** One wire's form. `B` is what its rail writes; the same value goes to every subscriber that shares it. */
export interface Encoding<B> {
  readonly name: string
  events(events: readonly WireEvent[]): B
  control(control: Control): B
}

const sseEvent = ({ offset, json }: WireEvent) =>
  offset === undefined ? `data: ${json}\n\n` : `id: ${offset}\ndata: ${json}\n\n`

/** A control's SSE text. Only `caught-up` has an id, so that a stream without events yet resumes where it stands. */
export function sseControl(control: Control): string {
  const id = control.type === 'caught-up' ? `id: ${control.offset}\n` : ''
  return `${id}event: ${control.type}\ndata: ${JSON.stringify(control)}\n\n`
}

/** Puts an HTTP/1.1 chunk around a body. */
export function chunk(body: string): Buffer {
  return Buffer.from(`${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n`)
}

/** SSE inside HTTP/1.1 chunks, written straight to the socket. */
export const sseChunked: Encoding<Buffer> = {
  name: 'sse-chunked',
  events: events => chunk(events.map(sseEvent).join('')),
  control: control => chunk(sseControl(control)),
}

/** SSE without chunks: HTTP/1.0, and streams that frame by themselves. */
export const ssePlain: Encoding<Buffer> = {
  name: 'sse',
  events: events => Buffer.from(events.map(sseEvent).join('')),
  control: control => Buffer.from(sseControl(control)),
}

/** A final, unmasked WebSocket text frame (RFC 6455, section 5.2). */
export function textFrame(text: string): Buffer {
  const length = Buffer.byteLength(text)
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const frame = Buffer.allocUnsafe(head + length)
  frame[0] = 0x81
  if (head === 2) frame[1] = length
  else if (head === 4) {
    frame[1] = 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 127
    frame.writeUInt32BE(Math.floor(length / 2 ** 32), 2)
    frame.writeUInt32BE(length % 2 ** 32, 6)
  }
  frame.write(text, head)
  return frame
}

/** WebSocket text messages of events separated by `\n`, each at most {@link FRAME_BYTES} unless one event is larger. */
export const websocket: Encoding<Buffer> = {
  name: 'websocket',
  events(events) {
    const frames: Buffer[] = []
    let lines: string[] = []
    let bytes = 0
    for (const { json, bytes: added } of events) {
      if (lines.length > 0 && bytes + 1 + added > FRAME_BYTES) {
        frames.push(textFrame(lines.join('\n')))
        lines = []
        bytes = 0
      }
      bytes += added + (lines.length > 0 ? 1 : 0)
      lines.push(json)
    }
    frames.push(textFrame(lines.join('\n')))
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
