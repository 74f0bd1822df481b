/** The routes of AG-UI 1.0: `HttpAgent`, and TanStack AI's client on the same path. docs/clients/ag-ui.md. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { ForeignMessage } from '../../agents/agent.ts'
import { keys } from '../../log/keys.ts'
import { check, formatOffset, OnNoViewers, parseOffset, TwinrailError } from '../../protocol/index.ts'
import type { ListedAgent } from '../../sessions/agent-list.ts'
import type { Principal } from '../../sessions/principal.ts'
import type { TransportContext } from '../../transports/context.ts'
import { mayDo, maySee } from '../allow.ts'
import {
  agentOf,
  before,
  findRun,
  idOf,
  inputOf,
  jsonOf,
  parsePlace,
  placeOf,
  runIdOf,
  runsOf,
} from '../chats.ts'
import { serveRunStream } from '../dialect-stream.ts'
import type { RunStream } from '../run-frames.ts'
import { messageIdOf, runStarted } from './encode.ts'
import { AgUiEncoder, frameOf } from './stream.ts'

const Message = z.looseObject({
  id: z.string().max(1000).optional(),
  role: z.string().max(100),
  content: z.unknown().optional(),
  toolCallId: z.string().optional(),
})
type Message = z.output<typeof Message>

/** The body of a request. All of it is checked again, more strictly, by whoever uses a part. */
export const RunAgentInput = z.looseObject({
  threadId: z.string().min(1).max(1000),
  runId: z.string().min(1).max(1000),
  messages: z.array(Message).max(10_000).default([]),
  tools: z.array(z.unknown()).nullish(),
  context: z.array(z.unknown()).nullish(),
  state: z.unknown().optional(),
  forwardedProps: z.unknown().optional(),
  resume: z
    .array(
      z.looseObject({
        interruptId: z.string().max(256),
        status: z.enum(['resolved', 'cancelled']).default('resolved'),
        payload: z.unknown().optional(),
      }),
    )
    .max(1000)
    .nullish(),
})
type RunAgentInput = z.output<typeof RunAgentInput>

/** The fields of `forwardedProps` (and of TanStack AI's `data`) that mean something here. */
const Forwarded = z.looseObject({ input: z.unknown().optional(), onNoViewers: OnNoViewers.optional() })

const Path = z.object({ agent: z.string().max(256) })
const ReadQuery = z.object({
  offset: z.string().max(100).optional(),
  runId: z.string().max(1000).optional(),
  threadId: z.string().max(1000).optional(),
})

/** What the routes check, by operation. */
export const schemas = { agUiRun: { body: RunAgentInput }, agUiJoin: { query: ReadQuery } }

/** Client run ids that are remembered, for a client that names nothing else when it joins a run. */
const MAX_JOINABLE = 10_000

/** A part of a run that a response shows. */
interface Segment {
  readonly sessionId: string
  readonly runId: string
  readonly epoch: number
  /** Number of the event that it begins with. */
  readonly seq: number
  /** Number of the run's first event. */
  readonly start: number
  /** It was there before this request. */
  readonly isKnown: boolean
}

