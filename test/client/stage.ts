/** The real server with agents for the client's tests, and clients that are closed after the test. */
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { z } from 'zod'
import { type Client, type ClientOptions, createClient, forgetVerdicts } from '../../client/index.ts'
import { playback } from '../../src/agents/playback.ts'
import { createServer, defineAgent, type ServerOptions } from '../../src/index.ts'

/** Asks for approval, then says what was decided. */
export const asking = defineAgent({
  name: 'asking',
  description: 'Asks, then tells',
  input: z.object({ query: z.string() }),
  async *run({ query }, { ask }) {
    yield { type: 'plan.updated', data: { steps: [{ title: query, status: 'running' }] } }
    const { value } = await ask({ kind: 'approval', message: `Do ${query}?`, schema: { type: 'boolean' } })
    yield { type: 'text.start', data: { partId: 'answer' } }
    yield { type: 'text.delta', data: { partId: 'answer', delta: value ? 'Done.' : 'Left.' } }
    yield { type: 'text.end', data: { partId: 'answer' } }
  },
})

/** Says one word for each that it is told, until it is told `end`. */
export const echoing = defineAgent({
  name: 'echoing',
  description: 'Says what it is told',
  input: z.object({ query: z.string() }),
  async *run({ query }, { steering }) {
    yield { type: 'text.start', data: { partId: 'answer' } }
    yield { type: 'text.delta', data: { partId: 'answer', delta: `${query} ` } }
    for await (const { text } of steering) {
      if (text === 'end') return
      yield { type: 'text.delta', data: { partId: 'answer', delta: `${text} ` } }
    }
  },
})

export async function stage(t: Test, options: ServerOptions = {}): Promise<string> {
  const server = await createServer({ agents: [playback, asking, echoing], schemaMs: 60_000, ...options })
  t.teardown(() => server.close({ graceMs: 0 }))
  return server.listen({ port: 0 })
}

export function connect(t: Test, url: string, options: Partial<ClientOptions> = {}): Client {
  forgetVerdicts()
  const client = createClient({
    url,
    WebSocket,
    backoff: { baseMs: 5, capMs: 20 },
    ...options,
  })
  t.teardown(() => client.close())
  return client
}

/** Resolves once `done` holds, looking whenever the event loop has turned. */
export async function until(done: () => unknown): Promise<void> {
  while (!done()) await new Promise(resolve => setTimeout(resolve, 1))
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
