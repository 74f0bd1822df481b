/** What a request of the AI SDK's chat wants: to start a run, to answer one that waits, or to attach to one. */
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { ForeignMessage } from '../../agents/agent.ts'
import { formatOffset, OnNoViewers, parseOffset, TwinrailError } from '../../protocol/index.ts'
import type { ListedAgent } from '../../sessions/agent-list.ts'
import type { Principal } from '../../sessions/principal.ts'
import type { TransportContext } from '../../transports/context.ts'
import { mayDo } from '../allow.ts'
import { agentOf, before, findRun, idOf, inputOf, placeOf, runIdOf, runsOf } from '../chats.ts'

const Part = z.looseObject({ type: z.string() })
const Message = z.looseObject({
  id: z.string().max(1000).optional(),
  role: z.string().max(100),
  parts: z.array(Part).max(10_000).optional(),
  content: z.unknown().optional(),
})

/** The body of a request, as the transports of version 6 and 7 send it, and what an application may add to it. */
export const ChatBody = z.looseObject({
  id: z.string().min(1).max(1000).optional(),
  messages: z.array(Message).max(10_000),
  trigger: z.enum(['submit-message', 'regenerate-message']).optional(),
  messageId: z.string().max(1000).nullish(),
  /** The agent's input as it is, in place of what is made of `messages`. */
  input: z.unknown().optional(),
  /** What happens to the run while nobody watches it. */
  onNoViewers: OnNoViewers.optional(),
  /** What a message does while a run is active. */
  onBusy: z.enum(['refuse', 'steer', 'interrupt']).optional(),
  /** `v7`: the client knows the chunks of version 7. */
  dialect: z.enum(['v6', 'v7']).optional(),
})
export type ChatBody = z.output<typeof ChatBody>

type Message = z.output<typeof Message>

/** A part of a run that answers a request. */
export interface Segment {
  readonly sessionId: string
  readonly runId: string
  /** The cursor before the segment. */
  readonly after: string
  /** The run goes on after an answer: the client has its message already. */
  readonly continues: boolean
  /** Names the segment in later requests. */
  readonly place: string
}

/** The conversation of a body. Without an id, it is the one that began with the same message. */
export function chatIdOf({ id, messages }: Pick<ChatBody, 'id' | 'messages'>): string {
  const chat = id ?? messages[0]?.id
  if (chat) return chat
  throw new TwinrailError('bad-request', 'expected the `id` of the chat in the body', {
    details: { path: 'id' },
  })
}

/**
 * Does what a chat's request asks for. A repeated request does nothing again and gives the same segment.
 * @throws TwinrailError the refusal
 */
export async function converse(
  context: TransportContext,
  request: FastifyRequest,
  agentName: string,
  body: ChatBody,
): Promise<Segment> {
  const agent = agentOf(context, agentName)
  const sessionId = idOf(chatIdOf(body))
  const last = body.messages.at(-1)
  if (last?.role === 'assistant' && body.trigger !== 'regenerate-message') {
    return answer(context, request, sessionId, last)
  }
  const principal = await mayDo(context, request, ['run.start', 'subscribe'], sessionId)
  return start(context, agent, sessionId, body, principal)
}

async function start(
  context: TransportContext,
  agent: ListedAgent,
  sessionId: string,
  body: ChatBody,
  principal: Principal,
): Promise<Segment> {
  const { id: _, messages, trigger, messageId, input: given, onNoViewers, onBusy = 'refuse', ...extra } = body
  const conversation = messages.map(messageOf)
  const input = inputOf(agent, conversation, extra, given)
  const user = messages.findLast(({ role }) => role === 'user')
  const runs = await runsOf(context, sessionId)
  const active = runs.findLast(({ status }) => status === 'running')
  const isAnew = trigger === 'regenerate-message'
  const ofInput = (salt: unknown) => runIdOf(sessionId, user?.id ?? '', agent.name, input, salt)
  // What is regenerated tells one request from the next; without it, the run before does.
  const previous = runs.findLast(({ status }) => status !== 'running')?.runId
  const runId = isAnew
    ? ofInput(messageId ?? previous ?? '')
    : user?.id
      ? ofInput('')
      : ofInput(previous ?? '')
  const known =
    runs.some(run => run.runId === runId) || (await findRun(context, sessionId, runId)) !== undefined
  if (active && !known) {
    if (onBusy === 'steer') {
      const text = conversation.findLast(({ role }) => role === 'user')?.text ?? ''
      if (text === '') throw new TwinrailError('bad-request', 'the message has no text to steer the run with')
      const key = runIdOf(user?.id ?? text, 'steer')
      const { offset = '' } = await context.sessions.execute(
        { id: 'ai-sdk', type: 'input.steer', sessionId, runId: active.runId, text, key },
        principal,
      )
      return segmentFrom(sessionId, active.runId, offset, true)
    }
    if (onBusy === 'refuse') {
      throw new TwinrailError(
        'conflict',
        'a run of this chat is active; stop it first, or send `onBusy` as steer or interrupt in the body',
        { details: { runId: active.runId } },
      )
    }
    await cancel(context, sessionId, active.runId, principal)
  }
  const { offset = '' } = await context.sessions.execute(
    {
      id: 'ai-sdk',
      type: 'run.start',
      sessionId,
      agent: agent.name,
      input,
      runId,
      onNoViewers: onNoViewers ?? 'continue',
    },
    principal,
  )
  return segmentFrom(sessionId, runId, offset, false)
}

