/** A server without a port of its own: an app that listens hands requests and upgrades to it. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyServerOptions } from 'fastify'
import { createEngine, FAREWELL_MS } from '../engine.ts'
import { hostAppOf } from '../http/host-app.ts'
import { connectionDefaults } from '../http/limits.ts'
import type { MountOptions } from '../options.ts'
import { startTimer } from '../protocol/timers.ts'
import type { Closable, ServerApi } from '../server-api.ts'
import { Prefix } from './prefix.ts'

/** What the program that mounts a server has of it. */
export interface MountedServer extends ServerApi, Closable {}

/** A mounted server with its entrances. */
export interface Mounted {
  readonly prefix: Prefix
  readonly server: MountedServer
  /** Answers a request below the prefix. */
  serve(request: IncomingMessage, response: ServerResponse): void
  /** Answers an upgrade to WebSocket below the prefix. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
}

/** Creates the server. It owns `options.log` and closes it. @param fastify settings of its Fastify instance */
export async function createMounted(
  options: MountOptions,
  fastify: FastifyServerOptions = {},
): Promise<Mounted> {
  const prefix = new Prefix(options.prefix)
  const open = new Set<ServerResponse | Duplex>()
  let requests = 0
  // Never listens: it only hands requests on.
  const inner = createServer()
  const engine = await createEngine(options, {
    prefix: prefix.path,
    limits: { ...connectionDefaults, ...options.connections },
    serverOf: listener => inner.on('request', listener),
    fastify: {
      ...fastify,
      genReqId: raw => hostAppOf(raw as IncomingMessage)?.id ?? `req-${(++requests).toString(36)}`,
    },
    async end(app) {
      await allClosed(open, FAREWELL_MS)
      for (const one of open) one.destroy()
      await app.close()
      // Node checks the connections of a server at intervals until it is closed.
      inner.close()
    },
  })
  await engine.app.ready()

  function track(one: ServerResponse | Duplex): void {
    open.add(one)
    one.once('close', () => open.delete(one))
  }

  return {
    prefix,
    server: { ...engine.api, close: engine.close },
    serve(request, response) {
      track(response)
      prefix.enter(request)
      inner.emit('request', request, response)
    },
    upgrade(request, socket, head) {
      track(socket)
      prefix.enter(request)
      inner.emit('upgrade', request, socket, head)
    },
  }
}

/** Resolves when all of them are closed, or after `ms`. */
async function allClosed(open: ReadonlySet<ServerResponse | Duplex>, ms: number): Promise<void> {
  const closed = [...open].map(one => new Promise(resolve => one.once('close', resolve)))
  let cancel = () => {}
  const late = new Promise<void>(resolve => {
    cancel = startTimer(ms, resolve)
  })
  await Promise.race([Promise.all(closed), late])
  cancel()
}
