/** The routes of JD Genie, for its page, its gateway and its tools, and of the teaching text. docs/clients/genie.md. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { check, parseOffset, TwinrailError } from '../../protocol/index.ts'
import type { ListedAgent } from '../../sessions/agent-list.ts'
import type { TransportContext } from '../../transports/context.ts'
import { mayDo } from '../allow.ts'
import { agentOf, before, idOf, inputOf } from '../chats.ts'
import type { Frame, StreamEncoder } from '../dialect.ts'
import { serveRunStream } from '../dialect-stream.ts'
import { heartbeat } from './encode.ts'
import {
  AgentResponseEncoder,
  EnvelopeEncoder,
  type GenieRequest,
  PrinterEncoder,
  SearchEncoder,
  ToolServiceEncoder,
} from './stream.ts'

/** Silence after which each service sends a heartbeat, in ms. */
const AGENT_BEAT_MS = 10_000
const TOOL_BEAT_MS = 15_000

const name = z.string().min(1).max(1000)
const own = { agent: z.string().max(256).optional(), input: z.unknown().optional() }

/** What the page sends. */
export const QueryBody = z.looseObject({
  sessionId: name,
  requestId: name,
  query: z.string(),
  deepThink: z.number().nullish(),
  ...own,
})

/** What the gateway sends, or the client of the teaching text. */
export const AutoAgentBody = z.looseObject({
  requestId: name,
  sessionId: name.optional(),
  query: z.string(),
  agentType: z.union([z.number().int(), z.string().max(256)]).nullish(),
  ...own,
})

/** What an agent sends to the tool service. */
export const DeepsearchBody = z.looseObject({
  request_id: name,
  query: z.string(),
  streamMode: z.unknown().optional(),
  ...own,
})

/** What the routes check, by operation. */
export const schemas = {
  genieQuery: { body: QueryBody },
  genieAutoAgent: { body: AutoAgentBody },
  genieDeepsearch: { body: DeepsearchBody },
}

/** The frames of the gateway have no blank after `data:`, and its reader wants none. */
const spring = (beat: string) => ({
  text: ({ data }: Frame) => (data === undefined ? beat : `data:${data}\n\n`),
})

/** The frames of the tool service: one blank, and CRLF. */
const starlette = (beat: string) => ({
  text: ({ id, event, data }: Frame) =>
    data === undefined
      ? beat
      : `${id === undefined ? '' : `id: ${oneLine(id)}\r\n`}${event === undefined ? '' : `event: ${event}\r\n`}data: ${data}\r\n\r\n`,
})

const oneLine = (text: string) => text.replace(/[\r\n\0]/g, ' ')

/** A comment that ends no event: clients that parse the data of every event as JSON do not see it. */
const HIDDEN_BEAT = ': heartbeat\n'

/** The agent that answers: the one that the request names, else `deepsearch`, else the first that takes a text. */
function agentFor(context: TransportContext, named: string | undefined): ListedAgent {
  const { agentList } = context.sessions
  if (named !== undefined) return agentOf(context, named)
  const known = agentList.get('deepsearch')
  if (known) return known
  for (const agent of agentList.all()) {
    try {
      inputOf(agent, [{ role: 'user', text: 'text', raw: undefined }], {}, undefined)
      return agent
    } catch {
      // It takes something else.
    }
  }
  throw new TwinrailError('agent-not-found', 'no agent of the server takes a text; name one in `agent`')
}

export function genieRoutes(app: FastifyInstance, context: TransportContext): void {
  app.get('/web/health', { config: { action: 'health.read' } }, async (_request, reply) =>
    reply.type('text/plain; charset=utf-8').send('ok'),
  )

  app.post(
    '/web/api/v1/gpt/queryAgentStreamIncr',
    { config: { action: 'run.start' } },
    async (request, reply) => {
      const body = check(QueryBody, request.body, 'body')
      const reqId = `genie${body.sessionId}:${body.requestId}`
      const agentType = body.deepThink ? 3 : 5
      return serve(request, reply, body, body.sessionId, body.requestId, {
        encoder: names => new EnvelopeEncoder({ ...names, requestId: reqId, agentType }),
        framing: spring(`data:${JSON.stringify(heartbeat({ reqId }))}\n\n`),
        heartbeatMs: AGENT_BEAT_MS,
      })
    },
  )

  app.post('/AutoAgent', { config: { action: 'run.start' } }, async (request, reply) => {
    const body = check(AutoAgentBody, request.body, 'body')
    const { agentType, sessionId = body.requestId, requestId } = body
    const isPrinted = typeof agentType === 'string'
    return serve(request, reply, body, sessionId, requestId, {
      encoder: names =>
        isPrinted
          ? new PrinterEncoder(names, agentType)
          : new AgentResponseEncoder({ ...names, agentType: agentType ?? 5 }),
      framing: spring(isPrinted ? HIDDEN_BEAT : 'data:heartbeat\n\n'),
      heartbeatMs: AGENT_BEAT_MS,
    })
  })

  app.post('/v1/tool/deepsearch', { config: { action: 'run.start' } }, async (request, reply) => {
    const body = check(DeepsearchBody, request.body, 'body')
    const { request_id: requestId, streamMode } = body
    const isReal = streamMode !== undefined
    return serve(request, reply, body, requestId, requestId, {
      encoder: names => (isReal ? new ToolServiceEncoder(names) : new SearchEncoder(names)),
      framing: starlette(isReal ? 'data: heartbeat\r\n\r\n' : HIDDEN_BEAT),
      heartbeatMs: TOOL_BEAT_MS,
      ...(isReal && { closing: [{ data: '[DONE]' }] }),
    })
  })

  /** Starts the run that the request names, or attaches to it, and streams it from its beginning. */
  async function serve(
    request: FastifyRequest,
    reply: FastifyReply,
    {
      query,
      agent: named,
      input: given,
      ...extra
    }: { query: string; agent?: string | undefined; input?: unknown },
    session: string,
    requestId: string,
    form: {
      encoder: (names: GenieRequest) => StreamEncoder
      framing: { text(frame: Frame): string }
      heartbeatMs: number
      closing?: readonly Frame[]
    },
  ): Promise<FastifyReply> {
    context.connections.mustBeOpen()
    const agent = agentFor(context, named)
    const sessionId = idOf(session)
    const runId = idOf(requestId)
    const principal = await mayDo(context, request, ['run.start', 'subscribe'], sessionId)
    const message = { role: 'user', text: query, raw: undefined }
    const { offset = '' } = await context.sessions.execute(
      {
        id: 'genie',
        type: 'run.start',
        sessionId,
        runId,
        agent: agent.name,
        input: inputOf(agent, [message], extra, given),
        onNoViewers: 'continue',
      },
      principal,
    )
    const { epoch, seq } = parseOffset(offset) as { epoch: number; seq: number }
    const { encoder, framing, heartbeatMs, closing } = form
    await serveRunStream(
      context,
      reply,
      {
        dialect: 'genie',
        sessionId,
        runId,
        encoder: encoder({ requestId, query, agentType: 5, runId }),
        after: before(epoch, seq),
        heartbeatMs,
        // The same messages each time.
        replay: 'full',
        ...(closing && { closing }),
      },
      { 'content-type': 'text/event-stream;charset=UTF-8' },
      framing,
    )
    return reply
  }
}
