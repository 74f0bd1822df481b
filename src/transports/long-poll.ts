/** Long-poll: a session's events page by page, for networks that block streams. PROTOCOL.md, "Pages". */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Hold } from '../auth/door.ts'
import type { EventsQuery } from '../protocol/index.ts'
import { connectionOf, type TransportContext } from './context.ts'
import { type Page, readPage } from './long-poll-page.ts'

/** Answers with one page. Waits for events if the query says so. @throws TwinrailError the refusal */
export async function servePage(
  context: TransportContext,
  request: FastifyRequest,
  reply: FastifyReply,
  sessionId: string,
  { limit, before, wait, ...options }: EventsQuery,
): Promise<FastifyReply> {
  context.connections.mustBeOpen()
  const gone = new AbortController()
  const leave = () => gone.abort()
  const hold = await context.door.enter(request, ['subscribe'], sessionId, leave)
  try {
    return await answer(hold)
  } finally {
    hold.release()
  }

  async function answer(hold: Hold): Promise<FastifyReply> {
    const connection = connectionOf(reply)
    connection.once('close', leave)
    if (connection.destroyed) leave()
    const waited = context.connections.wait(leave)
    const page = await readPage(context, {
      sessionId,
      options,
      limit,
      before,
      waitMs: wait,
      aroundWait: {
        begin: () => context.answers.park(reply.raw),
        end: () => context.answers.unpark(reply.raw),
      },
      signal: gone.signal,
    }).finally(() => {
      waited()
      connection.off('close', leave)
    })
    // While it waited, the right may have been lost.
    if (wait > 0) await hold.check()
    return reply
      .header('cache-control', 'no-store')
      .header('vary', 'Accept, Origin')
      .type('application/json; charset=utf-8')
      .send(pageJson(page))
  }
}

/** The page's JSON, with the text of every event as in the log. */
function pageJson({ events, controls, head, earliest, next, caughtUp }: Page): string {
  const texts = events.map(event => event.json).join(',')
  const rest = JSON.stringify({ controls, head, earliest, next, caughtUp })
  return `{"events":[${texts}],${rest.slice(1)}`
}
