/** JD Genie's page, and the client that the teaching text prints: `querySSE` over `@microsoft/fetch-event-source`. */
import type { ForeignClient, Place, Shown, Tab } from './client.ts'

interface Saved {
  requestId: string
  query: string
}

/** How one of the pages asks, and what it makes of a message. */
interface Form {
  path: string
  body(place: Place, saved: Saved): object
  read(message: Record<string, unknown>, shown: Shown): void
  /** @default the conversation */
  session?(place: Place, saved: Saved): string
}

let ids = 0

const lacks = {
  'tool of the client': 'another client answers',
  approval: 'another client answers',
  cancel: 'the native command',
}

/** A page that shows what its form reads. It comes back by the same request, which attaches to its run. */
const pageOf = (form: Form): ForeignClient => ({
  lacks,
  async open(t, place, saved): Promise<Tab> {
    await import('../../client/page.ts')
    const { fetchEventSource } = await import('@microsoft/fetch-event-source')
    let request = (saved ?? { requestId: '', query: '' }) as Saved
    const empty = (): Shown => ({ text: '', verdict: undefined, tools: {} })
    let shown = empty()
    let stop = new AbortController()
    t.teardown(() => stop.abort())
    const run = async () => {
      shown = empty()
      stop = new AbortController()
      await fetchEventSource(place.url + form.path, {
        method: 'POST',
        headers: {
          'Content-Type': 'application/json',
          Accept: 'text/event-stream',
          'Cache-Control': 'no-cache',
        },
        body: JSON.stringify({ ...form.body(place, request), agent: place.agent }),
        openWhenHidden: true,
        fetch: globalThis.fetch,
        signal: stop.signal,
        onmessage: ({ data }) => form.read(JSON.parse(data), shown),
        // As it is printed: a page that is cut off does not come back by itself.
        onerror(error) {
          throw error
        },
      }).catch(error => {
        shown.error ??= String(error)
      })
    }
    return {
      send(query) {
        request = { requestId: `${place.id}-${++ids}`, query }
        return run()
      },
      resume: run,
      shown: () => shown,
      session: () => form.session?.(place, request) ?? place.id,
      saved: () => request,
      leave: () => stop.abort(),
    }
  },
})

/** The last message says by its text whether the run failed or was cancelled: there is no field for that. */
function end(shown: Shown, text: string): void {
  if (text.startsWith('The run failed: ')) {
    shown.verdict = 'failed'
    shown.error = text
  } else shown.verdict = text.startsWith('The run was cancelled: ') ? 'cancelled' : 'completed'
}

interface Response {
  messageType: string
  result?: string
  toolResult?: { toolName: string; toolResult: string }
  resultMap?: { data?: string; isFinal?: boolean; taskSummary?: string }
}

function readResponse({ messageType, resultMap, toolResult, result }: Response, shown: Shown): void {
  if (messageType === 'markdown' && resultMap?.isFinal === false) shown.text += resultMap.data ?? ''
  if (toolResult && shown.tools) shown.tools[toolResult.toolName] = JSON.parse(toolResult.toolResult)
  if (messageType === 'result') end(shown, resultMap?.taskSummary ?? result ?? '')
}

export const geniePage = pageOf({
  path: '/web/api/v1/gpt/queryAgentStreamIncr',
  body: ({ id }, { requestId, query }) => ({ sessionId: id, requestId, query, deepThink: 0 }),
  read({ resultMap }, shown) {
    const { eventData } = (resultMap ?? {}) as { eventData?: { resultMap: Response } }
    if (eventData) readResponse(eventData.resultMap, shown)
  },
})

export const autoAgent = pageOf({
  path: '/AutoAgent',
  body: ({ id }, { requestId, query }) => ({ sessionId: id, requestId, query, agentType: 5 }),
  read: (message, shown) => readResponse(message as unknown as Response, shown),
})

export const printedAgent: ForeignClient = {
  ...pageOf({
    path: '/AutoAgent',
    body: ({ id }, { requestId, query }) => ({ sessionId: id, requestId, query, agentType: 'react' }),
    read(message, shown) {
      const { messageType, result, resultMap } = message as unknown as Response
      if (messageType === 'agent_stream') shown.text += result
      if (messageType === 'result') end(shown, resultMap?.taskSummary ?? '')
    },
  }),
  lacks: { ...lacks, 'tool of the agent': 'not shown' },
}

export const deepsearchTool: ForeignClient = {
  ...pageOf({
    path: '/v1/tool/deepsearch',
    body: (_place, { requestId, query }) => ({ request_id: requestId, query }),
    read({ messageType, answer, isFinal, error, code }, shown) {
      if (messageType === 'search') shown.text += String(answer ?? '')
      if (isFinal === true) shown.verdict = 'completed'
      if (error === undefined) return
      shown.error = String(error)
      shown.verdict = code === 'cancelled' ? 'cancelled' : 'failed'
    },
    session: (_place, { requestId }) => requestId,
  }),
  lacks: { ...lacks, 'tool of the agent': 'not shown' },
}
