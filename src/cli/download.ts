/** Downloads sessions from a server, page by page, as copies for an archive. */
import { parseOffset } from '../protocol/index.ts'

export interface ServerAddress {
  url: string
  headers: Record<string, string>
}

interface Summary {
  sessionId: string
  createdAt: number
  activeAt: number
  metadata: Record<string, unknown>
  head: string
  earliest: string
}

interface Description extends Summary {
  runs: {
    runId: string
    agent: string
    status: 'running' | 'completed' | 'failed' | 'cancelled'
    startedAt: number
    startOffset: string
    endOffset?: string
  }[]
  pendingInputs: { offset: string; runId?: string; requestId: string }[]
}

/**
 * Copies sessions by the HTTP API, which shows no records.
 * @param ids the sessions; default all that the caller may read
 * @throws Error with the server's message
 */
export async function* downloads(server: ServerAddress, ids?: readonly string[]) {
  for (const sessionId of ids ?? (await allIds(server))) yield download(server, sessionId)
}

async function download(server: ServerAddress, sessionId: string) {
  const path = `/v1/sessions/${encodeURIComponent(sessionId)}`
  const found = (await json(server, path)) as Description
  const { createdAt, activeAt, metadata, head, earliest, runs, pendingInputs } = found
  const state = { runs, pendingInputs }
  const snapshot = seqOf(earliest) > 1 ? { seq: seqOf(head), state } : undefined
  return {
    session: {
      sessionId,
      createdAt,
      activeAt,
      metadata,
      earliest,
      head,
      ...(snapshot && { snapshot }),
    },
    events: pages(server, path, earliest, head),
    records: (async function* (): AsyncGenerator<never, void, void> {})(),
  }
}

/**
 * All sessions that the caller may read. One that becomes active while the list is read moves to its front, so the list is
 * read again until it has nothing new.
 */
async function allIds(server: ServerAddress): Promise<Set<string>> {
  const ids = new Set<string>()
  for (let isNew = true; isNew; ) {
    isNew = false
    for (let after: string | undefined = ''; after !== undefined; ) {
      const path: string = `/v1/sessions?limit=1000${after && `&after=${encodeURIComponent(after)}`}`
      const page = (await json(server, path)) as { sessions: Summary[]; next?: string }
      for (const { sessionId } of page.sessions) {
        isNew ||= !ids.has(sessionId)
        ids.add(sessionId)
      }
      after = page.next
    }
  }
  return ids
}

interface Page {
  events: { offset: string }[]
  next: string
  caughtUp: boolean
}

async function* pages(
  server: ServerAddress,
  path: string,
  earliest: string,
  head: string,
): AsyncGenerator<string, void, void> {
  const last = seqOf(head)
  let due = seqOf(earliest)
  const epoch = parseOffset(head)?.epoch
  for (let after = `${epoch}-${due - 1}`; due <= last; ) {
    const page = (await json(server, `${path}/events?replay=full&after=${after}`)) as Page
    for (const event of page.events) {
      if (due > last) return
      if (event.offset !== `${epoch}-${due}`) throw changed()
      due++
      yield JSON.stringify(event)
    }
    if (page.events.length === 0) throw changed()
    after = page.next
  }
}

const changed = () => new Error('events of the session were deleted during the export; export it again')

const seqOf = (offset: string) => parseOffset(offset)?.seq ?? 0

async function json({ url, headers }: ServerAddress, path: string): Promise<unknown> {
  const response = await fetch(`${url.replace(/\/$/, '')}${path}`, {
    headers: { ...headers, accept: 'application/json' },
  }).catch(error => {
    throw new Error(`cannot reach ${url}: ${(error as Error).cause ?? error}`)
  })
  const body = (await response.json().catch(() => ({}))) as { error?: { message?: string } }
  if (!response.ok) throw new Error(body.error?.message ?? `the server answered ${response.status}`)
  return body
}
