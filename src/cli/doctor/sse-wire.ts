/** Watches an event stream, answered to a GET or to a POST. */
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { constants, createBrotliDecompress, createUnzip } from 'node:zlib'
import { createParser } from 'eventsource-parser'
import { bodyOf, open, type Question, reasonOf, refusalOf } from './http.ts'
import { Sighting } from './sighting.ts'
import { now } from './time.ts'

/** Characters of one unfinished event. */
const EVENT_CHARS = 64 * 1024

/** What browsers ask for, so that whatever compresses on the way does. */
export const BROWSER_ENCODINGS = 'gzip, deflate, br'

/** Opens a stream and watches it until it ends or `question.signal` aborts. */
export function watchSse(question: Question): Sighting {
  const sighting = new Sighting()
  watch(question, sighting).catch(error => {
    if (!question.signal.aborted) fail(sighting, error)
    sighting.over()
  })
  return sighting
}

/** Before the head it is a failure; after it the stream was cut. */
function fail(sighting: Sighting, error: Error): void {
  const { code } = error as NodeJS.ErrnoException
  if (sighting.opened && (code === 'ECONNRESET' || code === 'Z_BUF_ERROR')) sighting.close()
  else sighting.failure = reasonOf(error)
}

async function watch(question: Question, sighting: Sighting): Promise<void> {
  const headers = { 'accept-encoding': BROWSER_ENCODINGS, ...question.headers, accept: 'text/event-stream' }
  const response = await open({ ...question, headers })
  sighting.headers = response.headers
  if (response.statusCode !== 200 || !/^text\/event-stream\b/i.test(response.headers['content-type'] ?? '')) {
    const text = await bodyOf(response)
    sighting.refusal = refusalOf({ status: response.statusCode ?? 0, headers: response.headers, text })
    return sighting.over()
  }
  sighting.opened = true
  response.on('data', () => {
    sighting.lastByteAt = now()
  })
  let arrivedAt = 0
  const parser = createParser({
    maxBufferSize: EVENT_CHARS,
    onEvent: ({ data }) => {
      sighting.take(data, arrivedAt)
    },
    onError: error => {
      if (error.type === 'max-buffer-size-exceeded') throw error
    },
  })
  const decoder = new TextDecoder()
  for await (const piece of decoded(response) as AsyncIterable<Buffer>) {
    arrivedAt = now()
    parser.feed(decoder.decode(piece, { stream: true }))
  }
  sighting.close()
}

function decoded(response: IncomingMessage): Readable {
  const encoding = response.headers['content-encoding']?.toLowerCase() ?? 'identity'
  if (encoding === 'identity') return response
  const decoder =
    encoding === 'br'
      ? createBrotliDecompress({ flush: constants.BROTLI_OPERATION_FLUSH })
      : createUnzip({ flush: constants.Z_SYNC_FLUSH })
  response.on('error', error => decoder.destroy(error))
  return response.pipe(decoder)
}
