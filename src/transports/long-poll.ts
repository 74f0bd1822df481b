/** Long-poll: a session's events page by page, for networks that block streams. PROTOCOL.md, "Pages". */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Hold } from '../auth/door.ts'
import { nextNumber } from '../bus/subscription-view.ts'
import { type EventsQuery, TwinrailError } from '../protocol/index.ts'
import { connectionOf, createIfWanted, newConnectionId, type TransportContext } from './context.ts'
import { readPage } from './long-poll-page.ts'
import type { Page } from './page.ts'

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
    const { connections } = context
    const waited = connections.wait(leave)
    let refusal: TwinrailError | undefined
    let unlisted = () => {}
    const page = await readPage(context, {
      sessionId,
      options,
      limit,
      before,
      waitMs: wait,
      aroundWait: {
        begin(cursor) {
          context.answers.park(reply.raw)
          unlisted = connections.addPoll({
            id: newConnectionId(),
            number: nextNumber(),
            principal: hold.principal.id,
            sessionId,
            run: options.run,
            cursor,
            since: Date.now(),
            end() {
              refusal = new TwinrailError('forbidden', 'the server ended this subscription')
              leave()
            },
          })
        },
        end: () => {
          unlisted()
          return context.answers.unpark(reply.raw)
        },
      },
      signal: gone.signal,
    }).finally(() => {
      waited()
      unlisted()
      connection.off('close', leave)
    })
    // While it waited, the right may have been lost.
    if (refusal) throw refusal
    if (wait > 0) await hold.check()
    return reply
      .header('cache-control', 'no-store')
      .header('vary', 'Accept, Origin')
      .type('application/json; charset=utf-8')
      .send(encoded(page))
  }
}

/** The page's JSON, with the text of every event as in the log; made once for all requests that share the page. */
function encoded(page: Page): Buffer {
  page.encoded ??= encode(page)
  return page.encoded
}

function encode(page: Page): Buffer {
  const { events, controls, head, earliest, next, caughtUp } = page
  const rest = JSON.stringify({ controls, head, earliest, next, caughtUp })
  const begin = '{"events":['
  const end = `],${rest.slice(1)}`
  const ofEvents = events.reduce((sum, { bytes }) => sum + bytes + 1, 0)
  const bytes = Buffer.allocUnsafe(begin.length + ofEvents + Buffer.byteLength(end))
  let at = bytes.write(begin, 0)
  for (const [i, event] of events.entries()) {
    if (i > 0) at += bytes.write(',', at)
    at += event.writeJson(bytes, at)
  }
  at += bytes.write(end, at)
  return bytes.subarray(0, at)
}
