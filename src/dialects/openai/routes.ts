/** The routes of OpenAI's Responses and Chat Completions APIs, and its list of models. docs/clients/openai.md. */
import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { ForeignMessage } from '../../agents/agent.ts'
import { check, Id, parseOffset, TwinrailError } from '../../protocol/index.ts'
import type { ListedAgent } from '../../sessions/agent-list.ts'
import { newSessionId } from '../../sessions/sessions.ts'
import { connectionOf, type TransportContext } from '../../transports/context.ts'
import { mayDo, maySee } from '../allow.ts'
import { agentOf, before, findRun, idOf, inputOf, parsePlace, placeOf, runIdOf } from '../chats.ts'
import type { DialectParts, StreamEncoder } from '../dialect.ts'
import { RunFrames, type RunStream, serveRunStream } from '../dialect-stream.ts'
import type { ResponseNames } from './encode.ts'
import { CompletionEncoder, completionUsage, ResponseEncoder } from './stream.ts'

const Metadata = z.record(z.string(), z.string().max(1024 * 1024)).nullish()
const Item = z.looseObject({ type: z.string().optional(), role: z.string().optional() })

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

const Path = z.object({ id: z.string().min(1).max(1000) })
const RetrieveQuery = z.object({
  stream: z.enum(['true', 'false']).optional(),
  starting_after: z
    .string()
    .regex(/^\d{1,15}$/, 'expected a sequence_number')
    .transform(Number)
    .optional(),
})

/** A part of a run that one response shows. */
interface Segment {
  readonly sessionId: string
  readonly runId: string
  readonly epoch: number
  /** Number of the event that it begins with. */
  readonly seq: number
  /** Number of the run's first event. */
  readonly start: number
}

type Reply = { requestId: string; value: NonNullable<unknown> | null }

