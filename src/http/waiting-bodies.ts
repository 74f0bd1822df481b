/** Bodies of requests that have not been started. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { constants } from 'node:http2'
import type { Arriving } from './arriving.ts'
import { streamOf } from './http2.ts'

/** What a client may send of an HTTP/2 stream's body before the server reads it: the initial window (RFC 9113, 6.9.2). */
const WINDOW_BYTES = 65_535

/**
 * Counts what the client may have sent of an HTTP/2 request's body as arriving, until the returned function is called: when
 * the request is started, and reads it. Node keeps it meanwhile, for each of a connection's streams. Where too much is
 * arriving the stream is refused, which tells the client that it may send the request again (RFC 9113, 8.7).
 */
export function countWaitingBody(
  arriving: Arriving,
  request: IncomingMessage,
  response: ServerResponse,
): () => void {
  const stream = streamOf(response)
  if (!stream || stream.endAfterHeaders) return () => {}
  const { 'content-length': length = WINDOW_BYTES } = request.headers
  const holder = {
    giveUp() {
      stream.close(constants.NGHTTP2_REFUSED_STREAM)
      stream.resume()
    },
  }
  const stop = () => arriving.set(holder, 0)
  arriving.set(holder, Math.min(Number(length), WINDOW_BYTES))
  stream.once('close', stop)
  return () => {
    stream.off('close', stop)
    stop()
  }
}
