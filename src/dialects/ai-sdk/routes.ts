/** The routes of the AI SDK's chat: `useChat` of version 6 and 7 with any of its transports. docs/clients/ai-sdk.md. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { check, Id, Offset, TwinrailError } from '../../protocol/index.ts'
import type { TransportContext } from '../../transports/context.ts'
import { mayDo } from '../allow.ts'
import { agentOf, findRun, idOf, parsePlace, runsOf } from '../chats.ts'
import type { DialectParts } from '../dialect.ts'
import { serveRunStream } from '../dialect-stream.ts'
import type { RunStream } from '../run-frames.ts'
import type { Level } from './chunks.ts'
import { ChatBody, cancel, converse, type Segment, wholeRun } from './conversation.ts'
import { startChunk } from './encode.ts'
import { RunReaders } from './readers.ts'
import { frameOf, UiMessageEncoder } from './stream.ts'
import { serveChatSocket } from './websocket.ts'

/** How long after its end a run is sent to a client that may have lost the end, in ms. */
const LOST_END_MS = 60_000

const Query = z.object({
  dialect: z.enum(['v6', 'v7']).optional(),
  startIndex: z
    .string()
    .regex(/^-?\d{1,15}$/, 'expected a whole number of chunks')
    .transform(Number)
    .optional(),
  after: Offset.optional(),
})

/** What the routes check, and their answers that are no streams, by operation. */
export const schemas = {
  aiSdkChat: { body: ChatBody, query: Query.pick({ dialect: true }) },
  aiSdkResume: { query: Query },
  aiSdkStop: { answer: z.object({ stopped: z.array(Id).describe('The runs that were cancelled') }) },
}

/** The path of a request for a chat: an agent, and the id of a chat or what `x-workflow-run-id` said. */
const Path = z.object({ agent: z.string().max(256), id: z.string().min(1).max(1000).default('') })

/** The end that a client of version 5 expects; later ones ignore it. */
const DONE = [{ data: '[DONE]' }]

