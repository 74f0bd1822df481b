/**
 * The bridge to @fastify/websocket: all that this server needs of the plugin and the plugin does not offer. The plugin
 * runs an upgrade through Fastify's router, so that hooks and authorization see it as a request.
 */
import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ServerOptions, WebSocket } from 'ws'
import { takeTicket } from '../auth/tickets.ts'
import { TwinrailError } from '../protocol/index.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The response that the plugin made for an upgrade; null once the upgrade is done. */
    upgradeResponse: ServerResponse | null
  }
}

export interface WebSocketOptions {
  /** The largest message that is read, in bytes; ws closes with 1009 above it. */
  maxPayload: number
  /** Whether `permessage-deflate` is accepted. */
  compression: boolean
  /** How long ws waits for the peer's close frame before it ends the connection, in ms. */
  closeTimeoutMs: number
  /** The subprotocol that is chosen when the client offers it. */
  subprotocol: string
  /** The path at which clients connect. */
  path: string
}

/** Registers the plugin. Only upgrades to WebSocket reach it; connections are closed by the server's own stop. */
export async function registerWebSocket(app: FastifyInstance, options: WebSocketOptions): Promise<void> {
  app.decorateRequest('upgradeResponse', null)
  const endpoints = new Set<string>()
  app.addHook('onRoute', ({ url, websocket, wsHandler }) => {
    if (websocket || wsHandler) endpoints.add(url)
  })
  await app.register(fastifyWebsocket, {
    options: {
      server: onlyWebSocketUpgrades(app.server),
      maxPayload: options.maxPayload,
      perMessageDeflate: options.compression && deflate,
      handleProtocols: offered => offered.has(options.subprotocol) && options.subprotocol,
      // Pings are answered by the transport: ws ends a connection that has 60 pongs to send.
      autoPong: false,
      // ws documents this option; its types lack it.
      ...{ closeTimeout: options.closeTimeoutMs },
    } satisfies ServerOptions,
    // ws has already begun to close with the right code (1002, 1007, 1009); the plugin's default would cut that short.
    errorHandler: (error, _socket, request) => request.log.debug({ err: error }, 'websocket error'),
    preClose: done => done(),
  })
  // After the plugin's own hook, which sets `ws`.
  app.addHook('onRequest', async (request, reply) => {
    if (!request.ws) return
    // The plugin would answer 101 and close the WebSocket at once.
    if (!endpoints.has(request.routeOptions.url ?? '')) throw noWebSocket(options.path)
    request.upgradeResponse = reply.raw
  })
}

function noWebSocket(path: string): TwinrailError {
  return new TwinrailError('not-found', `there is no WebSocket at this path; connect to ${path}`)
}

/**
 * ws never deflates a message here: the transport writes frames that were deflated once for all receivers, which takes
 * over the context and needs a window of its own size.
 */
const deflate = { clientNoContextTakeover: true }

/** The one extension that is spoken here, with parameters that its frames can meet. RFC 7692, section 7.1. */
const ACCEPTABLE =
  /^permessage-deflate(\s*;\s*(client_no_context_takeover|client_max_window_bits(\s*=\s*("(8|9|1[0-5])"|8|9|1[0-5]))?))*$/

/** Drops offers that cannot be met. ws would refuse the whole upgrade for one of them, where a server declines. */
function declineOffers({ headers }: IncomingMessage): void {
  const offered = headers['sec-websocket-extensions']
  if (offered === undefined) return
  const kept = offered
    .split(',')
    .map(offer => offer.trim())
    .filter(offer => ACCEPTABLE.test(offer) && !repeatsParameter(offer))
  if (kept.length > 0) headers['sec-websocket-extensions'] = kept.join(', ')
  else delete headers['sec-websocket-extensions']
}

function repeatsParameter(offer: string): boolean {
  const names = offer.split(';').map(part => part.split('=')[0]?.trim())
  return new Set(names).size < names.length
}

/**
 * Frees what an upgraded socket would hold for as long as it lives: the response that was never used (2.5 KiB), the
 * plugin's error listener with the request and its reply (2.5 KiB), and a second copy of the headers. The request's
 * `headers` stay for the `authorize` hook.
 */
export function releaseUpgrade(socket: WebSocket, request: FastifyRequest): void {
  request.upgradeResponse?.detachSocket(request.raw.socket)
  request.upgradeResponse = null
  request.raw.rawHeaders.length = 0
  // ws closes with the right code by itself; without a listener an error would end the process.
  socket.removeAllListeners('error').on('error', ignore)
}

const ignore = () => {}

/** Headers that ask for another protocol, or say how it would be spoken. */
const UPGRADE_HEADERS = new Set(['upgrade', 'http2-settings'])

const EMPTY = Buffer.alloc(0)

/** Whether a request asks for a WebSocket, rather than for another protocol. */
export const isWebSocket = (request: IncomingMessage) =>
  request.headers.upgrade?.toLowerCase() === 'websocket'

/**
 * Passes on only the upgrades to WebSocket. Node hands over every request with an `Upgrade` header once there is an
 * `upgrade` listener, yet a server may ignore the wish (RFC 9110, section 7.8), and must here: `curl --http2` and Java's
 * HttpClient begin every connection without TLS by asking for h2c.
 */
function onlyWebSocketUpgrades(server: Server): Server {
  const upgrades = new EventEmitter()
  // Node 24 and later ask, and answer what is refused here as a plain request. (Types are those of Node 20.)
  if ('shouldUpgradeCallback' in server)
    (server as { shouldUpgradeCallback(request: IncomingMessage): boolean }).shouldUpgradeCallback =
      isWebSocket
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    if (isWebSocket(request)) {
      declineOffers(request)
      // An empty head is a view on all that was read, which the plugin would keep for as long as the socket lives: 1 KiB.
      takeTicket(request)
      upgrades.emit('upgrade', request, socket, head.length > 0 ? head : EMPTY)
    } else ignoreUpgrade(server, request, socket, head)
  })
  // The plugin only listens for `upgrade` on what it is given as its server.
  return upgrades as Server
}

/** Gives the request to the server once more, without the headers that ask for an upgrade. */
export function ignoreUpgrade(server: Server, request: IncomingMessage, socket: Socket, head: Buffer): void {
  const { method, url, httpVersion, rawHeaders } = request
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name = '', value = ''] = [rawHeaders[i]?.toLowerCase(), rawHeaders[i + 1]]
    if (UPGRADE_HEADERS.has(name)) continue
    const kept = name === 'connection' ? withoutUpgrade(value) : value
    if (kept !== '') lines.push(`${name}: ${kept}`)
  }
  const plain = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  socket.unshift(head.length > 0 ? Buffer.concat([plain, head]) : plain)
  server.emit(socket instanceof TLSSocket ? 'secureConnection' : 'connection', socket)
}

/** The options of a `Connection` header without those that ask for an upgrade. */
function withoutUpgrade(connection: string): string {
  return connection
    .split(',')
    .map(option => option.trim())
    .filter(option => !UPGRADE_HEADERS.has(option.toLowerCase()))
    .join(', ')
}
