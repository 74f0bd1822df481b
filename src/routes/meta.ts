/** Agents, the guide, health and metrics. */
import { z } from 'zod'
import { Advice, advise, adviseOnAll, GuideQuery } from '../guide/index.ts'
import type { Metrics } from '../metrics.ts'
import { TwinrailError } from '../protocol/index.ts'
import { allow, type TransportContext } from '../transports/context.ts'
import { named } from './component-names.ts'
import { type Api, guarded, json } from './schemas.ts'

const Agents = named(
  'Agents',
  z.object({
    agents: z.array(
      named(
        'Agent',
        z.object({
          name: z.string(),
          description: z.string(),
          input: z.record(z.string(), z.unknown()).describe('JSON Schema of the input of `run.start`'),
        }),
      ),
    ),
  }),
)

named('Advice', Advice)

const schemas = {
  agents: {
    operationId: 'listAgents',
    summary: 'List the agents with the JSON Schema of their input',
    tags: ['commands'],
    response: { 200: json('All agents of this server', Agents) },
    errors: guarded,
  },
  guide: {
    operationId: 'getAdvice',
    summary: 'Recommend a transport, with reasons; without a query, for every scenario',
    tags: ['guide'],
    querystring: GuideQuery,
    response: {
      200: json(
        'A recommendation with reasons and measured figures',
        z.union([Advice, named('AdviceList', z.object({ scenarios: z.array(Advice) }))]),
      ),
    },
  },
  alive: {
    operationId: 'getHealth',
    summary: 'Is the process alive?',
    tags: ['operations'],
    response: { 200: json('Yes', z.object({ status: z.literal('ok') })) },
  },
  ready: {
    operationId: 'getReadiness',
    summary: 'Is the server ready for traffic, and does the log take appends?',
    tags: ['operations'],
    response: { 200: json('Yes', z.object({ status: z.literal('ready') })) },
    errors: ['unavailable', 'restart'],
  },
  metrics: {
    operationId: 'getMetrics',
    summary: 'Prometheus metrics',
    tags: ['operations'],
    response: { 200: { description: 'Metrics', content: { 'text/plain': { schema: z.string() } } } },
  },
  document: {
    operationId: 'getOpenApi',
    summary: 'This document',
    tags: ['operations'],
    response: { 200: json('OpenAPI 3.1', z.record(z.string(), z.any())) },
  },
} as const

/** Routes that a server can do without. */
export const optionalRoutes = ['page', 'inspector', 'guide', 'metrics', 'openapi'] as const
export type OptionalRoute = (typeof optionalRoutes)[number]

/** @param disabled routes that are left out */
export function metaRoutes(
  app: Api,
  context: TransportContext,
  metrics: Metrics,
  disabled: ReadonlySet<OptionalRoute>,
): void {
  const { journal, sessions, connections } = context
  app.get('/v1/agents', { schema: schemas.agents, config: { action: 'agents.list' } }, async request => {
    await allow(context, request, 'agents.list')
    const agents = sessions.agentList
      .all()
      .map(({ name, description, input }) => ({ name, description, input }))
    return { agents }
  })

  if (!disabled.has('guide'))
    app.get('/v1/guide', { schema: schemas.guide, config: { action: 'guide.read' } }, async request => {
      await allow(context, request, 'guide.read')
      const question = request.query
      return Object.keys(question).length > 0 ? advise(question) : { scenarios: adviseOnAll() }
    })

  app.get(
    '/healthz',
    { schema: schemas.alive, config: { action: 'health.read' } },
    async () => ({ status: 'ok' }) as const,
  )

  app.get('/readyz', { schema: schemas.ready, config: { action: 'health.read' } }, async () => {
    connections.mustBeReady()
    await journal.ready().catch(cause => {
      if (cause instanceof TwinrailError) throw cause
      throw new TwinrailError(
        'unavailable',
        'the log takes no appends; the server’s diagnostic output has the cause',
        {
          cause,
          retryAfterMs: 1000,
        },
      )
    })
    return { status: 'ready' } as const
  })

  if (!disabled.has('metrics'))
    app.get(
      '/metrics',
      { schema: schemas.metrics, config: { action: 'metrics.read' } },
      async (request, reply) => {
        await allow(context, request, 'metrics.read')
        reply.type(metrics.contentType)
        return metrics.text()
      },
    )

  if (!disabled.has('openapi'))
    app.get(
      '/openapi.json',
      { schema: schemas.document, config: { action: 'openapi.read' } },
      async request => {
        await allow(context, request, 'openapi.read')
        return app.swagger()
      },
    )
}
