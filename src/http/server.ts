/** The server for plain HTTP and the one for HTTPS, with the same time-outs and the same answers to bytes that are no request. */
import { lookup } from 'node:dns/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createSecureServer, type Http2SecureServer, type ServerHttp2Session } from 'node:http2'
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from 'node:net'
import { TLSSocket } from 'node:tls'
import type { ConnectionLimits } from './limits.ts'

/** Certificate chain and private key, as PEM. */
export interface Tls {
  readonly cert: string | Buffer
  readonly key: string | Buffer
}

/** Streams that one HTTP/2 connection may have open: those of a WebSocket's subscriptions, and as many commands. */
const STREAMS = 200

/** How long a client gets to read the answer to something that is no request, in ms. */
const LINGER_MS = 1000

type Times = Pick<ConnectionLimits, 'headersMs' | 'idleMs'>

/**
 * Plain HTTP/1.1, or with a certificate HTTP/2 and HTTP/1.1 on one port (ALPN, RFC 7301). The type is that of the plain
 * one: routes do not differ.
 */
export function createHttpServer(handler: RequestListener, times: Times, tls: Tls | undefined): Server {
  const server = tls ? secureServer(handler, times, tls) : createServer(handler)
  // A request may follow after a long time on the same connection, and an ingest may take hours: bodies have a deadline
  // of their own. The secure server has other defaults than the plain one, so each time is set on both.
  Object.assign(server, {
    requestTimeout: 0,
    headersTimeout: times.headersMs,
    keepAliveTimeout: times.idleMs,
    connectionsCheckingInterval: Math.min(30_000, Math.max(100, times.headersMs / 2)),
    // Probes of load balancers come without one; other routes refuse that by themselves.
    requireHostHeader: false,
  })
  return server as Server
}

function secureServer(
  handler: RequestListener,
  { headersMs, idleMs }: Times,
  { cert, key }: Tls,
): Http2SecureServer {
  const server = createSecureServer(
    {
      allowHTTP1: true,
      // Unlike the server of plain HTTP, this one leaves Nagle's algorithm on unless told: 40 ms for a small second write.
      ...{ noDelay: true },
      cert,
      key,
      settings: { maxConcurrentStreams: STREAMS },
      handshakeTimeout: headersMs,
    },
    handler as unknown as Parameters<typeof createSecureServer>[1],
  )
  server.on('session', (session: ServerHttp2Session) => {
    session.setTimeout(idleMs, () => session.close())
  })
  return server
}

/** A response without a request, in the form of every other refusal. */
function response(status: string, code: string, message: string): string {
  const body = JSON.stringify({ error: { code, message, requestId: '' } })
  return `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
}

const unreadable = response('400 Bad Request', 'bad-request', 'the request is not valid HTTP')
const answers: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: response(
    '431 Request Header Fields Too Large',
    'bad-request',
    'the head of the request is larger than 16 KiB; send shorter headers, such as fewer cookies',
  ),
  ERR_HTTP_REQUEST_TIMEOUT: response(
    '408 Request Timeout',
    'timeout',
    'the head of the request did not arrive in time; send it again',
  ),
}

/** Answers bytes that are no request, and ends the connection: the listener of `clientError`. */
export function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  // An error response must not be written into a response that has begun, such as an event stream.
  const { _httpMessage: begun } = socket as { _httpMessage?: { headersSent: boolean } }
  // Before the handshake nothing can be written to a TLS socket.
  const unsecured = socket instanceof TLSSocket && socket.getProtocol() === null
  if (error.code === 'ECONNRESET' || unsecured || !socket.writable || begun?.headersSent) {
    socket.destroy()
    return
  }
  socket.end(answers[error.code ?? ''] ?? unreadable)
  // Closed at once, with bytes unread, the system would take the answer back.
  socket.resume()
  const cut = setTimeout(() => socket.destroy(), LINGER_MS)
  socket.once('close', () => clearTimeout(cut))
}

/**
 * Listens on the other addresses that a host name has, with the same port: `localhost` is often both 127.0.0.1 and ::1.
 * Their connections go to `server`, so that its limits hold for all of them. Addresses that cannot be used are left out.
 * @returns the listeners, to be closed with the server
 */
export async function listenBeside(server: Server, host: string): Promise<TcpServer[]> {
  const { address: main, port } = server.address() as AddressInfo
  const addresses = await lookup(host, { all: true }).catch(() => [])
  const opened: TcpServer[] = []
  for (const { address } of addresses) {
    if (address === main) continue
    const listener = createTcpServer({ allowHalfOpen: true, noDelay: true }, socket =>
      server.emit('connection', socket),
    )
    const listens = await new Promise<boolean>(resolve => {
      listener.once('error', () => resolve(false)).listen({ host: address, port }, () => resolve(true))
    })
    if (listens) opened.push(listener)
  }
  return opened
}