/** A segment that begins with the event at `offset`. */
function segmentFrom(sessionId: string, runId: string, offset: string, continues: boolean): Segment {
  const { epoch, seq } = parseOffset(offset) as { epoch: number; seq: number }
  return { sessionId, runId, after: before(epoch, seq), continues, place: placeOf(sessionId, runId, seq) }
}

/** Cancels a run; nothing when it has ended. */
export async function cancel(
  context: TransportContext,
  sessionId: string,
  runId: string,
  principal: Principal,
): Promise<void> {
  try {
    await context.sessions.execute({ id: 'ai-sdk', type: 'run.cancel', sessionId, runId }, principal)
  } catch (error) {
    if (!(error instanceof TwinrailError && error.code === 'run-ended')) throw error
  }
}

/** Answers the questions that the parts of the assistant's message have answers for. */
async function answer(
  context: TransportContext,
  request: FastifyRequest,
  sessionId: string,
  message: Message,
): Promise<Segment> {
  const runId = message.id ?? ''
  const run = await findRun(context, sessionId, runId)
  if (!run) {
    throw new TwinrailError('run-not-found', 'the last message is none that a run of this chat has made', {
      details: { messageId: runId.slice(0, 256) },
    })
  }
  const principal = await mayDo(context, request, ['input.answer', 'subscribe'], sessionId)
  const { pendingInputs } = await context.sessions.describe(sessionId)
  const open = pendingInputs.filter(input => input.runId === runId)
  const first: { seq: number | undefined } = { seq: undefined }
  const at = (offset: unknown) => {
    const seq = parseOffset(String(offset))?.seq
    if (seq !== undefined && (first.seq === undefined || seq < first.seq)) first.seq = seq
  }
  for (const part of message.parts ?? []) {
    const reply = replyOf(part, open as unknown as OpenQuestion[])
    if (!reply) continue
    try {
      const ack = await context.sessions.execute(
        { id: 'ai-sdk', type: 'input.answer', sessionId, ...reply },
        principal,
      )
      at(ack.offset)
    } catch (error) {
      // Somebody else was first, or the question is over: the stream tells what became of it.
      if (!(error instanceof TwinrailError) || !overCodes.has(error.code)) throw error
      at(error.details?.['offset'])
    }
  }
  const seq =
    (open.length > 0 ? first.seq : undefined) ?? (await lastAnswer(context, sessionId, runId, run.start))
  return {
    sessionId,
    runId,
    after: before(run.epoch, seq),
    continues: true,
    place: placeOf(sessionId, runId, seq),
  }
}

const overCodes: ReadonlySet<string> = new Set([
  'already-answered',
  'input-expired',
  'input-not-found',
  'run-ended',
])

interface OpenQuestion {
  requestId: string
  kind: string
  toolCallId?: string
}

/** The answer that a part of a message holds; `undefined` for other parts. */
function replyOf(
  part: z.output<typeof Part>,
  open: readonly OpenQuestion[],
): { requestId: string; value: NonNullable<unknown> | null } | undefined {
  const { state, toolCallId, approval, output, errorText } = part as {
    state?: unknown
    toolCallId?: unknown
    approval?: { id?: unknown; approved?: unknown; reason?: unknown }
    output?: unknown
    errorText?: unknown
  }
  if (state === 'approval-responded' && typeof approval?.id === 'string') {
    const question = open.find(({ requestId }) => requestId === approval.id)
    if (!question) return undefined
    const { approved, reason } = approval
    const value = { approved: approved === true, ...(typeof reason === 'string' && { reason }) }
    return { requestId: question.requestId, value }
  }
  if (state !== 'output-available' && state !== 'output-error') return undefined
  const question = open.find(one => one.kind === 'tool' && one.toolCallId === toolCallId)
  if (!question) return undefined
  const value =
    state === 'output-available'
      ? ((output as NonNullable<unknown> | null) ?? null)
      : { isError: true, errorText: String(errorText ?? '') }
  return { requestId: question.requestId, value }
}

/** The number of the first answer after the run last waited: where the response to those answers begins. */
async function lastAnswer(
  context: TransportContext,
  sessionId: string,
  runId: string,
  start: number,
): Promise<number> {
  let answered: number | undefined
  let isAsking = false
  for await (const event of context.journal.events(sessionId, start - 1)) {
    if (event.runId !== runId) continue
    if (event.type === 'input.requested') isAsking = true
    else if (event.type === 'input.answered' && isAsking) {
      answered = event.seq
      isAsking = false
    }
  }
  return answered ?? start
}

/** A message with its text, whether it is a UI message or one with `content`. */
export function messageOf(message: Message): ForeignMessage {
  const { role, parts, content } = message
  const list = parts ?? (Array.isArray(content) ? (content as unknown[]) : [])
  const texts = list.flatMap(part => {
    const { type, text } = (part ?? {}) as { type?: unknown; text?: unknown }
    return type === 'text' && typeof text === 'string' ? [text] : []
  })
  const text = typeof content === 'string' && parts === undefined ? content : texts.join('\n\n')
  return { role, text, raw: message }
}

/** The whole of a run, for a client that has nothing of it. */
export function wholeRun(sessionId: string, runId: string, epoch: number, start: number): Segment {
  return {
    sessionId,
    runId,
    after: formatOffset(epoch, start - 1),
    continues: false,
    place: placeOf(sessionId, runId, start),
  }
}
