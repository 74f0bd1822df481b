/** Servers whose clients only wait, each with the heartbeat that it has by default; all can be started again on their port. */
import { createServer as createHttpServer } from 'node:http'
import { Server as SocketIo } from 'socket.io'
import { type WebSocket, WebSocketServer } from 'ws'
import { createServer, openLmdbLog } from '../package/server.ts'

export const idleServers = ['ws', 'socket.io', 'twinrail'] as const
export type IdleServer = (typeof idleServers)[number]

export interface IdleOptions {
  /** 0 takes a free one. */
  readonly port: number
  /** Where our log is: it outlives the process. */
  readonly folder: string
  /** Silence after which a connection is pinged, in ms. @default that of the server */
  readonly heartbeatMs?: number | undefined
  /** Time over which our clients spread their return, in ms. */
  readonly spreadMs: number
  /** Sessions that clients follow; the other servers have none. */
  readonly sessions: readonly string[]
  /** Events that each session gets before the server listens. */
  readonly events: number
}

export interface Running {
  readonly port: number
  /** Tells the clients, and ends all connections. */
  stop(): Promise<void>
}

/** The heartbeat of each: ours and socket.io's by default, that of ws from its README. */
export const heartbeatsMs: Readonly<Record<IdleServer, number>> = {
  ws: 30_000,
  'socket.io': 25_000,
  twinrail: 15_000,
}

/** More connections than any measurement opens. */
const CONNECTIONS = 100_000

export function startIdleServer(name: IdleServer, options: IdleOptions): Promise<Running> {
  switch (name) {
    case 'ws':
      return bareWs(options)
    case 'socket.io':
      return socketIo(options)
    case 'twinrail':
      return twinrail(options)
  }
}

function listen(http: ReturnType<typeof createHttpServer>, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    http.once('error', reject)
    http.listen({ port, host: '127.0.0.1', backlog: 4096 }, () =>
      resolve((http.address() as { port: number }).port),
    )
  })
}

/** Pings all clients at once, and ends those that have not answered the ping before: as the README of ws shows it. */
async function bareWs({ port, heartbeatMs = heartbeatsMs.ws }: IdleOptions): Promise<Running> {
  const http = createHttpServer()
  const sockets = new WebSocketServer({ server: http })
  const alive = new WeakSet<WebSocket>()
  function onPong(this: WebSocket) {
    alive.add(this)
  }
  sockets.on('connection', socket => {
    alive.add(socket)
    socket.on('error', console.error)
    socket.on('pong', onPong)
    socket.send('ready')
  })
  setInterval(() => {
    for (const socket of sockets.clients) {
      if (!alive.delete(socket)) socket.terminate()
      else socket.ping()
    }
  }, heartbeatMs)
  return {
    port: await listen(http, port),
    async stop() {
      for (const socket of sockets.clients) socket.close(1012)
      await new Promise(resolve => http.close(resolve))
    },
  }
}

async function socketIo({ port, heartbeatMs = heartbeatsMs['socket.io'] }: IdleOptions): Promise<Running> {
  const http = createHttpServer()
  const io = new SocketIo(http, {
    transports: ['websocket'],
    serveClient: false,
    pingInterval: heartbeatMs,
  })
  return { port: await listen(http, port), stop: () => io.close() }
}

async function twinrail({
  port,
  folder,
  heartbeatMs,
  spreadMs,
  sessions,
  events,
}: IdleOptions): Promise<Running> {
  const server = await createServer({
    log: await openLmdbLog({ folder }),
    logger: false,
    spreadMs,
    connections: { connections: CONNECTIONS },
    ...(heartbeatMs !== undefined && { heartbeatMs }),
  })
  const news = Array.from({ length: events }, (_, n) => ({ type: 'x.news', data: { n } }))
  await Promise.all(
    sessions.map(async id => {
      await server.sessions.create(id)
      if (events > 0) await server.journal.append(id, news)
    }),
  )
  const url = await server.listen({ port })
  return { port: Number(new URL(url).port), stop: () => server.close() }
}
