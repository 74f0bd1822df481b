/** Watches a session by long-poll. */
import { endpoint } from '../../../client/index.ts'
import { ANSWER_MS, call, jsonOf, reasonOf, refusalOf } from './http.ts'
import { Sighting } from './sighting.ts'
import { now } from './time.ts'

interface Page {
  events: object[]
  controls: { type: string }[]
  next: string
}

export class PollSighting extends Sighting {
  /** How long the longest poll was held that brought nothing, in ms. */
  heldMs = 0
}

/** Polls, each time for `waitMs`, until the session ends or `signal` aborts. */
export function watchLongPoll(
  url: string,
  sessionId: string,
  waitMs: number,
  headers: Record<string, string>,
  signal: AbortSignal,
): PollSighting {
  const sighting = new PollSighting()
  poll(url, sessionId, waitMs, headers, signal, sighting)
    .catch(error => {
      if (signal.aborted) return
      if (sighting.heard.length === 0 || error.code === 'ETIMEDOUT') sighting.failure = reasonOf(error)
      else sighting.close()
    })
    .finally(() => sighting.over())
  return sighting
}

async function poll(
  url: string,
  sessionId: string,
  waitMs: number,
  given: Record<string, string>,
  signal: AbortSignal,
  sighting: PollSighting,
): Promise<void> {
  const headers = { ...given, accept: 'application/json' }
  for (let after: string | undefined; !signal.aborted; ) {
    const path = `sessions/${sessionId}/events`
    const askedAt = now()
    sighting.lastByteAt = askedAt
    const answer = await call(
      { url: endpoint(url, path, { after, wait: waitMs }), headers, signal },
      waitMs + ANSWER_MS,
    )
    const page = jsonOf(answer) as Page | undefined
    sighting.headers = answer.headers
    if (answer.status !== 200 || !Array.isArray(page?.events)) {
      // The session is gone: its end may come as a 404, too.
      if (answer.status === 404 && sighting.heard.length > 0) return
      sighting.refusal = refusalOf(answer)
      if (sighting.heard.length > 0) sighting.cutAt = now()
      return
    }
    const arrivedAt = now()
    for (const event of page.events) sighting.take(JSON.stringify(event), arrivedAt)
    if (page.events.length === 0) sighting.heldMs = Math.max(sighting.heldMs, arrivedAt - askedAt)
    if (page.controls.some(({ type }) => type === 'end')) return
    // A page that is empty at once would be asked for again and again.
    if (page.events.length === 0 && arrivedAt - askedAt < waitMs / 2) return
    after = page.next
  }
}