export function agUiRoutes(app: FastifyInstance, context: TransportContext): void {
  const joinable = new Map<string, { place: string; threadId: string }>()
  const remember = (runId: string, threadId: string, place: string) => {
    joinable.delete(runId)
    joinable.set(runId, { place, threadId })
    const [oldest] = joinable.keys()
    if (joinable.size > MAX_JOINABLE && oldest !== undefined) joinable.delete(oldest)
  }

  app.post('/ag-ui/:agent', { config: { action: 'run.start' } }, async (request, reply) => {
    context.connections.mustBeOpen()
    const agent = agentOf(context, check(Path, request.params, 'path').agent)
    const body = check(RunAgentInput, request.body, 'body')
    const segment = await segmentFor(context, request, agent, body)
    remember(body.runId, body.threadId, placeOf(segment.sessionId, segment.runId, segment.seq))
    await serve(reply, segment, body, cursorOf(request.headers['last-event-id']))
    return reply
  })

  app.get(
    '/ag-ui/:agent',
    { exposeHeadRoute: false, config: { action: 'subscribe' } },
    async (request, reply) => {
      context.connections.mustBeOpen()
      agentOf(context, check(Path, request.params, 'path').agent)
      const { offset, runId, threadId } = check(ReadQuery, request.query, 'query')
      if (runId === undefined) {
        if (threadId === undefined)
          throw new TwinrailError('bad-request', 'expected runId or threadId in the query')
        return hydrate(context, request, threadId)
      }
      const known = joinable.get(runId)
      const place = parsePlace(known?.place ?? runId)
      const run =
        place &&
        (await maySee(context, request, place.sessionId)) &&
        (await findRun(context, place.sessionId, place.runId))
      if (!place || !run) {
        throw new TwinrailError(
          'run-not-found',
          'this server knows no run of this id; read the thread instead',
        )
      }
      const segment = { ...place, epoch: run.epoch, start: run.start, isKnown: true }
      const cursor = cursorOf(offset === '-1' ? undefined : offset)
      // TanStack AI's client forgets what came before the first text of a run that it joins, unless a snapshot did.
      const before = cursor ? [] : await messagesOf(context, place.sessionId, undefined, run.start)
      const messages = before.map(({ id, role, parts }) => ({ id, role, content: parts[0].content }))
      const names = { threadId: known?.threadId ?? threadId ?? place.sessionId, runId, messages }
      await serve(reply, segment, names, cursor)
      return reply
    },
  )

  async function serve(
    reply: FastifyReply,
    segment: Segment,
    { threadId, runId, messages }: Pick<RunAgentInput, 'threadId' | 'runId' | 'messages'>,
    cursor: { offset: string; frames: number } | undefined,
  ): Promise<void> {
    const { sessionId, epoch, seq, start, isKnown } = segment
    const encoder = new AgUiEncoder(threadId, runId)
    const stream: RunStream = {
      dialect: 'ag-ui',
      sessionId,
      runId: segment.runId,
      encoder,
      heartbeat: { comment: ' keep-alive' },
    }
    const started = frameOf(runStarted({ threadId, runId }, { sessionId, runId: segment.runId }))
    // A client that comes back with what it has of the run must first forget that.
    const snapshot = () => frameOf({ type: 'MESSAGES_SNAPSHOT', messages: upToUser(messages) })
    const headers = { 'x-run-id': runId }
    if (cursor) {
      const skipFrames = cursor.frames
      const rest = { ...stream, after: cursor.offset, skipFrames }
      await serveRunStream(context, reply, rest, headers)
    } else if (isKnown) {
      const opening = () => (messages.length > 0 ? [started, snapshot()] : [started])
      // Its own start is out already.
      await serveRunStream(context, reply, { ...stream, opening, after: formatOffset(epoch, start) }, headers)
    } else {
      const opening = () => {
        if (seq === start) return []
        encoder.forgetOpen()
        return [started]
      }
      await serveRunStream(context, reply, { ...stream, opening, after: before(epoch, seq) }, headers)
    }
  }
}

/**
 * Starts a run, answers one that waits, or finds the one that the same request has started or answered before: the
 * client's ids of thread and run name it.
 */
