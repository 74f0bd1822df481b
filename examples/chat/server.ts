/** The server of the chat: one agent, the page, and the help pages that its sources link to. */
import { createServer, type EventLog } from 'twinrail'
import { servePage } from '../shared/serve-page.ts'
import { chatAgent } from './agent.ts'
import { helpPages, Shop } from './shop.ts'

export interface StartOptions {
  /** 0 takes a free one. */
  port: number
  /** The folder of the built page. */
  page: string
  /** Where sessions are stored. @default in memory */
  log?: EventLog
  /** @default that of the process */
  env?: NodeJS.ProcessEnv
}

/** Starts the chat on this machine's loopback address. */
export async function start({ port, page, log, env = process.env }: StartOptions) {
  const agent = await chatAgent(new Shop(), env)
  const server = await createServer({ agents: [agent], page: false, ...(log && { log }) })
  servePage(server.app, page)
  for (const { id, title, text } of helpPages) {
    server.app.get(`/help/${id}`, async (_, reply) =>
      reply
        .type('text/html; charset=utf-8')
        .send(`<!doctype html><html lang="en"><title>${title}</title><h1>${title}</h1><p>${text}</p></html>`),
    )
  }
  return { url: await server.listen({ port }), close: () => server.close() }
}
