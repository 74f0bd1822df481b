/** The forms that an event stream's body takes: plain or gzip, in chunks or not. */
import type { FastifyRequest } from 'fastify'
import { GZIP_HEAD, type GzipPiece, GzipTrailer, gzipText, sseGzip } from '../bus/compression.ts'
import { type Encoding, sseChunked, ssePlain } from '../bus/encoding.ts'

/** How one response's bytes are made. */
export interface SseBody<B> {
  readonly encoding: Encoding<B>
  /** Headers that it needs. */
  readonly headers: Record<string, string>
  /** What goes through the response's own `write`, right after its head. */
  first(text: string): string | Buffer
  /** The bytes of a batch for the socket itself, or for the HTTP/2 stream. */
  bytesOf(batch: B): Buffer
  /** What goes through the response's own `end`. */
  last(text: string): string | Buffer
}

/** Chooses by what the client takes and the server allows; only HTTP/1.1 has chunks, HTTP/1.0 has no compression. */
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
