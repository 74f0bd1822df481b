/** Agents, the guide, health and metrics. */
import type { FastifyInstance } from 'fastify'
import { advise, adviseOnAll, GuideQuery } from '../guide/index.ts'
import type { Metrics } from '../metrics.ts'
import { check, jsonSchemaOf, TwinrailError } from '../protocol/index.ts'
import { allow, type TransportContext } from '../transports/context.ts'
import { openApi } from './openapi.ts'

export function metaRoutes(
  app: FastifyInstance,
  context: TransportContext,
  metrics: Metrics,
  dialects: Record<string, unknown> = {},
): void {
  const { journal, sessions, connections } = context
  const agents = [...sessions.agents.values()].map(({ name, description, input }) => ({
    name,
    description,
    input: jsonSchemaOf(input),
  }))

  app.get('/v1/agents', async request => {
    await allow(context, request, 'agents.list')
    return { agents }
  })

  app.get('/v1/guide', async request => {
    const question = check(GuideQuery, request.query, 'query')
    return Object.keys(question).length > 0 ? advise(question) : { scenarios: adviseOnAll() }
  })

  app.get('/healthz', async () => ({ status: 'ok' }))

  app.get('/readyz', async () => {
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

  app.get('/metrics', async (_request, reply) => {
    reply.type(metrics.contentType)
    return metrics.text()
  })

  const document = JSON.stringify(openApi(dialects))
  app.get('/openapi.json', async (_request, reply) => {
    reply.type('application/json; charset=utf-8')
    return document
  })
}
