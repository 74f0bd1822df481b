/** What Fastify's types hide of HTTP/2. */
import type { ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'

/** The HTTP/2 stream of a response; `undefined` on HTTP/1. */
export function streamOf(response: ServerResponse): ServerHttp2Stream | undefined {
  return (response as unknown as { stream?: ServerHttp2Stream }).stream
}