async function segmentFor(
  context: TransportContext,
  request: FastifyRequest,
  agent: ListedAgent,
  body: RunAgentInput,
): Promise<Segment> {
  const { threadId, runId: foreign, messages, resume, forwardedProps, ...extra } = body
  const sessionId = idOf(threadId)
  const runId = idOf(foreign)
  const principal = await mayDo(context, request, ['run.start', 'input.answer', 'subscribe'], sessionId)
  const known = await findRun(context, sessionId, runId)
  if (known)
    return { sessionId, runId, epoch: known.epoch, seq: known.start, start: known.start, isKnown: true }
  const key = runIdOf('ag-ui', foreign)
  const answered = await answeredBefore(context, sessionId, principal, key)
  if (answered) return answered

  const { pendingInputs } = await describe(context, sessionId)
  const open = pendingInputs as unknown as {
    requestId: string
    kind: string
    toolCallId?: string
    runId: string
  }[]
  const answers = [
    ...(resume ?? []).map(({ interruptId, status, payload = null }) => {
      const kind = open.find(({ requestId }) => requestId === interruptId)?.kind
      const value = status === 'cancelled' ? (kind === 'approval' ? { approved: false } : null) : payload
      return { requestId: interruptId, value: value as NonNullable<unknown> | null }
    }),
    ...toolResults(messages, open),
  ]
  if (answers.length > 0) return answer(context, sessionId, answers, principal, key)

  const forwarded = Forwarded.safeParse(forwardedProps ?? {}).data ?? {}
  const input = inputOf(agent, messages.map(messageOf), { ...extra, forwardedProps }, forwarded.input)
  const { offset = '' } = await context.sessions.execute(
    {
      id: 'ag-ui',
      type: 'run.start',
      sessionId,
      agent: agent.name,
      input,
      runId,
      onNoViewers: forwarded.onNoViewers ?? 'continue',
    },
    principal,
  )
  const { epoch, seq } = parseOffset(offset) as { epoch: number; seq: number }
  return { sessionId, runId, epoch, seq, start: seq, isKnown: false }
}

/** What an earlier request of the same run id has answered. */
async function answeredBefore(
  context: TransportContext,
  sessionId: string,
  principal: Principal,
  key: string,
): Promise<Segment | undefined> {
  const session = await context.journal.findSession(sessionId)
  if (!session) return undefined
  const [entry] = await context.journal.lookup(sessionId, [keys.command(principal.id, key)])
  const event = entry && (await context.journal.event(sessionId, entry.seq))
  if (!event?.runId) return undefined
  const run = await context.journal.run(sessionId, event.runId)
  return {
    sessionId,
    runId: event.runId,
    epoch: session.epoch,
    seq: event.seq,
    start: run.start,
    isKnown: true,
  }
}

async function answer(
  context: TransportContext,
  sessionId: string,
  answers: readonly { requestId: string; value: NonNullable<unknown> | null }[],
  principal: Principal,
  key: string,
): Promise<Segment> {
  let first: number | undefined
  for (const [i, { requestId, value }] of answers.entries()) {
    try {
      const { offset } = await context.sessions.execute(
        { id: 'ag-ui', type: 'input.answer', sessionId, requestId, value, ...(i === 0 && { key }) },
        principal,
      )
      first ??= parseOffset(offset ?? '')?.seq
    } catch (error) {
      // Somebody else was first: the stream goes on after that answer.
      if (!(error instanceof TwinrailError && error.code === 'already-answered')) throw error
      first ??= parseOffset(String(error.details?.['offset']))?.seq
    }
  }
  const { epoch } = await context.journal.session(sessionId)
  const event = first === undefined ? undefined : await context.journal.event(sessionId, first)
  if (!event?.runId) throw new TwinrailError('input-not-found', 'no run waits for these answers')
  const run = await context.journal.run(sessionId, event.runId)
  return { sessionId, runId: event.runId, epoch, seq: event.seq, start: run.start, isKnown: false }
}

/** The results of the client's own tools at the end of its messages that a run waits for. */
function toolResults(
  messages: readonly Message[],
  open: readonly { requestId: string; kind: string; toolCallId?: string }[],
): { requestId: string; value: NonNullable<unknown> | null }[] {
  const last = messages.findLastIndex(({ role }) => role !== 'tool')
  return messages.slice(last + 1).flatMap(({ toolCallId, content }) => {
    const question = open.find(one => one.kind === 'tool' && one.toolCallId === toolCallId)
    return question ? [{ requestId: question.requestId, value: jsonOf(content) }] : []
  })
}

async function describe({ sessions, journal }: TransportContext, sessionId: string) {
  if (!(await journal.findSession(sessionId))) return { runs: [], pendingInputs: [] }
  return sessions.describe(sessionId)
}

/** The client's messages before the answer to the last of its user. */
function upToUser(messages: readonly Message[]): readonly Message[] {
  return messages.slice(0, messages.findLastIndex(({ role }) => role === 'user') + 1)
}

