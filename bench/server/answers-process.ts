/** A server with answers of generated text, for the measurement of clients. */
import { createServer, playback } from '../package/server.ts'
import { serveWorker } from '../serve.ts'

const server = await createServer({ agents: [playback], logger: false })
const url = await server.listen({ port: 0 })

export type AnswersHandlers = typeof handlers

const handlers = {
  url: () => url,
  /** Starts an answer of so many deltas; resolves once it has begun. */
  async start(sessionId: string, count: number, rate: number): Promise<void> {
    const input = { count, rate }
    const command = {
      type: 'run.start',
      id: '1',
      sessionId,
      agent: 'playback',
      input,
      onNoViewers: 'continue',
    } as const
    await server.sessions.execute(command, { id: 'bench' })
  },
  /** Resolves when the session has no open run. */
  async ended(sessionId: string): Promise<void> {
    for await (const { type } of server.api.sessions.events(sessionId, { follow: true }))
      if (type === 'run.completed') return
  },
}

serveWorker(handlers)
