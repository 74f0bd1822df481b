/** Removes framing: HTTP/1.1 chunks, WebSocket frames, gzip and permessage-deflate. */
import { constants, inflateRawSync } from 'node:zlib'

export type Sink = (bytes: Buffer) => void

const EMPTY = Buffer.alloc(0)
const NEWLINE = Buffer.from('\n')

/** Buffers incomplete units. */
abstract class Decoder {
  #rest: Buffer = EMPTY

  push(bytes: Buffer): void {
    let chunk = this.#rest.length > 0 ? Buffer.concat([this.#rest, bytes]) : bytes
    for (let used = this.take(chunk); used > 0; used = this.take(chunk)) chunk = chunk.subarray(used)
    this.#rest = chunk.length > 0 ? Buffer.from(chunk) : EMPTY
  }

  /** Takes one complete unit off the front. @returns its length; 0 when none is complete */
  protected abstract take(chunk: Buffer): number
}

/** Bodies with `transfer-encoding: chunked` (RFC 9112, section 7.1). */
export class Dechunker extends Decoder {
  readonly #sink: Sink

  constructor(sink: Sink) {
    super()
    this.#sink = sink
  }

  protected take(chunk: Buffer): number {
    const line = chunk.indexOf('\r\n')
    if (line < 0) return 0
    const size = Number.parseInt(chunk.toString('latin1', 0, line), 16)
    const end = line + 2 + size
    if (chunk.length < end + 2) return 0
    if (size > 0) this.#sink(chunk.subarray(line + 2, end))
    return end + 2
  }
}

/** Unmasked, whole messages, as servers send them (RFC 6455, section 5.2). */
export class Deframer extends Decoder {
  readonly #onMessage: (opcode: number, payload: Buffer, compressed: boolean) => void

  constructor(onMessage: (opcode: number, payload: Buffer, compressed: boolean) => void) {
    super()
    this.#onMessage = onMessage
  }

  protected take(chunk: Buffer): number {
    if (chunk.length < 2) return 0
    const short = (chunk[1] as number) & 0x7f
    const start = short === 126 ? 4 : short === 127 ? 10 : 2
    if (chunk.length < start) return 0
    const size =
      short === 126 ? chunk.readUInt16BE(2) : short === 127 ? Number(chunk.readBigUInt64BE(2)) : short
    if (chunk.length < start + size) return 0
    const first = chunk[0] as number
    this.#onMessage(first & 0x0f, chunk.subarray(start, start + size), (first & 0x40) !== 0)
    return start + size
  }
}

/** Largest distance that deflate refers back (RFC 1951). */
const WINDOW_BYTES = 32 * 1024

/** Length of a gzip header (RFC 1952) without a file name. */
const GZIP_HEAD_BYTES = 10

/**
 * Inflates a stream that is flushed after each message, one message at a time and synchronously: each is a block of its
 * own whose dictionary is the text before it.
 */
class Inflater {
  #before: Buffer = EMPTY

  take(block: Buffer): Buffer {
    const text = inflateRawSync(block, { dictionary: this.#before, finishFlush: constants.Z_SYNC_FLUSH })
    this.#before = Buffer.concat([this.#before, text]).subarray(-WINDOW_BYTES)
    return text
  }
}

/** End of a flushed block; `permessage-deflate` senders leave it out (RFC 7692, section 7.2.1). */
const TAIL = Buffer.from([0, 0, 0xff, 0xff])

/** A masked text frame, as clients must send; the mask is zero. */
export function clientFrame(text: string): Buffer {
  const payload = Buffer.from(text)
  const head = payload.length < 126 ? Buffer.alloc(6) : Buffer.alloc(8)
  head[0] = 0x81
  if (payload.length < 126) head[1] = 0x80 | payload.length
  else {
    head[1] = 0x80 | 126
    head.writeUInt16BE(payload.length, 2)
  }
  return Buffer.concat([head, payload])
}

/** Whether a response's head announces compression. */
export const isCompressed = (head: string) =>
  /^content-encoding: *gzip/im.test(head) || /^sec-websocket-extensions: *permessage-deflate/im.test(head)

/** @returns a sink for a response's body that passes its text on; messages are separated by line feeds */
export function unwrap(wire: 'sse' | 'websocket', head: string, sink: Sink): Sink {
  if (wire === 'sse') {
    const inflater = new Inflater()
    let ahead = GZIP_HEAD_BYTES
    let block: Buffer = EMPTY
    const gunzip: Sink = bytes => {
      const deflated = bytes.subarray(ahead)
      ahead -= bytes.length - deflated.length
      // A compressor per connection may write a block in parts.
      block = Buffer.concat([block, deflated])
      if (!block.subarray(-TAIL.length).equals(TAIL)) return
      sink(inflater.take(block))
      block = EMPTY
    }
    const chunks = new Dechunker(isCompressed(head) ? gunzip : sink)
    return bytes => chunks.push(bytes)
  }
  const inflater = new Inflater()
  const frames = new Deframer((opcode, payload, compressed) => {
    if (opcode !== 1) return
    sink(compressed ? inflater.take(Buffer.concat([payload, TAIL])) : payload)
    sink(NEWLINE)
  })
  return bytes => frames.push(bytes)
}
