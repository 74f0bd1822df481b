/** The measured server of `networks`, plain and with TLS, and an echo that shows the network's own error. */
import { createServer as createNet } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { micros } from '../clock.ts'
import { createServer, type ServerOptions, type WholeServer } from '../package/server.ts'
import { HEARTBEAT_MS } from '../peers/dial-twinrail.ts'
import { listen } from '../peers/peer.ts'
import { serveWorker } from '../serve.ts'

/** The events of a paced stretch: number of the first one, and when each was appended, µs. */
export interface Paced {
  readonly first: number
  readonly times: readonly number[]
}

export type NetworkServerHandlers = typeof handlers

const servers: { plain?: WholeServer; tls?: WholeServer } = {}

const serverOf = (tls: boolean) => (tls ? servers.tls : servers.plain) as WholeServer

/** About 170 bytes of JSON with the envelope. No fold joins such events. */
const body = (n: number) => ({ type: 'x.step', data: { n, text: `step ${n} of a run that is watched` } })

async function append(tls: boolean, sessionId: string, n: number): Promise<number> {
  const appended = await serverOf(tls).journal.append(sessionId, [body(n)])
  if (!appended.accepted) throw new Error(`an event for ${sessionId} was not accepted`)
  return appended.first
}

const handlers = {
  /** @returns the ports of both servers and of the echo */
  async open(tls: NonNullable<ServerOptions['tls']>): Promise<{ plain: number; tls: number; echo: number }> {
    const start = async (more: ServerOptions) => {
      const server = await createServer({ heartbeatMs: HEARTBEAT_MS, ...more })
      return { server, port: Number(new URL(await server.listen({ port: 0 })).port) }
    }
    const [plain, secure] = await Promise.all([start({}), start({ tls })])
    servers.plain = plain.server
    servers.tls = secure.server
    const echo = createNet({ noDelay: true }, socket => {
      socket.on('error', () => {})
      socket.pipe(socket)
    })
    return { plain: plain.port, tls: secure.port, echo: await listen(echo) }
  },

  /** Creates sessions with an event each. */
  async create(tls: boolean, sessionIds: readonly string[]): Promise<void> {
    for (const id of sessionIds) {
      await serverOf(tls).sessions.create(id)
      await append(tls, id, 0)
    }
  },

  /** Appends events at once. @returns number of the last one */
  async append(tls: boolean, sessionId: string, count: number): Promise<number> {
    let last = 0
    for (let n = 0; n < count; n++) last = await append(tls, sessionId, n)
    return last
  },

  /** Appends an event to each session every so many ms. */
  async pace(tls: boolean, sessionIds: readonly string[], everyMs: number, count: number): Promise<Paced[]> {
    const begun = micros()
    const paced = sessionIds.map(() => ({ first: 0, times: [] as number[] }))
    for (let n = 0; n < count; n++) {
      await sleep(Math.max(0, (begun - micros()) / 1000 + n * everyMs))
      await Promise.all(
        sessionIds.map(async (id, session) => {
          const { times } = paced[session] as (typeof paced)[number]
          times.push(micros())
          const seq = await append(tls, id, n)
          if (n === 0) (paced[session] as (typeof paced)[number]).first = seq
        }),
      )
    }
    return paced
  },

  async delete(tls: boolean, sessionIds: readonly string[]): Promise<void> {
    for (const id of sessionIds) await serverOf(tls).sessions.delete(id)
  },
}

serveWorker(handlers)
