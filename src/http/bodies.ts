/** Bodies of requests: read with a deadline for the next bytes, and never waited for without one. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { Readable } from 'node:stream'
import { TwinrailError } from '../protocol/index.ts'
import { startTimer } from '../protocol/timers.ts'

export function tooLarge(limit: number): TwinrailError {
  return new TwinrailError('too-large', `the body is larger than ${limit} bytes; send less`)
}

function tooLate(idleMs: number): TwinrailError {
  return new TwinrailError(
    'timeout',
    `nothing of the body arrived for ${idleMs} ms; send the request again, and its body without such a pause`,
  )
}

/** The client has left in the middle. Nobody reads the answer, and the server did nothing wrong. */
function cutShort(): TwinrailError {
  return new TwinrailError('bad-request', 'the connection was closed before the body was complete')
}

/**
 * The whole body, of at most `limit` bytes.
 * @throws TwinrailError `too-large`; `timeout` when nothing arrives for `idleMs`; `bad-request` when it is cut short
 */
export function readBody(body: Readable, limit: number, idleMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let bytes = 0
    let cancel = startTimer(idleMs, () => settle(tooLate(idleMs)))
    const take = (part: Buffer) => {
      bytes += part.length
      if (bytes > limit) return settle(tooLarge(limit))
      parts.push(part)
      cancel()
      cancel = startTimer(idleMs, () => settle(tooLate(idleMs)))
    }
    const end = () => settle()
    const cut = () => settle(cutShort())
    const settle = (error?: TwinrailError) => {
      cancel()
      body.off('data', take).off('end', end).off('error', cut).off('close', cut)
      // What still comes is read and dropped; unread, it would block the connection.
      body.on('error', () => {}).resume()
      if (error) reject(error)
      else resolve(Buffer.concat(parts, bytes))
    }
    body.on('data', take).on('end', end).on('error', cut).on('close', cut)
  })
}

/**
 * The body piece by piece as it arrives. The deadline runs only while the next piece is waited for, not while the one
 * before is worked on.
 * @throws TwinrailError `timeout` when nothing arrives for `idleMs`; `bad-request` when it is cut short
 */
export async function* chunksOf(body: Readable, idleMs: number): AsyncGenerator<Buffer> {
  const iterator = body.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>
  for (;;) {
    const next = iterator.next()
    let cancel = () => {}
    const late = new Promise<never>((_, reject) => {
      cancel = startTimer(idleMs, () => reject(tooLate(idleMs)))
    })
    let piece: IteratorResult<Buffer>
    try {
      piece = await Promise.race([next, late])
    } catch (error) {
      throw error instanceof TwinrailError ? error : cutShort()
    } finally {
      cancel()
    }
    if (piece.done) return
    yield piece.value
  }
}

/**
 * Passes requests on, and ends the connection of one that was answered before its body came, such as a refused one, if
 * the rest does not come within `restMs`. On HTTP/2 it ends the stream.
 */
export function withoutEndlessBodies(handle: RequestListener, restMs: number): RequestListener {
  return (request, response) => {
    if (mayHaveBody(request)) {
      // An HTTP/2 response says that it is finished only once its stream is closed, by the client too.
      const sent = streamOf(response) ?? response
      // The stream of a HEAD has been ended before.
      if (sent.writableEnded) awaitRest(request, response, restMs)
      else sent.once('finish', () => awaitRest(request, response, restMs))
    }
    handle(request, response)
  }
}

function mayHaveBody({ headers, httpVersionMajor, readableEnded }: IncomingMessage): boolean {
  if (httpVersionMajor > 1) return !readableEnded
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

function awaitRest(request: IncomingMessage, response: ServerResponse, restMs: number): void {
  const stream = streamOf(response)
  if (request.complete || stream?.closed) return
  const end = stream ? () => stream.close() : () => request.socket.destroy()
  const cancel = startTimer(restMs, end, { unref: true })
  for (const event of ['end', 'close'] as const) request.once(event, cancel)
}

function streamOf(response: ServerResponse): ServerHttp2Stream | undefined {
  return (response as unknown as { stream?: ServerHttp2Stream }).stream
}
