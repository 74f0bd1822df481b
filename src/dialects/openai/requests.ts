/** What requests of OpenAI's APIs say: their fields, the messages, the results of tools, the agent's input. */
import { z } from 'zod'
import type { ForeignMessage } from '../../agents/agent.ts'
import { Id, TwinrailError } from '../../protocol/index.ts'
import { jsonOf } from '../chats.ts'

export const Metadata = z.record(z.string(), z.string().max(1024 * 1024)).nullish()
export const Item = z.looseObject({ type: z.string().optional(), role: z.string().optional() })

/** The fields of a request for a response that mean something here. */
export const ResponseBody = z.looseObject({
  model: z.string().min(1).max(256),
  input: z.union([z.string(), z.array(Item).max(10_000)]).optional(),
  stream: z.boolean().nullish(),
  background: z.boolean().nullish(),
  previous_response_id: z.string().max(1000).nullish(),
  conversation: z.union([z.string().max(1000), z.looseObject({ id: z.string().max(1000) })]).nullish(),
  metadata: Metadata,
})

/** The fields of a request for a chat completion that mean something here. */
export const CompletionBody = z.looseObject({
  model: z.string().min(1).max(256),
  messages: z.array(z.looseObject({ role: z.string(), tool_call_id: z.string().optional() })).max(10_000),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().optional() }).nullish(),
  metadata: Metadata,
})

export const RetrieveQuery = z.object({
  stream: z.enum(['true', 'false']).optional(),
  starting_after: z
    .string()
    .regex(/^\d{1,15}$/, 'expected a sequence_number')
    .transform(Number)
    .optional(),
})

export type Metadata = z.output<typeof Metadata>

/** A question of a run, as the session's state lists it. */
export interface OpenQuestion {
  requestId: string
  kind: string
  toolCallId?: string
}

/** What a client answers to a question. */
export interface Reply {
  readonly requestId: string
  readonly value: NonNullable<unknown> | null
}

/** The agent's input as it is: JSON text, since metadata holds texts only. @throws TwinrailError `bad-request` */
export function givenInput(metadata: Metadata): unknown {
  const text = metadata?.['input']
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch {
    throw new TwinrailError('bad-request', 'metadata.input is not JSON', {
      details: { path: 'metadata.input' },
    })
  }
}

/** The answer that an item of a response gives to one of the open questions; nothing for any other item. */
export function replyOf(item: z.output<typeof Item>, open: readonly OpenQuestion[]): Reply[] {
  const { type, call_id, output, approval_request_id, approve, reason } = item as Record<string, unknown>
  if (type === 'function_call_output') {
    const question = open.find(one => one.kind === 'tool' && one.toolCallId === call_id)
    return question ? [{ requestId: question.requestId, value: jsonOf(output) }] : []
  }
  if (type !== 'mcp_approval_response' || typeof approval_request_id !== 'string') return []
  const value = { approved: approve === true, ...(typeof reason === 'string' && { reason }) }
  return [{ requestId: approval_request_id, value }]
}

/** The results of tools that end the messages. The id of a tool call says where its result belongs. */
export function resultsOf(
  messages: z.output<typeof CompletionBody>['messages'],
): (Reply & { sessionId: string })[] {
  const last = messages.findLastIndex(({ role }) => role !== 'tool')
  return messages.slice(last + 1).flatMap(message => {
    const [sessionId = '', runId = '', requestId = ''] = (message.tool_call_id ?? '').split('~')
    const value = jsonOf(message['content'])
    return Id.safeParse(sessionId).success && runId !== '' && requestId !== ''
      ? [{ sessionId, requestId, value }]
      : []
  })
}

/** A message of either API, with its text. */
export function messageOf(item: Record<string, unknown>): ForeignMessage[] {
  const { role, content } = item
  if (typeof role !== 'string') return []
  const parts = Array.isArray(content) ? (content as { type?: string; text?: unknown }[]) : []
  const texts = parts.flatMap(({ type, text }) =>
    /text$/.test(type ?? '') && typeof text === 'string' ? [text] : [],
  )
  return [{ role, text: typeof content === 'string' ? content : texts.join('\n\n'), raw: item }]
}
