/** The API of the inspector: what an operator sees of this process, and may end. docs/inspector.md. */
import { memoryUsage } from 'node:process'
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { z } from 'zod'
import { deliveryStates, type SubscriptionView } from '../bus/subscription-view.ts'
import { startDeadline } from '../http/deadline.ts'
import type { Metrics } from '../metrics.ts'
import { EventSchema, Id, LagPolicy, Offset, Replay, TwinrailError, wholeNumber } from '../protocol/index.ts'
import { transportNames, type WaitingPoll } from '../transports/connections.ts'
import { allow, type TransportContext } from '../transports/context.ts'
import { named } from './component-names.ts'
import { archiveOf } from './inspect-export.ts'
import { search } from './inspect-search.ts'
import { type Api, guarded, json, logged, SessionPath } from './schemas.ts'

const time = z.int().describe('In ms since 1970')
const count = z.int().min(0)

const NodeId = z.string().describe('The process that answered; another one after a restart')

const Totals = z.object({
  events: count.describe('Since the process started'),
  bytes: count.describe('Since the process started; the cheap measure, which counts UTF-16 units of JSON'),
})

const InspectedServer = named(
  'InspectedServer',
  z.object({
    nodeId: NodeId,
    time,
    startedAt: time,
    log: z.object({
      driver: z.string().describe('`memory`, `lmdb`, `redis`, or the name of a driver of your own'),
      bytes: z.number().optional().describe('Size of the log, by the measure of its driver'),
      maxBytes: z.number().optional().describe('Size from which on it refuses appends'),
    }),
    connections: z
      .record(z.string(), count)
      .describe('Open connections by transport; those of `long-poll` are requests that wait'),
    subscriptions: count,
    lagging: count.describe('Subscriptions that have not got every event that is in the log'),
    liveSessions: count.describe('Sessions that are followed in this process'),
    openRuns: count.describe('Runs that this process executes'),
    appended: Totals.describe('Appended to the log by this process'),
    delivered: Totals.describe('Sent to subscribers on streams; pages do not count'),
    memory: z.object({ rss: count, heapUsed: count, external: count }).describe('Of the process, in bytes'),
  }),
)

const SUBSCRIPTION_ID = /^([0-9a-f]{8})-([1-9]\d{0,14})$/
const SubscriptionId = z.string().regex(SUBSCRIPTION_ID, 'expected a subscriptionId of the list')

const InspectedSubscriber = named(
  'InspectedSubscriber',
  z.object({
    subscriptionId: SubscriptionId,
    connectionId: z.string().describe('The `connectionId` of its `hello`'),
    transport: z.string(),
    principal: z.string(),
    since: time,
    runId: Id.optional().describe('The run that it follows; the whole session without one'),
    lag: LagPolicy.describe('What happens when it falls behind'),
    replay: Replay,
    cursor: Offset.describe('The last event that was written to the connection'),
    lagEvents: count.describe('Events between its cursor and the head'),
    lagBytes: count.describe('UTF-16 units of their JSON; 0 until it has caught up once'),
    waitingBytes: count.describe('Bytes in the buffer of its socket'),
    state: z
      .enum(deliveryStates)
      .describe(
        '`opening`: nothing sent yet. `live`: it has everything. `catching-up`: it reads the log. `folded`: it fell behind and gets folded events. `paused`: its window is full. `stalled`: its socket is full. `waiting`: a long-poll without news',
      ),
  }),
)

const SubscriberList = named(
  'SubscriberList',
  z.object({
    nodeId: NodeId.describe('The subscribers are those of this process'),
    head: Offset,
    subscribers: z.array(InspectedSubscriber).describe('The oldest first'),
    total: count.describe('All subscribers of the session in this process'),
    next: SubscriptionId.optional().describe('The `after` of the next page; absent on the last one'),
  }),
)

const SUBSCRIBER_RANGE = 'expected 1 to 1000'

const SubscribersQuery = z.object({
  after: SubscriptionId.optional().describe('The `next` of the page before'),
  limit: wholeNumber('a count of subscribers')
    .pipe(z.number().int().min(1, SUBSCRIBER_RANGE).max(1000, SUBSCRIBER_RANGE))
    .default(100)
    .describe('Maximum number of subscribers'),
})

const SEARCH_RANGE = 'expected 1 to 1000'
const SEARCH_TEXT = 1000

const SearchQuery = z.object({
  type: z
    .string()
    .min(1)
    .max(129)
    .optional()
    .describe('Events of this type; with `*` at its end, of types that begin so'),
  run: Id.optional().describe('Events of this run'),
  text: z
    .string()
    .min(1)
    .max(SEARCH_TEXT)
    .optional()
    .describe('Events with this text in their `data`; capitals do not matter'),
  before: Offset.optional().describe('Events before this one: the `next` of the answer before'),
  limit: wholeNumber('a count of events')
    .pipe(z.number().int().min(1, SEARCH_RANGE).max(1000, SEARCH_RANGE))
    .default(100)
    .describe('Maximum number of events'),
})

