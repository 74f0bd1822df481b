/** The server of the training monitor: one agent, and the page. */
import { createServer, type EventLog } from 'twinrail'
import { servePage } from '../shared/serve-page.ts'
import { trainingAgent } from './agent.ts'

export interface StartOptions {
  /** 0 takes a free one. */
  port: number
  /** The folder of the built page. */
  page: string
  /** Where sessions are stored. @default in memory */
  log?: EventLog
}

/** Starts the training monitor on this machine's loopback address. */
export async function start({ port, page, log }: StartOptions) {
  const server = await createServer({ agents: [trainingAgent], page: false, ...(log && { log }) })
  servePage(server.app, page)
  // A training that is on is not waited for: it says `restart` in the log.
  return { url: await server.listen({ port }), close: () => server.close({ graceMs: 0 }) }
}
