/** Downloads a whole session from a server, page by page. */

export interface Download {
  sessionId: string
  metadata: Record<string, unknown>
  head: string
  earliest: string
  /** JSON of each event up to `head`, in order. */
  events: AsyncGenerator<string, void, void>
}

/** @throws Error with the server's message */
export async function download(url: string, sessionId: string): Promise<Download> {
  const base = `${url}/v1/sessions/${encodeURIComponent(sessionId)}`
  const { metadata, head, earliest } = (await json(base)) as Omit<Download, 'events'>
  return { sessionId, metadata, head, earliest, events: pages(base, head) }
}

interface Page {
  events: { offset: string }[]
  controls: { type: string }[]
  next: string
  caughtUp: boolean
}

async function* pages(base: string, head: string): AsyncGenerator<string, void, void> {
  const last = seqOf(head)
  for (let after = ''; ; ) {
    const page = (await json(`${base}/events?replay=full${after && `&after=${after}`}`)) as Page
    if (page.controls.some(({ type }) => type === 'reset' || (type === 'gap' && after !== ''))) {
      throw new Error('events of the session were deleted during the export; export it again')
    }
    for (const event of page.events) {
      if (seqOf(event.offset) > last) return
      yield JSON.stringify(event)
    }
    if (page.caughtUp || seqOf(page.next) >= last) return
    after = page.next
  }
}

const seqOf = (offset: string) => Number(offset.split('-')[1])

async function json(url: string): Promise<unknown> {
  const response = await fetch(url, { headers: { accept: 'application/json' } })
  const body = (await response.json()) as { error?: { message?: string } }
  if (!response.ok) throw new Error(body.error?.message ?? `the server answered ${response.status}`)
  return body
}
