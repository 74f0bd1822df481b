/** Creates the server for HTTP or HTTPS, with the same timeouts and the same answers to invalid requests. */
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
  /** The certificate, followed by the intermediate ones. */
  readonly cert: string | Buffer
  /** The private key of the certificate. */
  readonly key: string | Buffer
}

/** Streams that one HTTP/2 connection may have open: as many as a WebSocket has subscriptions, and some for commands. */
const STREAMS = 128

/** Time for a client to read the answer to an invalid request, in ms. */
const LINGER_MS = 1000

type Times = Pick<ConnectionLimits, 'headersMs' | 'idleMs'>

/**
 * Creates a server for plain HTTP/1.1, or with a certificate for HTTP/2 and HTTP/1.1 on one port (ALPN, RFC 7301). Both
 * have the type of the plain one, since the routes are the same.
 */
export function createHttpServer(handler: RequestListener, times: Times, tls: Tls | undefined): Server {
  const server = tls ? secureServer(handler, times, tls) : createServer(handler)
  // There is no limit for a whole request: an ingest may take hours, and bodies have their own deadline. The secure
  // server's defaults differ from the plain one's, so every timeout is set on both.
  Object.assign(server, {
    requestTimeout: 0,
    headersTimeout: times.headersMs,
    keepAliveTimeout: times.idleMs,
    connectionsCheckingInterval: Math.min(30_000, Math.max(100, times.headersMs / 2)),
    // Health checks of load balancers may lack it; other routes refuse such requests themselves.
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
      // Off by default here, unlike for plain HTTP: Nagle's algorithm would delay a small second write by 40 ms.
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

/** A complete error response as text, with the same body as every other refusal. */
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

/** Listener of `clientError`: answers an invalid request and closes the connection. */
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
  // Closing a socket with unread bytes would reset it, and the client would lose the answer.
  socket.resume()
  const cut = setTimeout(() => socket.destroy(), LINGER_MS)
  socket.once('close', () => clearTimeout(cut))
}

/**
 * Connections that the system may accept before this process does; Linux allows as many (`net.core.somaxconn`). After a
 * restart all clients come at once. Of those that find no room the system drops the handshake, and the client's own system
 * tries again after 1 s, then 2, 4 and so on. Node's default is 511.
 */
export const BACKLOG = 4096

/**
 * Listens on the other addresses of a host name, with the same port: `localhost` is often both 127.0.0.1 and ::1. Their
 * connections are passed to `server`, so that its limits include them. Addresses that cannot be bound are skipped.
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
      listener
        .once('error', () => resolve(false))
        .listen({ host: address, port, backlog: BACKLOG }, () => resolve(true))
    })
    if (listens) opened.push(listener)
  }
  return opened
}
