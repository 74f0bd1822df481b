/** Agents, the guide, health and metrics. */
import type { FastifyInstance } from 'fastify'
import { advise, adviseOnAll, GuideQuery } from '../guide/index.ts'
import type { Metrics } from '../metrics.ts'
import { check, jsonSchemaOf, TwinrailError } from '../protocol/index.ts'
import { allow, type TransportContext } from '../transports/context.ts'
import { openApi } from './openapi.ts'

/** Routes that a server can do without. */
export const optionalRoutes = ['page', 'guide', 'metrics', 'openapi'] as const
export type OptionalRoute = (typeof optionalRoutes)[number]

/** @param disabled routes that are left out */
export function metaRoutes(
  app: FastifyInstance,
  context: TransportContext,
  metrics: Metrics,
  disabled: ReadonlySet<OptionalRoute>,
): void {
  const { journal, sessions, connections } = context
  const agents = [...sessions.agents.values()].map(({ name, description, input }) => ({
    name,
    description,
    input: jsonSchemaOf(input),
  }))

  app.get('/v1/agents', { config: { action: 'agents.list' } }, async request => {
    await allow(context, request, 'agents.list')
    return { agents }
  })

  if (!disabled.has('guide'))
    app.get('/v1/guide', { config: { action: 'guide.read' } }, async request => {
      await allow(context, request, 'guide.read')
      const question = check(GuideQuery, request.query, 'query')
      return Object.keys(question).length > 0 ? advise(question) : { scenarios: adviseOnAll() }
    })

  app.get('/healthz', { config: { action: 'health.read' } }, async () => ({ status: 'ok' }))

  app.get('/readyz', { config: { action: 'health.read' } }, async () => {
    connections.mustBeReady()
    await journal.ready().catch(cause => {
      if (cause instanceof TwinrailError) throw cause
      throw new TwinrailError('unavailable', 'the log takes no appends; the server’s log has the cause', {
        cause,
        retryAfterMs: 1000,
      })
    })
    return { status: 'ready' }
  })

  if (!disabled.has('metrics'))
    app.get('/metrics', { config: { action: 'metrics.read' } }, async (request, reply) => {
      await allow(context, request, 'metrics.read')
      reply.type(metrics.contentType)
      return metrics.text()
    })

  if (disabled.has('openapi')) return
  const document = JSON.stringify(openApi())
  app.get('/openapi.json', { config: { action: 'openapi.read' } }, async (request, reply) => {
    await allow(context, request, 'openapi.read')
    reply.type('application/json; charset=utf-8')
    return document
  })
}
