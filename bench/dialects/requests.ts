/** How each foreign client asks for a run, and where the frames of its stream hold the text. */

/** The word of an event. */
export const wordOf = (i: number) => `w${i} `

interface Request {
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body: object
}

interface Form {
  /** @param id a new id, for a chat, thread, session or run */
  request(id: string): Request
  /** The part of the text that a frame's JSON adds; nothing for other frames. */
  // biome-ignore lint/suspicious/noExplicitAny: the frames are checked by the text that they make
  textIn(frame: any): string | undefined
}

const user = { role: 'user', content: 'Go' }
const chat = (id: string) => ({
  id,
  messages: [{ id: `${id}-1`, role: 'user', parts: [{ type: 'text', text: 'Go' }] }],
})
const uiText: Form['textIn'] = ({ type, delta }) => (type === 'text-delta' ? delta : undefined)
const genie = { query: 'Go', agent: 'paced' }
const genieText: Form['textIn'] = frame =>
  frame?.messageType === 'markdown' && !frame.isFinal ? frame.resultMap.data : undefined

export const forms = {
  'reply.sse': { request: () => ({ path: '/', body: {} }), textIn: uiText },
  'native SSE': {
    request: id => ({
      path: `/v1/sessions/${id}/commands`,
      headers: { accept: 'text/event-stream' },
      body: { id: '1', type: 'run.start', agent: 'paced', input: { query: 'Go' } },
    }),
    textIn: ({ type, data }) => (type === 'text.delta' ? data.delta : undefined),
  },
  'ai-sdk v6': { request: id => ({ path: '/ai-sdk/paced', body: chat(id) }), textIn: uiText },
  'ai-sdk v7': { request: id => ({ path: '/ai-sdk/paced?dialect=v7', body: chat(id) }), textIn: uiText },
  'ag-ui': {
    request: id => ({
      path: '/ag-ui/paced',
      body: {
        threadId: id,
        runId: `${id}-run`,
        messages: [{ id: `${id}-1`, ...user }],
        tools: [],
        context: [],
        state: {},
        forwardedProps: {},
      },
    }),
    textIn: ({ type, delta }) => (type === 'TEXT_MESSAGE_CONTENT' ? delta : undefined),
  },
  'openai responses': {
    request: () => ({ path: '/openai/v1/responses', body: { model: 'paced', input: 'Go', stream: true } }),
    textIn: ({ type, delta }) => (type === 'response.output_text.delta' ? delta : undefined),
  },
  'openai chat': {
    request: () => ({
      path: '/openai/v1/chat/completions',
      body: { model: 'paced', messages: [user], stream: true },
    }),
    textIn: ({ choices }) => choices[0]?.delta.content || undefined,
  },
  'genie page': {
    request: id => ({
      path: '/web/api/v1/gpt/queryAgentStreamIncr',
      body: { ...genie, sessionId: id, requestId: `${id}-r` },
    }),
    textIn: ({ resultMap }) => genieText(resultMap?.eventData?.resultMap),
  },
  'genie gateway': {
    request: id => ({ path: '/AutoAgent', body: { ...genie, requestId: id, agentType: 5 } }),
    textIn: genieText,
  },
  'genie gateway, as printed': {
    request: id => ({ path: '/AutoAgent', body: { ...genie, requestId: id, agentType: 'react' } }),
    textIn: ({ messageType, result }) => (messageType === 'agent_stream' ? result : undefined),
  },
  'genie tool': {
    request: id => ({ path: '/v1/tool/deepsearch', body: { ...genie, request_id: id, streamMode: {} } }),
    textIn: ({ messageType, answer }) => (messageType === 'report' ? answer : undefined),
  },
  'genie tool, as printed': {
    request: id => ({ path: '/v1/tool/deepsearch', body: { ...genie, request_id: id } }),
    textIn: ({ messageType, answer }) => (messageType === 'search' ? answer : undefined),
  },
} as const satisfies Record<string, Form>

export type FormName = keyof typeof forms

export const formNames = Object.keys(forms) as FormName[]
