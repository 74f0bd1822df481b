/** Long-poll: a session's events page by page, for networks that block streams. PROTOCOL.md, "Pages". */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Hold } from '../auth/door.ts'
import type { EventsQuery } from '../protocol/index.ts'
import { connectionOf, createIfWanted, type TransportContext } from './context.ts'
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
  // A page holds no producers, so `lag=wait` needs no right of its own.
  const hold = await context.door.enter(
    request,
    ['subscribe'],
    sessionId,
    ['connections', 'subscriptions'],
    leave,
  )
  try {
    await createIfWanted(context, request, sessionId, options)
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
    const texts = pageTexts(page)
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    return reply
      .header('cache-control', 'no-store')
      .header('vary', 'Accept, Origin')
      .type('application/json; charset=utf-8')
      .header('content-length', bytes)
      .send(context.answers.ofTexts(reply.raw, texts, bytes))
  }
}

/** The page's JSON in parts, with the text of every event as in the log. */
function pageTexts({ events, controls, head, earliest, next, caughtUp }: Page): string[] {
  const texts = ['{"events":[']
  for (const [i, { json }] of events.entries()) {
    if (i > 0) texts.push(',')
    texts.push(json)
  }
  const rest = JSON.stringify({ controls, head, earliest, next, caughtUp })
  texts.push(`],${rest.slice(1)}`)
  return texts
}
