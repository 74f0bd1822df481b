/** The forms of an event stream's body: plain or gzip, with or without chunked encoding. */
import type { FastifyRequest } from 'fastify'
import { GZIP_HEAD, type GzipPiece, GzipTrailer, gzipText, sseGzip } from '../bus/compression.ts'
import { type Encoding, sseChunked, ssePlain } from '../bus/encoding.ts'

/** The encoding of one response's body. */
export interface SseBody<B> {
  readonly encoding: Encoding<B>
  /** Headers of the response. */
  readonly headers: Record<string, string>
  /** The first bytes, written by the response's own `write` right after the head. */
  first(text: string): string | Buffer
  /** The bytes of a batch for the socket itself, or for the HTTP/2 stream. */
  bytesOf(batch: B): Buffer
  /** The last bytes, written by the response's own `end`. */
  last(text: string): string | Buffer
}

/**
 * Chooses the form that the client accepts and the server allows. Only HTTP/1.1 has chunks; HTTP/1.0 gets no
 * compression.
 */
export function sseBody({ raw, headers }: FastifyRequest, compression: boolean): SseBody<unknown> {
  const chunked = raw.httpVersion === '1.1'
  const compressed = compression && raw.httpVersion !== '1.0' && acceptsGzip(headers['accept-encoding'])
  return (compressed ? gzip(chunked) : plain(chunked ? sseChunked : ssePlain)) as unknown as SseBody<unknown>
}

function acceptsGzip(header: string | string[] | undefined): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(\.0*)?(\s|,|$))/i.test(String(header ?? ''))
}

function plain(encoding: Encoding<Buffer>): SseBody<Buffer> {
  const asItIs = (text: string) => text
  return { encoding, headers: {}, first: asItIs, bytesOf: batch => batch, last: asItIs }
}

function gzip(chunked: boolean): SseBody<GzipPiece> {
  const sum = new GzipTrailer()
  const blockOf = (text: string) => {
    const piece = gzipText(text)
    sum.add(piece)
    return piece.block
  }
  return {
    encoding: sseGzip,
    headers: { 'content-encoding': 'gzip' },
    first: text => Buffer.concat([GZIP_HEAD, blockOf(text)]),
    bytesOf(piece) {
      sum.add(piece)
      return chunked ? piece.chunk : piece.block
    },
    last: text => (text === '' ? sum.end() : Buffer.concat([blockOf(text), sum.end()])),
  }
}
