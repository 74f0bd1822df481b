/** Long-poll: a connection for each session, on which one poll follows the other, and one for commands. */
import { type HttpLine, http1 } from '../http.ts'
import type { Target } from '../target.ts'
import { type ClientConnection, type ConnectionHandlers, getPage, postCommand } from './connection.ts'

/** Longest wait of a poll at the server, ms. */
const WAIT_MS = 30_000

/** The cursor at the end of a page. */
const NEXT = /"next":"([^"]+)"/
const NEXT_WITHIN = 300

/** Opens once every session's first page has come. */
export function longPollConnection(
  { port, tls }: Target,
  sessionIds: readonly string[],
  handlers: ConnectionHandlers,
): ClientConnection {
  const commands = http1(port, tls)
  const polls = sessionIds.map(() => http1(port, tls))
  let isCut = false

  async function poll(stream: number, cursor: string | undefined, waitMs: number) {
    const { status, body } = await getPage(
      polls[stream] as HttpLine,
      sessionIds[stream] as string,
      cursor,
      waitMs,
    )
    if (status !== 200) throw new Error(`a poll was answered ${status}: ${body}`)
    handlers.onBytes(stream, body)
    return NEXT.exec(body.toString('latin1', Math.max(0, body.length - NEXT_WITHIN)))?.[1] ?? cursor
  }

  async function repeat(stream: number, cursor: string | undefined): Promise<void> {
    try {
      for (let next = cursor; !isCut; ) next = await poll(stream, next, WAIT_MS)
    } catch {
      // `cut` fails the poll that is waiting; any other failure is a lost connection.
      if (!isCut) handlers.onLost()
    }
  }

  return {
    async open(cursors) {
      const first = async (sessionId: string, stream: number) =>
        void repeat(stream, await poll(stream, cursors(sessionId), 0))
      await Promise.all(sessionIds.map(first))
    },
    post: (sessionId, command) => postCommand(commands, sessionId, command),
    cut() {
      isCut = true
      for (const line of [commands, ...polls]) line.close()
    },
  }
}
