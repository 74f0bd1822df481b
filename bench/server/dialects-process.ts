/** A server with the dialects, and a bare Fastify with fastify-sse-v2, that stream the same events at the same pace. */
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { FastifySSEPlugin } from 'fastify-sse-v2'
import { z } from 'zod'
import { wordOf } from '../dialects/requests.ts'
import { createServer, defineAgent } from '../package/server.ts'
import { portOf } from '../peers/peer.ts'
import { serveWorker } from '../serve.ts'

/** Events at the beginning of a turn that are not measured. */
const WARM_UP = 100

let pace = { events: 0, everyMs: 1 }
let cpuUs: number | undefined

/** The numbers of a turn's events, each when it is due. Notes the CPU of this process between the first and the last. */
async function* paced(): AsyncGenerator<number, void, void> {
  const { events, everyMs } = pace
  cpuUs = undefined
  let before = process.cpuUsage()
  const start = performance.now()
  for (let i = 0; i < events; ) {
    const due = Math.min(events, 1 + Math.floor((performance.now() - start) / everyMs))
    for (; i < due; i++) {
      if (i === WARM_UP) before = process.cpuUsage()
      yield i
    }
    await sleep(everyMs)
  }
  const { user, system } = process.cpuUsage(before)
  cpuUs = (user + system) / (events - WARM_UP)
}

const server = await createServer({
  agents: [
    defineAgent({
      name: 'paced',
      description: 'Says words at a pace.',
      input: z.object({ query: z.string() }),
      async *run() {
        yield { type: 'text.start', data: { partId: 't' } }
        for await (const i of paced()) yield { type: 'text.delta', data: { partId: 't', delta: wordOf(i) } }
        yield { type: 'text.end', data: { partId: 't' } }
      },
    }),
  ],
  logger: false,
})
const url = await server.listen({ port: 0 })

const bare = Fastify({ forceCloseConnections: true })
await bare.register(FastifySSEPlugin)
/** Frames whose text is there before the turn. */
let ready: string[] = []
bare.post('/', async (_request, reply) => {
  reply.sse(
    (async function* () {
      for await (const i of paced()) yield { data: ready[i] as string }
    })(),
  )
  return reply
})
await bare.listen({ port: 0, host: '127.0.0.1' })

export type DialectsHandlers = typeof handlers

const handlers = {
  urls: () => ({ twinrail: url, bare: `http://127.0.0.1:${portOf(bare.server)}` }),
  /** The next turn has so many events. */
  prepare(events: number, everyMs: number): void {
    pace = { events, everyMs }
    ready = Array.from({ length: events }, (_, i) =>
      JSON.stringify({ type: 'text-delta', id: 't', delta: wordOf(i) }),
    )
  },
  /** CPU of an event in the turn that is over, in µs. */
  cpuUs(): number {
    if (cpuUs === undefined) throw new Error('the turn is not over')
    return cpuUs
  },
  /** A turn without a reader: what the events alone cost. */
  async alone(what: 'twinrail' | 'bare', sessionId: string): Promise<number> {
    if (what === 'bare') for await (const _ of paced());
    else {
      await server.sessions.create(sessionId)
      const ended = new Promise<void>(resolve => {
        void server.bus.listen(sessionId, {
          event: ({ type }) => type === 'run.completed' && resolve(),
          deleted() {},
          lost() {},
        })
      })
      const start = { type: 'run.start', id: '1', sessionId, agent: 'paced', input: { query: '' } } as const
      await server.sessions.execute({ ...start, onNoViewers: 'continue' }, { id: 'bench' })
      await ended
    }
    return handlers.cpuUs()
  },
}

serveWorker(handlers)