function messageOf(message: Message): ForeignMessage {
  const { role, content } = message
  const parts = Array.isArray(content) ? (content as { type?: unknown; text?: unknown }[]) : []
  const texts = parts.flatMap(({ type, text }) => (type === 'text' && typeof text === 'string' ? [text] : []))
  // TanStack AI sends UI messages with `parts`.
  const own = (message as { parts?: unknown }).parts
  const ownTexts = Array.isArray(own)
    ? (own as { type?: unknown; content?: unknown; text?: unknown }[]).flatMap(part =>
        part.type === 'text' ? [String(part.content ?? part.text ?? '')] : [],
      )
    : []
  const text = typeof content === 'string' ? content : [...texts, ...ownTexts].join('\n\n')
  return { role, text, raw: message }
}

/** The id of a frame: an offset, and for all but the last frame of its event the frame's number. */
function cursorOf(id: unknown): { offset: string; frames: number } | undefined {
  const [, offset = '', frame] = typeof id === 'string' ? (/^(\d+-\d+)(?:\.(\d{1,6}))?$/.exec(id) ?? []) : []
  const position = parseOffset(offset)
  if (!position) return undefined
  if (frame === undefined) return { offset, frames: 0 }
  return { offset: formatOffset(position.epoch, position.seq - 1), frames: Number(frame) + 1 }
}

/** What TanStack AI's client paints when it opens a thread: what was said, and the run to follow. */
async function hydrate(
  context: TransportContext,
  request: FastifyRequest,
  threadId: string,
): Promise<object> {
  const sessionId = idOf(threadId)
  await mayDo(context, request, ['session.read', 'subscribe'], sessionId)
  const runs = await runsOf(context, sessionId)
  const active = runs.findLast(({ status }) => status === 'running')
  const { pendingInputs } = await describe(context, sessionId)
  const seqOf = (offset: string) => parseOffset(offset)?.seq ?? 0
  const open = pendingInputs.filter(({ runId }) => runId !== undefined && runId === active?.runId)
  return {
    messages: await messagesOf(context, sessionId, active?.runId),
    activeRun: active ? { runId: placeOf(sessionId, active.runId, seqOf(active.startOffset)) } : null,
    interrupts:
      active && open.length > 0
        ? {
            runId: placeOf(sessionId, active.runId, seqOf(active.startOffset)),
            pending: open.map(interruptOf),
          }
        : null,
  }
}

const interruptOf = ({ requestId, ...question }: { requestId: string }) => ({
  id: requestId,
  reason: 'input_required',
  ...question,
})

/** Messages that a hydrated thread shows, and UTF-16 units of their texts. */
const HYDRATED = { messages: 200, characters: 500_000 }

interface HydratedMessage {
  id: string
  role: string
  parts: [{ type: 'text'; content: string }]
}

/** The texts of a thread up to an event, but for what the active run has said. */
async function messagesOf(
  { journal }: TransportContext,
  sessionId: string,
  activeRun: string | undefined,
  upTo?: number,
): Promise<HydratedMessage[]> {
  const messages = new Map<string, HydratedMessage>()
  if (!(await journal.findSession(sessionId))) return []
  let characters = 0
  for await (const { event } of journal.events(sessionId, 0, upTo)) {
    const runId = event.runId ?? ''
    if (event.type === 'run.started') {
      const { input } = event.data
      const text = Object.values((input ?? {}) as object).find(value => typeof value === 'string') as
        | string
        | undefined
      if (text === undefined) continue
      messages.set(`${runId} user`, {
        id: `${runId}:user`,
        role: 'user',
        parts: [{ type: 'text', content: text }],
      })
    } else if (event.type === 'text.delta' && runId !== activeRun) {
      const { partId, delta } = event.data
      const key = `${runId} ${partId}`
      const known = messages.get(key)
      characters += delta.length
      if (known) known.parts[0].content += delta
      else {
        const id = messageIdOf(runId, partId)
        messages.set(key, { id, role: 'assistant', parts: [{ type: 'text', content: delta }] })
      }
    }
    for (const [key, { parts }] of messages) {
      if (messages.size <= HYDRATED.messages && characters <= HYDRATED.characters) break
      characters -= parts[0].content.length
      messages.delete(key)
    }
  }
  return [...messages.values()]
}
