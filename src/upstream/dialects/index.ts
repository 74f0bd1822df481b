/** The dialects that upstreams may speak, and how one is recognized. */
import { RunError } from '../../agents/agent.ts'
import { v6Types } from '../../dialects/ai-sdk/chunks.ts'
import type { SourceFrame } from '../frames.ts'
import type { UpstreamResponse } from '../response.ts'
import { agUi } from './ag-ui.ts'
import { aiSdk } from './ai-sdk.ts'
import { fieldsOf, jsonOrText, type Turn, textOf, type UpstreamDialect } from './dialect.ts'
import { genie } from './genie.ts'
import type { UpstreamDialectName } from './names.ts'
import { openAiChat } from './openai-chat.ts'
import { openAiResponses } from './openai-responses.ts'
import { type MapFrame, plain } from './plain.ts'

/** The dialect of this name; `undefined` for `auto`. */
export function dialectOf(name: UpstreamDialectName, map?: MapFrame): UpstreamDialect | undefined {
  switch (name) {
    case 'auto':
      return undefined
    case 'sse':
    case 'ndjson':
    case 'text':
      return plain(name, map)
    default:
      return {
        'ai-sdk': aiSdk,
        'ag-ui': agUi,
        openai: openAiChat,
        'openai-responses': openAiResponses,
        genie,
      }[name]
  }
}

/** The body of a request whose dialect is not known yet: each dialect finds its fields in it. */
export function unknownBody(turn: Turn): unknown {
  const { sessionId, runId, input, messages } = turn
  return {
    query: messages.findLast(({ role }) => role === 'user')?.content ?? '',
    ...input,
    id: sessionId,
    sessionId,
    threadId: sessionId,
    runId,
    requestId: runId,
    request_id: runId,
    messages: messages.map(({ role, content }, i) => ({
      id: `${runId}-${i}`,
      role,
      content,
      parts: [{ type: 'text', text: content }],
    })),
    tools: [],
    context: [],
    state: {},
    forwardedProps: {},
    stream: true,
  }
}

/** What a response's content type says about its frames. @throws RunError `upstream-no-stream` */
export function framingOf({
  contentType,
}: Pick<UpstreamResponse, 'contentType'>): UpstreamDialect['framing'] {
  if (contentType === 'text/event-stream') return 'sse'
  if (/^application\/(x-)?(ndjson|jsonl|jsonlines|json-lines)$/.test(contentType)) return 'ndjson'
  if (contentType === 'text/plain' || contentType === 'application/octet-stream') return 'text'
  throw noStream(contentType)
}

/** @throws RunError `upstream-no-stream` when a response is surely none of this framing */
export function mustBe(framing: UpstreamDialect['framing'], contentType: string): void {
  const isPage = /html/.test(contentType)
  const isJson = contentType === 'application/json'
  // Servers that stream often forget the type, or give text/plain.
  if (isPage || (isJson && framing !== 'ndjson') || (framing === 'sse' && isBinary(contentType))) {
    throw noStream(contentType)
  }
}

const isBinary = (contentType: string) => /^(image|audio|video|font)\//.test(contentType)

function noStream(contentType: string): RunError {
  return new RunError(
    'upstream-no-stream',
    `The agent's server answered with ${contentType.slice(0, 100) || 'no content type'} in place of a stream. Check the url of the agent, and that the server streams.`,
  )
}

/** The dialect of an event stream, by its headers and its first frame. */
export function recognized(response: UpstreamResponse, { data, event }: SourceFrame): UpstreamDialect {
  if (response.headers['x-vercel-ai-ui-message-stream'] !== undefined) return aiSdk
  const value = fieldsOf(jsonOrText(data))
  const type = textOf(value['type'])
  if (/^[A-Z]+(_[A-Z]+)+$/.test(type)) return agUi
  if (type.startsWith('response.') || event?.startsWith('response.')) return openAiResponses
  if (value['object'] === 'chat.completion.chunk') return openAiChat
  if (event === 'data' && 'requestId' in value) return genie
  if (value['resultMap'] !== undefined || 'messageType' in value || 'finishMessage' in value) return genie
  if (v6Types.has(type) && type !== 'error') return aiSdk
  return plain('sse')
}