const FoundEvents = named(
  'FoundEvents',
  z.object({
    events: z.array(EventSchema).describe('The newest first; at most 1 MiB'),
    looked: count.describe('Events that were looked at'),
    next: Offset.optional().describe(
      'Where to go on: the `before` of the next request. It is there until the oldest event was looked at',
    ),
  }),
)

const Ended = named(
  'Ended',
  z.object({
    nodeId: NodeId,
    ended: z.boolean().describe('Whether it was open in this process'),
  }),
)

const schemas = {
  server: {
    operationId: 'inspectServer',
    summary: 'Live figures of the process that answers',
    tags: ['inspector'],
    response: { 200: json('The figures', InspectedServer) },
    errors: guarded,
  },
  subscribers: {
    operationId: 'listSubscribers',
    summary: 'The subscribers that a session has in the process that answers',
    tags: ['inspector'],
    params: SessionPath,
    querystring: SubscribersQuery,
    response: { 200: json('A page of subscribers', SubscriberList) },
    errors: [...guarded, ...logged, 'session-not-found'],
  },
  endSubscription: {
    operationId: 'endSubscription',
    summary:
      'End a subscription: its client gets `end {reason: "forbidden"}` and does not come back by itself',
    tags: ['inspector'],
    params: SessionPath.extend({ subscriptionId: SubscriptionId }),
    response: { 200: json('It is not open in this process now', Ended) },
    errors: guarded,
  },
  closeConnection: {
    operationId: 'closeConnection',
    summary: 'Close a connection: its client gets `closing` and reconnects at its cursor',
    tags: ['inspector'],
    params: z.object({ connectionId: z.uuid() }),
    response: { 200: json('It is not open in this process now', Ended) },
    errors: guarded,
  },
  search: {
    operationId: 'searchEvents',
    summary: 'Search in the events of a session, newest first, some thousands at a time; needs `read`, too',
    tags: ['inspector'],
    params: SessionPath,
    querystring: SearchQuery,
    response: { 200: json('What was found', FoundEvents) },
    errors: [...guarded, ...logged, 'session-not-found', 'run-not-found', 'conflict'],
  },
  export: {
    operationId: 'exportSession',
    summary: 'A session as a file that `twinrail import` reads; needs `read`, too',
    tags: ['inspector'],
    params: SessionPath,
    response: {
      200: {
        description: 'A header, the session, its events in order and an end, each a line of JSON',
        content: { 'application/x-ndjson': { schema: z.string() } },
      },
    },
    errors: [...guarded, ...logged, 'session-not-found'],
  },
} as const

/** A subscriber as the list has it, with what ends it. */
interface Listed {
  readonly view: SubscriptionView
  end(): void
}