export function aiSdkRoutes(app: FastifyInstance, context: TransportContext, parts: DialectParts): void {
  const readers = new RunReaders()
  // WorkflowChatTransport posts its JSON without a type, as text.
  parts.acceptJsonAs(app, 'text/plain')
  // Clients show the body of a refusal to their users as it is.
  app.setErrorHandler(async (thrown, request, reply) => {
    const error = await parts.authorizedFirst(thrown, request)
    if (!(error instanceof TwinrailError)) throw error
    if (error.retryAfterMs !== undefined) reply.header('retry-after', Math.ceil(error.retryAfterMs / 1000))
    void reply.code(error.status).type('text/plain; charset=utf-8').send(error.message)
    return reply
  })

  app.post('/ai-sdk/:agent', { config: { action: 'run.start' } }, async (request, reply) => {
    context.connections.mustBeOpen()
    const { agent } = check(Path, request.params, 'path')
    const query = check(Query, request.query, 'query')
    const body = check(ChatBody, request.body, 'body')
    const segment = await converse(context, request, agent, body)
    await serve(reply, segment, { replay: 'full' }, levelOf(request, query.dialect ?? body.dialect))
    return reply
  })

  app.get(
    '/ai-sdk/:agent/:id/stream',
    { exposeHeadRoute: false, config: { action: 'subscribe' } },
    async (request, reply) => {
      context.connections.mustBeOpen()
      const { agent, id } = check(Path, request.params, 'path')
      agentOf(context, agent)
      const query = check(Query, { ...(request.query as object), ...lastEventId(request) }, 'query')
      const level = levelOf(request, query.dialect)
      const found = await find(request, id)
      if (!found) return reply.code(204).send()
      const { startIndex, after } = query
      if (startIndex !== undefined) {
        const tail = startIndex < 0 ? await countChunks(found, level) : 0
        if (startIndex < 0) reply.header('x-workflow-stream-tail-index', String(tail - 1))
        const skipFrames = startIndex < 0 ? Math.max(0, tail + startIndex) : startIndex
        await serve(reply, found, { replay: 'full', skipFrames }, level)
      } else if (after !== undefined) await serveTail(reply, found, after, level)
      else await serve(reply, found, {}, level)
      return reply
    },
  )

  app.post(
    '/ai-sdk/:agent/:id/stop',
    { config: { action: 'run.cancel', mayHaveNoBody: true } },
    async (request, reply) => {
      const { id } = check(Path, request.params, 'path')
      const place = parsePlace(id)
      const sessionId = place?.sessionId ?? idOf(id)
      const principal = await mayDo(context, request, ['run.cancel'], sessionId)
      const active = (await runsOf(context, sessionId)).filter(
        ({ status, runId }) => status === 'running' && (!place || runId === place.runId),
      )
      for (const { runId } of active) await cancel(context, sessionId, runId, principal)
      return reply.send({ stopped: active.map(({ runId }) => runId) })
    },
  )

  app.route({
    method: 'GET',
    url: '/ai-sdk/:agent/ws',
    exposeHeadRoute: false,
    config: { action: 'run.start' },
    handler: async () => {
      throw new TwinrailError('bad-request', 'expected a WebSocket upgrade; a proxy may have stripped it')
    },
    wsHandler: (socket, request) => {
      parts.releaseUpgrade(socket, request)
      const { agent } = request.params as { agent: string }
      const level = levelOf(request, check(Query, request.query, 'query').dialect)
      serveChatSocket(context, socket, request, {
        send: body => converse(context, request, agent, body),
        resume: chatId => find(request, chatId),
        stream: segment => streamOf(segment, level, chunk => ({ data: JSON.stringify(chunk) })),
      })
    },
  })

  /** The run that a client may resume: the one that it names, or the chat's latest unless its end was sent. */
  async function find(request: FastifyRequest, id: string): Promise<Segment | undefined> {
    const place = parsePlace(id)
    const sessionId = place?.sessionId ?? idOf(id)
    await mayDo(context, request, ['subscribe'], sessionId)
    if (place) {
      const run = await findRun(context, sessionId, place.runId)
      if (!run || place.seq < run.start) return undefined
      const { runId, seq } = place
      return { ...wholeRun(sessionId, runId, run.epoch, seq), continues: seq > run.start }
    }
    const last = (await runsOf(context, sessionId)).at(-1)
    const run = last && (await findRun(context, sessionId, last.runId))
    if (!run) return undefined
    if (run.end !== undefined) {
      if (readers.haveEnd(keyOf(sessionId, last.runId))) return undefined
      const end = await context.journal.event(sessionId, run.end)
      if (!end || end.event.time < Date.now() - LOST_END_MS) return undefined
    }
    return wholeRun(sessionId, last.runId, run.epoch, run.start)
  }

  async function serve(
    reply: FastifyReply,
    segment: Segment,
    options: Pick<RunStream, 'replay' | 'skipFrames'>,
    level: Level,
  ): Promise<void> {
    await serveRunStream(
      context,
      reply,
      { ...streamOf(segment, level), ...options, closing: DONE },
      headersOf(segment),
      {},
      (end, sent) => {
        const run = keyOf(segment.sessionId, segment.runId)
        if (end === 'ended' && sent) readers.served(run, reply.request.raw.socket)
        else if (end !== 'suspended') readers.left(run)
      },
    )
  }

  /** What comes after a cursor, for a client that has kept everything before it. */
  async function serveTail(
    reply: FastifyReply,
    segment: Segment,
    after: string,
    level: Level,
  ): Promise<void> {
    const { opening: _, ...stream } = streamOf({ ...segment, after }, level)
    await serveRunStream(context, reply, { ...stream, closing: DONE }, headersOf(segment))
  }

  /** The chunks of a run so far. */
  async function countChunks({ sessionId, runId, after, continues }: Segment, level: Level): Promise<number> {
    const encoder = new UiMessageEncoder(level)
    const from = Number(after.split('-')[1])
    const { start } = await context.journal.run(sessionId, runId)
    let count = continues ? 1 : 0
    for await (const event of context.journal.events(sessionId, start - 1)) {
      if (event.runId !== runId) continue
      if (event.seq <= from) encoder.skip(event.event)
      else count += encoder.event(event.event).length
      if (event.seq === from) encoder.forgetParts()
    }
    return count
  }
}

/** A segment as chunks. One that continues a run begins with the `start` of its message once more. */
function streamOf(segment: Segment, level: Level, frame = frameOf): Omit<RunStream, 'replay' | 'skipFrames'> {
  const { sessionId, runId, after, continues } = segment
  const encoder = new UiMessageEncoder(level, frame)
  return {
    dialect: 'ai-sdk',
    sessionId,
    runId,
    encoder,
    after,
    opening() {
      if (!continues) return []
      encoder.forgetParts()
      return [frame(startChunk(segment), undefined)]
    },
  }
}

function headersOf({ place }: Segment): Record<string, string> {
  return { 'x-vercel-ai-ui-message-stream': 'v1', 'x-workflow-run-id': place }
}

const keyOf = (sessionId: string, runId: string) => `${sessionId} ${runId}`

/** The client cannot be told apart by its requests, so version 7's own chunks are sent only when they are asked for. */
function levelOf({ headers }: FastifyRequest, asked: Level | undefined): Level {
  return asked ?? (headers['x-ai-sdk-dialect'] === 'v7' ? 'v7' : 'v6')
}

function lastEventId({ headers }: FastifyRequest): { after?: string } {
  const id = headers['last-event-id']
  return typeof id === 'string' && id !== '' ? { after: id } : {}
}
