/** The server of the game: one agent, and a rule for who is who. */
import { createHash } from 'node:crypto'
import { type Authorize, createServer, type EventLog, TwinrailError, type TwinrailServer } from 'twinrail'
import { servePage } from '../shared/serve-page.ts'
import { tableAgent } from './agent.ts'

export interface StartOptions {
  /** 0 takes a free one. */
  port: number
  /** The folder of the built page. */
  page: string
  /** Where sessions are stored. @default in memory */
  log?: EventLog
}

/**
 * Everybody who shows a secret may play, and is the same person whenever it is shown again. The id says nothing of the
 * secret, so all may read it. An application with accounts has `jwtAuthorize` or a hook of its own here.
 */
const bySecret: Authorize = request => {
  const [, secret] = /^Bearer (.{16,100})$/.exec(request.headers.authorization ?? '') ?? []
  if (!secret)
    throw new TwinrailError('unauthorized', 'expected a secret of 16 to 100 characters as bearer token')
  return { id: createHash('sha256').update(secret).digest('hex').slice(0, 16) }
}

/** Starts the game on this machine's loopback address. */
export async function start({ port, page, log }: StartOptions) {
  const table = tableAgent((sessionId, event) => {
    // Nobody misses it: a later one says more, and the move itself is in the log.
    server.publish(sessionId, event, { ephemeral: true }).catch(() => {})
  })
  const server: TwinrailServer = await createServer({
    agents: [table],
    authorize: bySecret,
    // A table is open as long as somebody watches: see `onNoViewers` in the page.
    maxRunMs: Number.POSITIVE_INFINITY,
    // A server that is started after a crash takes over the tables when their leases have ended.
    leaseMs: 5000,
    page: false,
    ...(log && { log }),
  })
  servePage(server.app, page)
  // A table never ends by itself, so it is not waited for.
  return { url: await server.listen({ port }), close: () => server.close({ graceMs: 0 }) }
}