export function openAiRoutes(app: FastifyInstance, context: TransportContext, parts: DialectParts): void {
  app.setErrorHandler(async (thrown, request, reply) => {
    const error = await parts.authorizedFirst(thrown, request)
    if (!(error instanceof TwinrailError)) throw error
    const { status, code, message, details } = error
    if (error.retryAfterMs !== undefined) reply.header('retry-after', Math.ceil(error.retryAfterMs / 1000))
    const type = status >= 500 ? 'server_error' : 'invalid_request_error'
    void reply.code(status).send({ error: { message, type, code, param: details?.['path'] ?? null } })
    return reply
  })

  const models = () =>
    context.sessions.agentList
      .all()
      .map(({ name: id }) => ({ id, object: 'model', created: 0, owned_by: 'twinrail' }))

  app.get('/openai/v1/models', { config: { action: 'agents.list' } }, async request => {
    await mayDo(context, request, ['agents.list'])
    return { object: 'list', data: models() }
  })

  app.get('/openai/v1/models/:id', { config: { action: 'agents.list' } }, async request => {
    await mayDo(context, request, ['agents.list'])
    const { name } = agentOf(context, check(Path, request.params, 'path').id)
    return models().find(({ id }) => id === name)
  })

  app.post('/openai/v1/responses', { config: { action: 'run.start' } }, async (request, reply) => {
    context.connections.mustBeOpen()
    const body = check(ResponseBody, request.body, 'body')
    const agent = agentOf(context, body.model)
    const segment = await respond(request, agent, body)
    const background = body.background ?? false
    const names = {
      ...namesOf(segment, agent.name),
      isExtended: isExtended(request),
      background,
      previousId: body.previous_response_id ?? undefined,
    }
    if (body.stream) return stream(reply, segment, new ResponseEncoder(names))
    if (background) return retrieve(segment, names)
    const encoder = new ResponseEncoder(names)
    await finish(request, reply, segment, encoder)
    return encoder.state.response
  })

  app.get(
    '/openai/v1/responses/:id',
    { exposeHeadRoute: false, config: { action: 'subscribe' } },
    async (request, reply) => {
      context.connections.mustBeOpen()
      const query = check(RetrieveQuery, request.query, 'query')
      const segment = await segmentOf(request, check(Path, request.params, 'path').id)
      await mayDo(context, request, ['session.read'], segment.sessionId)
      const names = {
        ...namesOf(segment, await modelOf(segment)),
        background: true,
        isExtended: isExtended(request),
      }
      if (query.stream !== 'true') return retrieve(segment, names)
      const skipFrames = query.starting_after === undefined ? 0 : query.starting_after + 1
      return stream(reply, segment, new ResponseEncoder(names), { skipFrames })
    },
  )

  app.post(
    '/openai/v1/responses/:id/cancel',
    { config: { action: 'run.cancel', mayHaveNoBody: true } },
    async request => {
      const segment = await segmentOf(request, check(Path, request.params, 'path').id)
      const { sessionId, runId } = segment
      const principal = await mayDo(context, request, ['run.cancel', 'session.read'], sessionId)
      try {
        await context.sessions.execute({ id: 'openai', type: 'run.cancel', sessionId, runId }, principal)
      } catch (error) {
        if (!(error instanceof TwinrailError && error.code === 'run-ended')) throw error
      }
      return retrieve(segment, { ...namesOf(segment, await modelOf(segment)), background: true })
    },
  )

  app.post('/openai/v1/chat/completions', { config: { action: 'run.start' } }, async (request, reply) => {
    context.connections.mustBeOpen()
    const body = check(CompletionBody, request.body, 'body')
    const agent = agentOf(context, body.model)
    const segment = await complete(request, agent, body)
    const { sessionId, runId, seq } = segment
    const id = `chatcmpl-${placeOf(sessionId, runId, seq)}`
    const encoder = new CompletionEncoder(
      { id, model: agent.name, sessionId, runId },
      body.stream_options?.include_usage ?? false,
    )
    if (body.stream) return stream(reply, segment, encoder, { closing: [{ data: '[DONE]' }] })
    await finish(request, reply, segment, encoder)
    const { content, toolCalls, finishReason, usage, error } = encoder.completion
    if (error)
      return reply.code(error.code === 'run-cancelled' ? 409 : 500).send({ error: { ...error, param: null } })
    const message = {
      role: 'assistant',
      content: content === '' && toolCalls.length > 0 ? null : content,
      refusal: null,
      ...(toolCalls.length > 0 && { tool_calls: toolCalls }),
    }
    return {
      id,
      object: 'chat.completion',
      created: Math.floor(Date.now() / 1000),
      model: agent.name,
      choices: [{ index: 0, message, logprobs: null, finish_reason: finishReason }],
      usage: completionUsage(usage),
    }
  })

  /** Starts a run or answers one. */
  async function respond(
    request: FastifyRequest,
    agent: ListedAgent,
    body: z.output<typeof ResponseBody>,
  ): Promise<Segment> {
    const { model: _, input, stream: _stream, background: _background, metadata, ...extra } = body
    const { previous_response_id: previousId, conversation } = body
    const previous = previousId ? await segmentOf(request, previousId) : undefined
    const named = typeof conversation === 'string' ? conversation : conversation?.id
    const sessionId = previous?.sessionId ?? (named ? idOf(named) : sessionFor(request, metadata))
    const items = typeof input === 'string' ? [{ role: 'user', content: input }] : (input ?? [])
    const open = await questionsOf(sessionId)
    const replies = items.flatMap(item => replyOf(item, open))
    if (replies.length > 0) return answer(request, sessionId, replies)
    return start(request, agent, sessionId, items.flatMap(messageOf), extra, metadata)
  }

  /** Starts a run or answers one. The id of a tool call says where its result belongs. */
  async function complete(
    request: FastifyRequest,
    agent: ListedAgent,
    body: z.output<typeof CompletionBody>,
  ): Promise<Segment> {
    const { model: _, messages, stream: _stream, metadata, ...extra } = body
    const last = messages.findLastIndex(({ role }) => role !== 'tool')
    const results = messages.slice(last + 1).flatMap(message => {
      const [sessionId = '', runId = '', requestId = ''] = (message.tool_call_id ?? '').split('~')
      const value = jsonOf((message as { content?: unknown }).content)
      return Id.safeParse(sessionId).success && runId !== '' && requestId !== ''
        ? [{ sessionId, requestId, value }]
        : []
    })
    const [first] = results
    if (first) {
      return answer(
        request,
        first.sessionId,
        results.filter(({ sessionId }) => sessionId === first.sessionId),
      )
    }
    const sessionId = sessionFor(request, metadata)
    return start(request, agent, sessionId, messages.flatMap(messageOf), extra, metadata)
  }

  async function start(
    request: FastifyRequest,
    agent: ListedAgent,
    sessionId: string,
    messages: readonly ForeignMessage[],
    extra: Record<string, unknown>,
    metadata: Record<string, string> | null | undefined,
  ): Promise<Segment> {
    const principal = await mayDo(context, request, ['run.start', 'subscribe'], sessionId)
    const input = inputOf(agent, messages, { ...extra, metadata }, givenInput(metadata))
    const key = request.headers['idempotency-key']
    const runId = typeof key === 'string' ? runIdOf(key, sessionId) : randomUUID()
    const { offset = '' } = await context.sessions.execute(
      {
        id: 'openai',
        type: 'run.start',
        sessionId,
        agent: agent.name,
        input,
        runId,
        onNoViewers: 'continue',
      },
      principal,
    )
    const { epoch, seq } = parseOffset(offset) as { epoch: number; seq: number }
    return { sessionId, runId, epoch, seq, start: seq }
  }

  async function answer(
    request: FastifyRequest,
    sessionId: string,
    replies: readonly Reply[],
  ): Promise<Segment> {
    const principal = await mayDo(context, request, ['input.answer', 'subscribe'], sessionId)
    let first: number | undefined
    for (const { requestId, value } of replies) {
      try {
        const ack = await context.sessions.execute(
          { id: 'openai', type: 'input.answer', sessionId, requestId, value },
          principal,
        )
        first ??= parseOffset(ack.offset ?? '')?.seq
      } catch (error) {
        // Somebody else was first: the response goes on after that answer.
        if (!(error instanceof TwinrailError && error.code === 'already-answered')) throw error
        first ??= parseOffset(String(error.details?.['offset']))?.seq
      }
    }
    const { epoch } = await context.journal.session(sessionId)
    const event = first === undefined ? undefined : await context.journal.event(sessionId, first)
    if (!event?.runId) throw new TwinrailError('input-not-found', 'no run waits for these results')
    const run = await context.journal.run(sessionId, event.runId)
    return { sessionId, runId: event.runId, epoch, seq: event.seq, start: run.start }
  }

  async function questionsOf(sessionId: string): Promise<readonly OpenQuestion[]> {
    if (!(await context.journal.findSession(sessionId))) return []
    const { pendingInputs } = await context.sessions.describe(sessionId)
    return pendingInputs as unknown as OpenQuestion[]
  }

  /** The part of a run that a response's id names. @throws TwinrailError `run-not-found` */
  async function segmentOf(request: FastifyRequest, id: string): Promise<Segment> {
    const place = parsePlace(id.replace(/^resp_/, ''))
    const run =
      place &&
      (await maySee(context, request, place.sessionId)) &&
      (await findRun(context, place.sessionId, place.runId))
    if (place && run && place.seq >= run.start) return { ...place, epoch: run.epoch, start: run.start }
    throw new TwinrailError('run-not-found', 'there is no response with this id')
  }

  async function modelOf({ sessionId, start }: Segment): Promise<string> {
    const started = await context.journal.event(sessionId, start)
    return started?.event.type === 'run.started' ? started.event.data.agent : 'unknown'
  }

  function streamOf(segment: Segment, encoder: ResponseEncoder | CompletionEncoder): RunStream {
    const { sessionId, runId, epoch, seq, start } = segment
    return {
      dialect: 'openai',
      sessionId,
      runId,
      encoder,
      after: before(epoch, seq),
      opening: () => (seq > start ? encoder.begin() : []),
      // Clients count the events.
      replay: 'full',
    }
  }

  async function stream(
    reply: FastifyReply,
    segment: Segment,
    encoder: ResponseEncoder | CompletionEncoder,
    options: Pick<RunStream, 'closing' | 'skipFrames'> = {},
  ): Promise<FastifyReply> {
    await serveRunStream(context, reply, { ...streamOf(segment, encoder), ...options })
    return reply
  }

  /** Gives the encoder all of the response; resolves when it has ended. */
  async function finish(
    request: FastifyRequest,
    reply: FastifyReply,
    segment: Segment,
    encoder: ResponseEncoder | CompletionEncoder,
  ): Promise<void> {
    context.answers.park(reply.raw)
    const frames = new RunFrames(context, request, { ...streamOf(segment, encoder), replay: 'compact' })
    const connection = connectionOf(reply)
    const leave = () => frames.leave()
    connection.once('close', leave)
    const waited = context.connections.wait(() => frames.bid('restart', ''))
    try {
      for await (const _ of await frames.open());
    } finally {
      waited()
      connection.off('close', leave)
    }
    if (frames.lost) throw frames.lost
    // While it waited, the right may have been lost.
    await frames.check()
    if (frames.end === 'cut') throw context.connections.restart()
    await context.answers.unpark(reply.raw)
  }

  /** The response as it stands now. */
  async function retrieve(segment: Segment, names: ResponseNames): Promise<object> {
    const { sessionId, runId, seq, start } = segment
    const encoder: StreamEncoder & ResponseEncoder = new ResponseEncoder(names)
    for await (const event of context.journal.events(sessionId, start - 1)) {
      if (event.runId !== runId) continue
      if (event.seq === seq && seq > start) encoder.begin()
      encoder.skip(event.event)
      // It ended where the run first waited.
      if (encoder.isWaiting && event.seq >= seq) encoder.suspend()
      else if (encoder.state.response.status === 'completed' && event.type === 'input.answered') break
    }
    return encoder.state.response
  }
}

