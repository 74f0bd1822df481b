/** The server of the editor: the co-author, the page, and a document to begin with. */
import { createServer, type EventLog, type TwinrailServer } from 'twinrail'
import * as Y from 'yjs'
import { servePage } from '../shared/serve-page.ts'
import { coAuthorAgent } from './agent.ts'
import { encodeUpdate, textOf } from './document.ts'
import { welcome } from './welcome.ts'
import { writerOf } from './writer.ts'

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

/** Starts the editor on this machine's loopback address. */
export async function start({ port, page, log, env = process.env }: StartOptions) {
  const agent = coAuthorAgent(
    {
      events: (...args) => server.sessions.events(...args),
      show: (sessionId, event) => {
        // A lost cursor is made up for by the next one.
        server.publish(sessionId, event, { ephemeral: true }).catch(() => {})
      },
    },
    await writerOf(env),
  )
  const server: TwinrailServer = await createServer({ agents: [agent], page: false, ...(log && { log }) })
  const { created } = await server.sessions.create({ sessionId: 'welcome' })
  if (created)
    await server.publish('welcome', { type: 'x.doc.update', data: { update: firstUpdate(welcome) } })
  servePage(server.app, page)
  // A co-author that is writing is not waited for.
  return { url: await server.listen({ port }), close: () => server.close({ graceMs: 0 }) }
}

function firstUpdate(text: string): string {
  const doc = new Y.Doc()
  textOf(doc).insert(0, text)
  return encodeUpdate(Y.encodeStateAsUpdate(doc))
}
