/** Mounts a server in an app of Node's `http`, Express, or a custom server of Next.js. docs/mount.md. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { MountOptions } from '../options.ts'
import { ignoreUpgrade, isWebSocket } from '../routes/websocket-bridge.ts'
import type { Typed } from '../server-types.ts'
import { createMounted, type MountedServer } from './mounted.ts'

/** A server for an app that listens itself. */
export interface Handler<Types = unknown> extends MountedServer, Typed<Types> {
  /**
   * Answers a request below the prefix. For another one it calls `next`, or without one answers 404. It must come before
   * anything that reads bodies, such as `express.json()`.
   */
  handler(request: IncomingMessage, response: ServerResponse, next?: (error?: unknown) => void): void
  /**
   * For the `upgrade` event of the app's server. It takes WebSockets below the prefix. An upgrade to anything else, such as
   * the `h2c` that curl and Java ask for, is answered as the plain request that it also is.
   * @returns false for a WebSocket that is not below the prefix: it is the app's to answer or to destroy
   */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean
}

/**
 * Creates a server without a port, to be called by an app that has one. The server owns `options.log`; `close` closes it.
 * @throws Error when an option is out of range
 */
export async function createHandler(options: MountOptions): Promise<Handler> {
  const { prefix, server, serve, upgrade } = await createMounted(options)
  return {
    ...server,
    handler(request, response, next) {
      if (prefix.covers(request)) {
        if (bodyWasRead(request)) answer(response, 500, 'internal', READ_BEFORE)
        else serve(request, response)
      } else if (next) next()
      else answer(response, 404, 'not-found', `there is no such route; all are below ${prefix.path}/`)
    },
    upgrade(request, socket, head) {
      if (isWebSocket(request)) {
        if (!prefix.covers(request)) return false
        upgrade(request, socket, head)
        return true
      }
      const { server } = socket as Duplex & { server?: Server }
      if (server) ignoreUpgrade(server, request, socket as Socket, head)
      else socket.destroy()
      return true
    },
  }
}

const READ_BEFORE =
  'the app read the body before Twinrail got the request; mount Twinrail before express.json() and other readers of bodies'

/** Whether somebody has taken a body that there was: what is left would never end. */
function bodyWasRead({ headers, readableDidRead }: IncomingMessage): boolean {
  return (
    readableDidRead && (headers['transfer-encoding'] !== undefined || Number(headers['content-length']) > 0)
  )
}

function answer(response: ServerResponse, status: number, code: string, message: string): void {
  if (status === 500) process.emitWarning(message)
  response
    .writeHead(status, { 'content-type': 'application/json; charset=utf-8' })
    .end(JSON.stringify({ error: { code, message, requestId: '' } }))
}
