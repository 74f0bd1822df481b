/** Creates a server that listens itself: the engine behind an HTTP or HTTPS server with bounds on its connections. */
import type { AddressInfo, Server } from 'node:net'
import { isLoopback } from './auth/origins.ts'
import { createEngine, type Engine, FAREWELL_MS } from './engine.ts'
import { connectionDefaults } from './http/limits.ts'
import { BACKLOG, createHttpServer, listenBeside } from './http/server.ts'
import { Sockets } from './http/sockets.ts'
import type { ServerOptions } from './options.ts'
import type { TwinrailServer } from './server-api.ts'

export type { ServerOptions } from './options.ts'

/** A server with its inside, which asks nobody for permission: for tests, benchmarks and the command line. */
export type WholeServer = Omit<Engine, 'api' | 'origins'> &
  Omit<TwinrailServer, 'sessions'> &
  Pick<Engine, 'api'> & {
    /** Takes no more connections. Those that are open go on until `close`. */
    stopListening(): void
  }

/** Creates a server. It does not listen yet. */
export async function createServer(options: ServerOptions = {}): Promise<WholeServer> {
  const { tls } = options
  const limits = { ...connectionDefaults, ...options.connections }
  const sockets = new Sockets(limits)
  let beside: Server[] = []
  let lastConnectionEnded: Promise<unknown> | undefined
  const engine = await createEngine(options, {
    prefix: '',
    limits,
    serverOf(listener) {
      const server = createHttpServer(listener, limits, tls)
      sockets.guard(server)
      return server
    },
    fastify: tls ? ({ http2: true } as object) : {},
    async end(app) {
      // Connections that do not read their last message in time are destroyed.
      const cut = setTimeout(() => sockets.cutAll(), FAREWELL_MS)
      for (const listener of beside) listener.close()
      await app.close()
      // After `stopListening` Fastify finds a server that does not run, and waits for none of its connections.
      await lastConnectionEnded
      clearTimeout(cut)
    },
  })
  const { app, origins } = engine
  origins.onLoopback = true

  return {
    ...engine,
    publish: engine.api.publish,
    reauthorize: engine.api.reauthorize,
    stopListening() {
      lastConnectionEnded ??= new Promise(resolve => app.server.close(resolve))
      for (const listener of beside) listener.close()
    },
    async listen({ host = '127.0.0.1', port = 8787 } = {}) {
      origins.onLoopback = isLoopback(host)
      if (!origins.onLoopback && !options.authorize && !options.insecure) {
        throw new Error(
          `refusing to listen on ${host}: anybody who reaches it could start runs. Listen on 127.0.0.1, pass an authorize hook (--auth jwt or --api-key), or set insecure (--insecure)`,
        )
      }
      await app.listen({ host, port, backlog: BACKLOG })
      if (host === 'localhost') beside = await listenBeside(app.server, host)
      const address = app.server.address() as AddressInfo
      const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
      return `${tls ? 'https' : 'http'}://${name}:${address.port}`
    },
  }
}