interface OpenQuestion {
  requestId: string
  kind: string
  toolCallId?: string
}

/** Whether the client asks for `twinrail.event`. */
function isExtended({ headers }: FastifyRequest): boolean {
  return headers['x-twinrail-events'] === 'all'
}

function namesOf({ sessionId, runId, seq }: Segment, model: string): ResponseNames {
  return { id: `resp_${placeOf(sessionId, runId, seq)}`, model, sessionId, runId }
}

/** A session for a request that names none: a new one, unless the client says that it repeats itself. */
function sessionFor(request: FastifyRequest, metadata: Record<string, string> | null | undefined): string {
  const named = metadata?.['conversation']
  if (named) return idOf(named)
  const key = request.headers['idempotency-key']
  return typeof key === 'string' && key !== '' ? idOf(`key:${runIdOf(key)}`) : newSessionId()
}

/** The agent's input as it is: JSON text, since metadata holds texts only. @throws TwinrailError `bad-request` */
function givenInput(metadata: Record<string, string> | null | undefined): unknown {
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

function replyOf(item: z.output<typeof Item>, open: readonly OpenQuestion[]): Reply[] {
  const { type, call_id, output, approval_request_id, approve, reason } = item as Record<string, unknown>
  if (type === 'function_call_output') {
    const question = open.find(one => one.kind === 'tool' && one.toolCallId === call_id)
    return question ? [{ requestId: question.requestId, value: jsonOf(output) }] : []
  }
  if (type !== 'mcp_approval_response' || typeof approval_request_id !== 'string') return []
  const value = { approved: approve === true, ...(typeof reason === 'string' && { reason }) }
  return [{ requestId: approval_request_id, value }]
}

/** A message of either API, with its text. */
function messageOf(item: Record<string, unknown>): ForeignMessage[] {
  const { role, content } = item
  if (typeof role !== 'string') return []
  const parts = Array.isArray(content) ? (content as { type?: string; text?: unknown }[]) : []
  const texts = parts.flatMap(({ type, text }) =>
    /text$/.test(type ?? '') && typeof text === 'string' ? [text] : [],
  )
  return [{ role, text: typeof content === 'string' ? content : texts.join('\n\n'), raw: item }]
}

/** What a text of JSON says; any other text is itself. */
function jsonOf(content: unknown): NonNullable<unknown> | null {
  if (typeof content !== 'string') return content ?? null
  try {
    return JSON.parse(content) as NonNullable<unknown> | null
  } catch {
    return content
  }
}
