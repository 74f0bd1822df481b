/** The routes of OpenAI's Responses and Chat Completions APIs, and its list of models. docs/clients/openai.md. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { check, TwinrailError } from '../../protocol/index.ts'
import type { ListedAgent } from '../../sessions/agent-list.ts'
import { connectionOf, type TransportContext } from '../../transports/context.ts'
import { mayDo } from '../allow.ts'
import { agentOf, before, idOf } from '../chats.ts'
import type { DialectParts, StreamEncoder } from '../dialect.ts'
import { serveRunStream } from '../dialect-stream.ts'
import { RunFrames, type RunStream } from '../run-frames.ts'
import type { ResponseNames } from './encode.ts'
import { CompletionBody, messageOf, ResponseBody, RetrieveQuery, replyOf, resultsOf } from './requests.ts'
import { type Segment, Segments, sessionFor, wordOf } from './segments.ts'
import { CompletionEncoder, completionUsage, ResponseEncoder } from './stream.ts'

const Path = z.object({ id: z.string().min(1).max(1000) })
const Model = z.object({
  id: z.string().describe('The name of an agent'),
  object: z.literal('model'),
  created: z.int(),
  owned_by: z.string(),
})

const Response = z.looseObject({
  id: z.string(),
  object: z.literal('response'),
  status: z.string(),
  model: z.string(),
  output: z.array(z.looseObject({ type: z.string() })),
})

const Completion = z.looseObject({
  id: z.string(),
  object: z.literal('chat.completion'),
  model: z.string(),
  choices: z.array(
    z.looseObject({
      index: z.int(),
      message: z.looseObject({ role: z.string() }),
      finish_reason: z.string(),
    }),
  ),
})

/** What the routes check, and their answers that are no streams, by operation. */
export const schemas = {
  openaiModels: { answer: z.object({ object: z.literal('list'), data: z.array(Model) }) },
  openaiModel: { answer: Model },
  openaiCreateResponse: { body: ResponseBody, answer: Response },
  openaiResponse: { query: RetrieveQuery, answer: Response },
  openaiCancelResponse: { answer: Response },
  openaiCreateCompletion: { body: CompletionBody, answer: Completion },
}

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

  const segments = new Segments(context)

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
      const segment = await segments.find(request, check(Path, request.params, 'path').id)
      await mayDo(context, request, ['session.read'], segment.sessionId)
      const names = {
        ...namesOf(segment, await segments.modelOf(segment)),
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
      const segment = await segments.find(request, check(Path, request.params, 'path').id)
      const { sessionId, runId } = segment
      const principal = await mayDo(context, request, ['run.cancel', 'session.read'], sessionId)
      try {
        await context.sessions.execute({ id: 'openai', type: 'run.cancel', sessionId, runId }, principal)
      } catch (error) {
        if (!(error instanceof TwinrailError && error.code === 'run-ended')) throw error
      }
      return retrieve(segment, { ...namesOf(segment, await segments.modelOf(segment)), background: true })
    },
  )

  app.post('/openai/v1/chat/completions', { config: { action: 'run.start' } }, async (request, reply) => {
    context.connections.mustBeOpen()
    const body = check(CompletionBody, request.body, 'body')
    const agent = agentOf(context, body.model)
    const segment = await complete(request, agent, body)
    const { sessionId, runId } = segment
    const id = `chatcmpl-${wordOf(segment)}`
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
    const previous = previousId ? await segments.find(request, previousId) : undefined
    const named = typeof conversation === 'string' ? conversation : conversation?.id
    const sessionId = previous?.sessionId ?? (named ? idOf(named) : sessionFor(request, metadata))
    const items = typeof input === 'string' ? [{ role: 'user', content: input }] : (input ?? [])
    const open = await segments.questionsOf(sessionId)
    const replies = items.flatMap(item => replyOf(item, open))
    if (replies.length > 0) return segments.answer(request, sessionId, replies)
    return segments.start(request, agent, sessionId, items.flatMap(messageOf), extra, metadata)
  }

  /** Starts a run or answers one. */
  async function complete(
    request: FastifyRequest,
    agent: ListedAgent,
    body: z.output<typeof CompletionBody>,
  ): Promise<Segment> {
    const { model: _, messages, stream: _stream, metadata, ...extra } = body
    const results = resultsOf(messages)
    const [first] = results
    if (first) {
      const ofFirst = results.filter(({ sessionId }) => sessionId === first.sessionId)
      return segments.answer(request, first.sessionId, ofFirst)
    }
    const sessionId = sessionFor(request, metadata)
    return segments.start(request, agent, sessionId, messages.flatMap(messageOf), extra, metadata)
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
      await frames.open()
      for await (const _ of frames);
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

/** Whether the client asks for `twinrail.event`. */
function isExtended({ headers }: FastifyRequest): boolean {
  return headers['x-twinrail-events'] === 'all'
}

function namesOf(segment: Segment, model: string): ResponseNames {
  const { sessionId, runId } = segment
  return { id: `resp_${wordOf(segment)}`, model, sessionId, runId }
}
