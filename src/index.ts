/**
 * Twinrail for Node: agent runs as durable sessions over SSE, WebSocket and long-poll. Importing this entry loads no
 * package, so a file that only defines an agent starts fast; `createServer` loads the rest. The agents of the package,
 * logs, schemas and the guide have entries of their own: `twinrail/agents/…`, `twinrail/log`, `twinrail/log/…`,
 * `twinrail/protocol`, `twinrail/guide`.
 */
import type { FastifyPluginAsync } from 'fastify'
import type { Agent } from './agents/agent.ts'
import type { Handler } from './mount/handler.ts'
import type { PluginOptions } from './mount/plugin.ts'
import type { MountOptions, ServerOptions } from './options.ts'
import type { TwinrailServer } from './server-api.ts'
import type { TypesOf } from './server-types.ts'
import type { EventSchemas } from './sessions/own-events.ts'

export * from './agents/agent.ts'
export { type Action, actionGroups, type Group, type Right, rights, type WorkRight } from './auth/actions.ts'
export { anyOf } from './auth/any-of.ts'
export { type ApiKey, apiKeyAuthorize } from './auth/api-keys.ts'
export type { Authorize, SessionFacts, Wanted } from './auth/authorize.ts'
export { type JwtOptions, jwtAuthorize } from './auth/jwt.ts'
export type { PrincipalLimits } from './auth/limits.ts'
export type { BusOptions } from './bus/bus.ts'
export type { LagLimits } from './bus/lag.ts'
export type { OpenLimits } from './bus/open-limits.ts'
export type { HoldBounds } from './bus/producer-gate.ts'
export type { DialectName } from './dialects/names.ts'
export type { Tls } from './http/server.ts'
export type { LogEvent } from './log/event.ts'
export type * from './log/log.ts'
export type { Handler } from './mount/handler.ts'
export type { MountedServer } from './mount/mounted.ts'
export type { PluginOptions } from './mount/plugin.ts'
export type * from './options.ts'
export {
  type ErrorCode,
  type ErrorOptions,
  errorTable,
  type Refusal,
  TwinrailError,
} from './protocol/errors.ts'
export type * from './protocol/index.ts'
export type * from './server-api.ts'
export type { Typed, TypesOf } from './server-types.ts'
export type { EventSchemas } from './sessions/own-events.ts'
export type { Principal } from './sessions/principal.ts'
export type { RetentionLimits } from './sessions/retention.ts'
export type { SessionSummary } from './sessions/sessions.ts'
export type { TracerSource } from './tracing.ts'

/**
 * Creates a server. It does not listen yet: call `listen`, and `close` at the end. The server owns `options.log` and
 * closes it.
 * @throws Error when an option is out of range
 * @example
 * ```ts
 * import { createServer } from 'twinrail'
 * import { playback } from 'twinrail/agents/playback'
 * import { openLmdbLog } from 'twinrail/log/lmdb'
 *
 * const server = await createServer({ agents: [playback], log: await openLmdbLog({ folder: '.twinrail' }) })
 * console.log(await server.listen({ port: 8787 }))
 * process.once('SIGTERM', () => server.close({ graceMs: 5000 }))
 * ```
 */
export async function createServer<
  const Agents extends readonly Agent[] = readonly Agent[],
  const Events extends EventSchemas = Record<never, never>,
>(options: ServerOptions<Agents, Events> = {}): Promise<TwinrailServer<TypesOf<Agents, Events>>> {
  const server = await import('./server.ts')
  const { app, api, listen, close } = await server.createServer(options)
  return { app, ...api, listen, close }
}

/**
 * Creates a server without a port, for an app of Node's `http`, of Express, or a custom server of Next.js, which hands it
 * requests and upgrades: docs/mount.md. The server owns `options.log`; call `close` at the end.
 * @throws Error when an option is out of range
 * @example
 * ```ts
 * import { createServer } from 'node:http'
 * import { createHandler } from 'twinrail'
 *
 * const rt = await createHandler({ prefix: '/rt' })
 * const server = createServer((request, response) => rt.handler(request, response))
 * server.on('upgrade', (request, socket, head) => {
 *   if (!rt.upgrade(request, socket, head)) socket.destroy()
 * })
 * server.listen(8787)
 * ```
 */
export async function createHandler<
  const Agents extends readonly Agent[] = readonly Agent[],
  const Events extends EventSchemas = Record<never, never>,
>(options: MountOptions<Agents, Events>): Promise<Handler<TypesOf<Agents, Events>>> {
  const handler = await import('./mount/handler.ts')
  return handler.createHandler(options) as Promise<Handler<TypesOf<Agents, Events>>>
}

/**
 * The Fastify plugin: mounts a server below a path of an app, `app.register(twinrail, { prefix: '/rt' })`. The app's hooks
 * see its requests; nothing else of the app concerns it, and nothing of it the app. `app.twinrail()` has its
 * {@link ServerApi}. It closes with the app. docs/mount.md has the rest.
 * @throws Error when an option is out of range, or the prefix is in use
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { twinrail } from 'twinrail'
 *
 * const app = Fastify()
 * await app.register(twinrail, { prefix: '/rt' })
 * await app.listen({ port: 8787 })
 * await app.twinrail('/rt').publish('news', { type: 'x.started', data: { at: Date.now() } })
 * ```
 */
export const twinrail: FastifyPluginAsync<PluginOptions> = Object.assign(
  async (...[app, options]: Parameters<FastifyPluginAsync<PluginOptions>>) => {
    const plugin = await import('./mount/plugin.ts')
    await plugin.mount(app, options)
  },
  {
    // For the decorator `twinrail`: all else is on an instance of its own.
    [Symbol.for('skip-override')]: true,
    [Symbol.for('fastify.display-name')]: 'twinrail',
    [Symbol.for('plugin-meta')]: { name: 'twinrail', fastify: '5.x' },
  },
)
