/** Servers that take commands of the members of rooms: ours on each log, and others that relay without a log. */
import { createServer as createHttpServer } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import { Server as SocketIo } from 'socket.io'
import { type WebSocket, WebSocketServer } from 'ws'
import { z } from 'zod'
import {
  type Agent,
  createMemoryLog,
  createRedisLog,
  createServer,
  defineAgent,
  type EventLog,
  openLmdbLog,
} from '../package/server.ts'
import { startNchan } from '../peers/nchan.ts'
import { listen } from '../peers/peer.ts'

export const commandServers = [
  'ws',
  'socket.io',
  'socket.io, recovery',
  'twinrail memory',
  'twinrail lmdb',
  'twinrail redis',
  'nchan',
] as const

export type CommandServer = (typeof commandServers)[number]

/** Where the logs keep their data. */
export interface Places {
  readonly folder: string
  readonly redis: string | undefined
}

/** The load sends no heartbeats, so nobody asks for them. */
const HOUR_MS = 3_600_000

/** A server that has started. */
export interface Started {
  readonly port: number
  /** CPU of the processes that serve, in µs, where they are not this one. */
  cpuUs?(): number
  stop?(): Promise<void>
}

export async function startCommandServer(name: CommandServer, places: Places): Promise<Started> {
  if (name === 'nchan') return startNchan()
  return { port: await portOf(name, places) }
}

async function portOf(name: Exclude<CommandServer, 'nchan'>, places: Places): Promise<number> {
  switch (name) {
    case 'ws':
      return relay()
    case 'socket.io':
      return socketIo({})
    case 'socket.io, recovery':
      return socketIo({
        connectionStateRecovery: { maxDisconnectionDuration: HOUR_MS, skipMiddlewares: true },
      })
    case 'twinrail memory':
      return twinrail(createMemoryLog())
    case 'twinrail lmdb':
      return twinrail(await openLmdbLog({ folder: `${places.folder}/log` }))
    case 'twinrail redis':
      return twinrail(await createRedisLog({ url: places.redis ?? '', warn() {} }))
  }
}

/** Bare ws: a room is a set of sockets, an event is encoded once for all of them, and its sender gets an ack. */
async function relay(): Promise<number> {
  const rooms = new Map<string, { members: Set<WebSocket>; head: number }>()
  const http = createHttpServer()
  new WebSocketServer({ server: http, perMessageDeflate: false }).on('connection', socket => {
    socket.on('message', data => {
      const { type, id, sessionId, event, input } = JSON.parse(String(data))
      const room = rooms.get(sessionId) ?? { members: new Set(), head: 0 }
      rooms.set(sessionId, room)
      if (type === 'subscribe') {
        room.members.add(socket)
        socket.on('close', () => room.members.delete(socket))
        socket.send(JSON.stringify({ type: 'ack', id }))
        return
      }
      const relayed = (event: object) => {
        const offset = ++room.head
        const text = JSON.stringify({ offset, sessionId, time: Date.now(), ...event })
        for (const member of room.members) member.send(text)
        return offset
      }
      if (type === 'run.start') {
        socket.send(JSON.stringify({ type: 'ack', id }))
        void relayTokens(input.count, relayed)
      } else socket.send(JSON.stringify({ type: 'ack', id, offset: relayed(event) }))
    })
  })
  return listen(http)
}

/** What the agent `tokens` says, without an agent. */
async function relayTokens(count: number, relayed: (event: object) => void): Promise<void> {
  relayed({ type: 'run.started', data: {} })
  for (let i = 0; i < count; i++) {
    await turn()
    relayed(token(i))
  }
  relayed({ type: 'run.completed', data: {} })
}

const token = (i: number) => ({ type: 'text.delta' as const, data: { partId: 'p', delta: `word ${i} ` } })

async function socketIo(options: object): Promise<number> {
  const http = createHttpServer()
  const io = new SocketIo(http, {
    transports: ['websocket'],
    serveClient: false,
    pingInterval: HOUR_MS,
    pingTimeout: HOUR_MS,
    ...options,
  })
  const heads = new Map<string, number>()
  io.on('connection', socket => {
    socket.on('subscribe', ({ sessionId }, ack) => {
      void socket.join(sessionId)
      ack({})
    })
    socket.on('publish', ({ sessionId, event }, ack) => {
      const offset = (heads.get(sessionId) ?? 0) + 1
      heads.set(sessionId, offset)
      io.to(sessionId).emit('event', { offset, sessionId, time: Date.now(), ...event })
      ack({ offset })
    })
  })
  return listen(http)
}

async function twinrail(log: EventLog): Promise<number> {
  const server = await createServer({ log, agents: [tokens, listener, asker] as Agent[], logger: false })
  return Number(new URL(await server.listen({ port: 0 })).port)
}

const tokens = defineAgent({
  name: 'tokens',
  description: 'Says words, one per turn of the event loop.',
  input: z.object({ count: z.int() }),
  async *run({ count }) {
    for (let i = 0; i < count; i++) {
      await turn()
      yield token(i)
    }
  },
})

const listener = defineAgent({
  name: 'listener',
  description: 'Takes messages until it has as many as it was told.',
  input: z.object({ count: z.int() }),
  // biome-ignore lint/correctness/useYield: it says nothing
  async *run({ count }, { steering }) {
    let taken = 0
    for await (const _ of steering) if (++taken === count) return
  },
})

const asker = defineAgent({
  name: 'asker',
  description: 'Asks one question after the other.',
  input: z.object({ count: z.int() }),
  // biome-ignore lint/correctness/useYield: it says nothing
  async *run({ count }, { ask }) {
    for (let i = 0; i < count; i++) await ask({ kind: 'question', message: `question ${i}` })
  },
})
