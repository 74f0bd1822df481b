/** Adds the routes of dialects to a server. Each is loaded only when it is wanted. */
import type { FastifyInstance } from 'fastify'
import type { TransportContext } from '../transports/context.ts'
import type { DialectParts } from './dialect.ts'
import type { DialectName } from './names.ts'

type Routes = (app: FastifyInstance, context: TransportContext, parts: DialectParts) => void

const loaders: Record<DialectName, () => Promise<Routes>> = {
  'ai-sdk': async () => (await import('./ai-sdk/routes.ts')).aiSdkRoutes,
  'ag-ui': async () => (await import('./ag-ui/routes.ts')).agUiRoutes,
  openai: async () => (await import('./openai/routes.ts')).openAiRoutes,
  genie: async () => (await import('./genie/routes.ts')).genieRoutes,
}

export async function registerDialects(
  app: FastifyInstance,
  context: TransportContext,
  names: readonly DialectName[],
  parts: DialectParts,
): Promise<void> {
  for (const name of names) {
    const routes = await loaders[name]()
    // Each in a scope of its own: they differ in how they read bodies and answer refusals.
    await app.register(async scope => routes(scope, context, parts))
  }
}