export function inspectRoutes(app: Api, context: TransportContext, metrics: Metrics): void {
  const { journal, bus, sessions, connections, presence, door } = context
  const nodeId = presence.node
  const [short = ''] = nodeId.split('-')
  const startedAt = Date.now()
  const idOf = ({ number }: SubscriptionView) => `${short}-${number}`
  /** The number of a subscription of this process. */
  const numberOf = (id: string): number | undefined => {
    const [, node, number] = SUBSCRIPTION_ID.exec(id) ?? []
    return node === short ? Number(number) : undefined
  }
  const read = { exposeHeadRoute: false, config: { action: 'inspect.read' } } as const
  const end = { config: { action: 'inspect.end' } } as const

  app.get('/v1/inspect', { schema: schemas.server, ...read }, async (request, reply) => {
    await allow(context, request, 'inspect.read')
    noStore(reply)
    const size = await journal.size().catch(() => undefined)
    const { rss, heapUsed, external } = memoryUsage()
    let subscriptions = 0
    let lagging = 0
    for (const { lag } of bus.subscriptions()) {
      subscriptions++
      if (lag.events > 0) lagging++
    }
    const byTransport: Record<string, number> = Object.fromEntries(transportNames.map(name => [name, 0]))
    for (const { transport } of connections) byTransport[transport] = (byTransport[transport] ?? 0) + 1
    return {
      nodeId,
      time: Date.now(),
      startedAt,
      log: {
        driver: journal.driver,
        ...(size && { bytes: size.bytes }),
        ...(size && Number.isFinite(size.maxBytes) && { maxBytes: size.maxBytes }),
      },
      connections: { ...byTransport, 'long-poll': connections.polls.size },
      subscriptions,
      lagging,
      liveSessions: bus.topics,
      openRuns: sessions.runner.active,
      appended: { ...journal.appended },
      delivered: { events: metrics.delivered, bytes: connections.sentBytes },
      memory: { rss, heapUsed, external },
    }
  })

  const path = '/v1/inspect/sessions/:sessionId'

  app.get(`${path}/subscribers`, { schema: schemas.subscribers, ...read }, async (request, reply) => {
    const { sessionId } = request.params
    await allow(context, request, 'inspect.read', sessionId)
    noStore(reply)
    const { epoch, head } = await journal.session(sessionId)
    const { after, limit } = request.query
    const all = listedOf(sessionId).sort((a, b) => a.view.number - b.view.number)
    // Of a process that is gone, all are new.
    const from = after === undefined ? 0 : (numberOf(after) ?? 0)
    const rest = all.filter(({ view }) => view.number > from)
    const page = rest.slice(0, limit)
    const last = page.at(-1)
    return {
      nodeId,
      head: `${epoch}-${head}`,
      subscribers: page.map(({ view }) => ({
        subscriptionId: idOf(view),
        connectionId: view.connection.id,
        transport: view.connection.transport,
        principal: view.connection.principal,
        since: view.since,
        ...(view.run !== undefined && { runId: view.run }),
        lag: view.lag,
        replay: view.replay,
        cursor: view.cursor,
        lagEvents: view.lagEvents,
        lagBytes: view.lagBytes,
        waitingBytes: view.connection.waitingBytes,
        state: view.state,
      })),
      total: all.length,
      ...(last && rest.length > page.length && { next: idOf(last.view) }),
    }
  })

  app.delete(
    `${path}/subscribers/:subscriptionId`,
    { schema: schemas.endSubscription, ...end },
    async request => {
      const { sessionId, subscriptionId } = request.params
      const { id } = await allow(context, request, 'inspect.end', sessionId)
      const number = numberOf(subscriptionId)
      const found = listedOf(sessionId).find(({ view }) => view.number === number)
      if (!found || found.view.state === 'opening') return { nodeId, ended: false }
      const { principal } = found.view.connection
      found.end()
      door.report({ what: 'ended', action: 'inspect.end', principal, sessionId, by: id })
      return { nodeId, ended: true }
    },
  )

  app.delete(
    '/v1/inspect/connections/:connectionId',
    { schema: schemas.closeConnection, ...end },
    async request => {
      const { id } = await allow(context, request, 'inspect.end')
      const connection = connections.find(request.params.connectionId)
      if (!connection) return { nodeId, ended: false }
      const { principal } = connection
      connection.close(
        new TwinrailError('restart', 'an operator closed this connection; reconnect with your last offset', {
          retryAfterMs: 0,
        }),
      )
      door.report({ what: 'ended', action: 'inspect.end', principal, by: id })
      return { nodeId, ended: true }
    },
  )

  app.get(`${path}/search`, { schema: schemas.search, ...read }, async (request, reply) => {
    const { sessionId } = request.params
    await door.allowEach(request, ['inspect.read', 'subscribe'], sessionId)
    noStore(reply)
    const session = await journal.session(sessionId)
    const { events, looked, next } = await search(journal, session, request.query)
    const rest = JSON.stringify({ looked, next })
    reply.type('application/json; charset=utf-8')
    // The text of every event as in the log.
    return reply
      .serializer(String)
      .send(`{"events":[${events.map(({ json }) => json).join(',')}],${rest.slice(1)}` as never)
  })

  app.get(`${path}/export`, { schema: schemas.export, ...read }, async (request, reply) => {
    const { sessionId } = request.params
    await door.allowEach(request, ['inspect.read', 'subscribe'], sessionId)
    await journal.session(sessionId)
    const name = sessionId.replaceAll(':', '_')
    noStore(reply)
      .type('application/x-ndjson; charset=utf-8')
      .header('content-disposition', `attachment; filename="${name}.ndjson"`)
    const file = whileRead(archiveOf(journal, sessionId), context.stallMs, () => reply.raw.destroy())
    return reply.send(Readable.from(file, { objectMode: false, highWaterMark: 1 }) as never)
  })

  /** The subscribers of a session in this process. */
  function listedOf(sessionId: string): Listed[] {
    const listed: Listed[] = []
    for (const subscription of bus.subscribersOf(sessionId)) {
      const { view } = subscription
      if (view) listed.push({ view, end: () => subscription.end('forbidden') })
    }
    for (const poll of connections.polls) {
      if (poll.sessionId === sessionId) listed.push({ view: viewOf(poll), end: () => poll.end() })
    }
    return listed
  }
}

function viewOf({ id, number, principal, run, cursor, since }: WaitingPoll): SubscriptionView {
  return {
    number,
    connection: { id, transport: 'long-poll', principal, waitingBytes: 0 },
    since,
    run,
    lag: 'conflate',
    replay: 'compact',
    cursor,
    lagEvents: 0,
    lagBytes: 0,
    state: 'waiting',
  }
}

/** These figures are of this moment. */
function noStore(reply: FastifyReply): FastifyReply {
  return reply.header('cache-control', 'no-store')
}

/** Passes pieces on, and calls `giveUp` when one of them is not taken within `stallMs`. */
async function* whileRead(
  pieces: AsyncGenerator<Buffer, void, void>,
  stallMs: number,
  giveUp: () => void,
): AsyncGenerator<Buffer, void, void> {
  for await (const piece of pieces) {
    const taken = startDeadline(stallMs, giveUp)
    try {
      yield piece
    } finally {
      taken()
    }
  }
}
