/** Reads request bodies, with a deadline for the next bytes. */
import { isUtf8 } from 'node:buffer'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import { TwinrailError } from '../protocol/index.ts'
import type { Arriving } from './arriving.ts'
import { startDeadline } from './deadline.ts'
import { Gathered } from './gathered.ts'
import { streamOf } from './http2.ts'

export function tooLarge(limit: number): TwinrailError {
  return new TwinrailError('too-large', `the body is larger than ${limit} bytes; send less`)
}

function tooLate(idleMs: number): TwinrailError {
  return new TwinrailError(
    'timeout',
    `nothing of the body arrived for ${idleMs} ms; send the request again, and its body without such a pause`,
  )
}

/** The memory for what is not complete is used up. */
function givenUp(): TwinrailError {
  return new TwinrailError(
    'rate-limited',
    'too much that is not complete has begun to arrive from all clients together; send the request again later',
    { retryAfterMs: 1000 },
  )
}

/** The client disconnected during the body. Nobody reads the answer; its code keeps it out of the server's errors. */
function cutShort(): TwinrailError {
  return new TwinrailError('bad-request', 'the connection was closed before the body was complete')
}

const sizes = new WeakMap<IncomingMessage, number>()

/** Notes the size of a request's body, which {@link takeBodySize} gives. */
export function noteBodySize(request: IncomingMessage, bytes: number): void {
  sizes.set(request, bytes)
}

/** The bytes of the body, once for each request; 0 after that, and without a body that was read as a whole. */
export function takeBodySize(request: IncomingMessage): number {
  const bytes = sizes.get(request) ?? 0
  sizes.delete(request)
  return bytes
}

/** The text of bytes. @throws TwinrailError `bad-request` when they are not UTF-8, rather than other characters */
export function textOf(bytes: Buffer, what: string): string {
  if (!isUtf8(bytes)) throw new TwinrailError('bad-request', `the ${what} is not UTF-8`)
  return bytes.toString()
}

/**
 * Gathers the whole body, of at most `limit` bytes; the caller takes it.
 * @throws TwinrailError `too-large`; `timeout` when nothing arrives for `idleMs`; `bad-request` when it is cut short;
 * `rate-limited` when its memory is needed for others
 */
export function readBody(
  body: Readable,
  limit: number,
  idleMs: number,
  arriving: Arriving,
): Promise<Gathered> {
  return new Promise((resolve, reject) => {
    const gathered = new Gathered()
    let cancel = startDeadline(idleMs, () => settle(tooLate(idleMs)))
    const take = (part: Buffer) => {
      if (gathered.length + part.length > limit) return settle(tooLarge(limit))
      gathered.add(part)
      cancel()
      cancel = startDeadline(idleMs, () => settle(tooLate(idleMs)))
      arriving.set(holder, gathered.capacity)
    }
    const end = () => settle()
    const cut = () => settle(cutShort())
    const holder = { giveUp: () => settle(givenUp()) }
    const settle = (error?: TwinrailError) => {
      cancel()
      arriving.set(holder, 0)
      body.off('data', take).off('end', end).off('error', cut).off('close', cut)
      // Further bytes are read and dropped; unread, they would block the connection.
      body.on('error', () => {}).resume()
      if (!error) return resolve(gathered)
      gathered.drop()
      reject(error)
    }
    body.on('data', take).on('end', end).on('error', cut).on('close', cut)
  })
}

/**
 * Yields the body's chunks as they arrive. The deadline runs only while the caller waits for the next chunk, not while
 * it processes one.
 * @throws TwinrailError `timeout` when nothing arrives for `idleMs`; `bad-request` when the connection closes
 */
export async function* chunksOf(body: Readable, idleMs: number): AsyncGenerator<Buffer> {
  const iterator = body.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Buffer>
  let isWaiting = false
  try {
    for (;;) {
      isWaiting = true
      const piece = await inTime(iterator.next(), idleMs)
      isWaiting = false
      if (piece.done) return
      yield piece.value
    }
  } finally {
    // Detaches the iterator, so that the rest of the body can be read otherwise. While a chunk is awaited, `return`
    // would wait for it.
    if (!isWaiting) await iterator.return?.()
  }
}

/** @throws TwinrailError `timeout` when the chunk is late; `bad-request` when the connection closes */
async function inTime(
  next: Promise<IteratorResult<Buffer>>,
  idleMs: number,
): Promise<IteratorResult<Buffer>> {
  let cancel = () => {}
  const late = new Promise<never>((_, reject) => {
    cancel = startDeadline(idleMs, () => reject(tooLate(idleMs)))
  })
  try {
    return await Promise.race([next, late])
  } catch (error) {
    throw error instanceof TwinrailError ? error : cutShort()
  } finally {
    cancel()
  }
}

/**
 * Wraps a request listener. A request may be answered before its body has arrived, such as a refused one: when the rest
 * of the body does not arrive within `restMs`, its connection is closed, on HTTP/2 its stream.
 */
export function withoutEndlessBodies(handle: RequestListener, restMs: number): RequestListener {
  return (request, response) => {
    if (mayHaveBody(request)) {
      // An HTTP/2 response emits `finish` only after both sides have closed the stream, so its stream is used.
      const sent = streamOf(response) ?? response
      // The stream of a HEAD has already ended.
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
  const cancel = startDeadline(restMs, end, { unref: true })
  for (const event of ['end', 'close'] as const) request.once(event, cancel)
}
