/** Requests with an answer: commands and polls, on a line that is kept. */
import http from 'node:http'
import type { ClientHttp2Session, OutgoingHttpHeaders } from 'node:http2'
import https from 'node:https'

export interface Answer {
  status: number
  body: Buffer
}

/** One request after the other; those of HTTP/2 at the same time. */
export interface Line {
  /** Resolves with the answer. Rejects when the line is closed first. */
  request(method: 'GET' | 'POST', path: string, headers: OutgoingHttpHeaders, body?: string): Promise<Answer>
  close(): void
}

/** A connection with HTTP/1.1, which is opened again when the server has closed it. */
export function http1(port: number, tls: boolean): Line {
  const { Agent, request } = tls ? https : http
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ...(tls && { rejectUnauthorized: false }) })
  return {
    request: (method, path, headers, body) =>
      new Promise((resolve, reject) => {
        const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
        const asked = request(
          { agent, port, host: '127.0.0.1', method, path, headers: { ...headers, ...length } },
          answer => {
            const parts: Buffer[] = []
            answer.on('data', part => parts.push(part))
            answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(parts) }))
            answer.on('error', reject)
          },
        )
        asked.on('error', reject)
        asked.end(body)
      }),
    close: () => agent.destroy(),
  }
}

/** A session with HTTP/2, which others may use, too: it stays open. */
export const http2 = (session: ClientHttp2Session): Line => ({
  request: (method, path, headers, body) =>
    new Promise((resolve, reject) => {
      const stream = session.request({ ':method': method, ':path': path, ...headers })
      const parts: Buffer[] = []
      let status = 0
      stream.on('response', head => {
        status = Number(head[':status'])
      })
      stream.on('data', part => parts.push(part))
      stream.on('end', () => resolve({ status, body: Buffer.concat(parts) }))
      stream.on('error', reject)
      stream.end(body)
    }),
  close() {},
})
