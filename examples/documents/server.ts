/** The server of the documents: one agent, the page, and samples for those who have no text at hand. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createServer, type EventLog } from 'twinrail'
import { servePage } from '../shared/serve-page.ts'
import { documents } from './agent.ts'
import { samples } from './samples.ts'

export interface StartOptions {
  /** 0 takes a free one. */
  port: number
  /** The folder of the built page, and of the samples. */
  page: string
  /** Where sessions are stored. @default in memory */
  log?: EventLog
}

/** Starts the application on this machine's loopback address. */
export async function start({ port, page, log }: StartOptions) {
  const server = await createServer({ agents: [documents], page: false, ...(log && { log }) })
  servePage(server.app, page)
  for (const { file } of samples) {
    const text = await readFile(join(page, 'samples', file))
    server.app.get(`/samples/${file}`, async (_, reply) =>
      reply.type('text/markdown; charset=utf-8').send(text),
    )
  }
  return { url: await server.listen({ port }), close: () => server.close() }
}
