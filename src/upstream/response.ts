/** Sends a request to an upstream and reads its response at the pace of the log. */
import { type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { RunError } from '../agents/agent.ts'
import { startTimer } from '../protocol/timers.ts'

export interface UpstreamCall {
  readonly method: 'GET' | 'POST'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** Sent as JSON. */
  readonly body?: unknown
}

export interface CallLimits {
  /** Maximum time until the response's headers have arrived, in ms. */
  readonly headersTimeoutMs: number
  /** Maximum time without a byte of the response, in ms. A time in which the log does not read does not count. */
  readonly silenceTimeoutMs: number
}

export interface UpstreamResponse {
  /** Without its parameters, in lower case. */
  readonly contentType: string
  readonly headers: IncomingHttpHeaders
  /** The body. It is read from the socket only as fast as it is iterated. @throws RunError */
  readonly chunks: AsyncIterable<Uint8Array>
}

/** Redirects to the same origin that one call follows. */
const MAX_REDIRECTS = 3

/**
 * Resolves with a successful response once its headers have arrived.
 * @throws RunError `upstream-unreachable`, `upstream-timeout`, `upstream-redirect`, `upstream-refused` (4xx) or
 * `upstream-error` (5xx); the signal's reason when it aborts
 */
export async function call(
  upstream: UpstreamCall,
  limits: CallLimits,
  signal: AbortSignal,
): Promise<UpstreamResponse> {
  let { url } = upstream
  for (let redirects = 0; ; redirects++) {
    const response = await send({ ...upstream, url }, limits.headersTimeoutMs, signal)
    const { statusCode = 0, headers } = response
    if (statusCode >= 200 && statusCode < 300) {
      const contentType = (headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
      return { contentType, headers, chunks: read(response, limits.silenceTimeoutMs, signal) }
    }
    response.destroy()
    if (statusCode < 300 || statusCode >= 400) throw refused(statusCode)
    url = followed(url, statusCode, headers.location, redirects)
  }
}

function send(
  { method, url, headers, body }: UpstreamCall,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const json = body === undefined ? undefined : JSON.stringify(body)
  const sent = {
    ...(json !== undefined && {
      'content-type': 'application/json',
      'content-length': `${Buffer.byteLength(json)}`,
    }),
    ...headers,
    // Compression would hold frames back, and is not needed within a data centre.
    'accept-encoding': 'identity',
  }
  return new Promise((resolve, reject) => {
    const start = url.protocol === 'https:' ? requestHttps : requestHttp
    const request = start(url, { method, headers: sent, signal })
    const stopWaiting = startTimer(timeoutMs, () => {
      request.destroy(
        new RunError('upstream-timeout', `The agent's server sent no response within ${timeoutMs} ms.`, {
          retryable: true,
        }),
      )
    })
    request.on('response', response => {
      stopWaiting()
      resolve(response)
    })
    request.on('error', error => {
      stopWaiting()
      if (signal.aborted) reject(signal.reason)
      else reject(error instanceof RunError ? error : unreachable(error))
    })
    request.end(json)
  })
}

/** The response's bytes. A consumer that stops iterating closes the connection. */
async function* read(
  response: IncomingMessage,
  silenceMs: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  let stopWaiting = () => {}
  const wait = () => {
    stopWaiting = startTimer(silenceMs, () => {
      response.destroy(
        new RunError('upstream-timeout', `The agent's server sent nothing for ${silenceMs} ms.`, {
          retryable: true,
        }),
      )
    })
  }
  wait()
  try {
    for await (const chunk of response) {
      stopWaiting()
      yield chunk as Uint8Array
      wait()
    }
  } catch (error) {
    signal.throwIfAborted()
    throw error instanceof RunError ? error : lost(error)
  } finally {
    stopWaiting()
    response.destroy()
  }
}

/** The failure of a run whose upstream ended before it said that it was done. */
export function lost(cause?: unknown): RunError {
  return new RunError('upstream-lost', "The connection to the agent's server ended before its answer did.", {
    retryable: true,
    cause,
  })
}

function unreachable(cause: Error): RunError {
  const { code } = cause as { code?: unknown }
  const why = typeof code === 'string' ? ` (${code})` : ''
  return new RunError('upstream-unreachable', `The agent's server cannot be reached${why}.`, {
    retryable: true,
    cause,
  })
}

function refused(status: number): RunError {
  const retryable = status >= 500 || [408, 425, 429].includes(status)
  return new RunError(
    status >= 500 ? 'upstream-error' : 'upstream-refused',
    `The agent's server answered with status ${status}.`,
    { retryable },
  )
}

/** A redirect may send a prompt or a key to another server, so only the same origin is followed. */
function followed(url: URL, status: number, location: string | undefined, redirects: number): URL {
  const refuse = (why: string) =>
    new RunError('upstream-redirect', `The agent's server redirects with status ${status}, ${why}.`)
  if (location === undefined || !URL.canParse(location, url.href)) throw refuse('without a usable address')
  const next = new URL(location, url)
  if (next.origin !== url.origin) throw refuse('to another server; set its address as the url of the agent')
  if (status !== 307 && status !== 308) throw refuse('which drops the body of the request; use 307 or 308')
  if (redirects >= MAX_REDIRECTS) throw refuse(`more than ${MAX_REDIRECTS} times`)
  return next
}
