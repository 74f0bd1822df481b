/**
 * The Fastify plugin. Requests below its prefix pass the app's hooks, and then go to a Fastify instance of the plugin's own:
 * content types, hooks, error formats, decorators and schemas of the app and of the plugin cannot meet.
 */
import { type IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, LogController } from 'fastify'
import { takeTicket } from '../auth/tickets.ts'
import { noteHostApp } from '../http/host-app.ts'
import type { CommonOptions, MountOptions } from '../options.ts'
import { isWebSocket } from '../routes/websocket-bridge.ts'
import type { CloseOptions } from '../server-api.ts'
import { createMounted, type MountedServer } from './mounted.ts'
import { takeUpgrades } from './upgrades.ts'

/** The options of the plugin. */
export interface PluginOptions extends MountOptions, Pick<CloseOptions, 'graceMs'> {}

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * The server that the plugin of `twinrail` has mounted below a path.
     * @param prefix the whole path, such as `/rt`; may be left out where there is one server only
     * @throws Error when there is no such server
     */
    twinrail(prefix?: string): MountedServer
  }
}

interface Upgrade {
  readonly socket: Socket
  readonly head: Buffer
  readonly response: ServerResponse
}

function destroy(this: Socket): void {
  this.destroy()
}

/** Upgrades on their way through the router of an app, which knows the server that they are for: prefixes may be nested. */
const upgrades = new WeakMap<IncomingMessage, Upgrade>()

/** The servers of an app by their prefixes. */
const serversOf = new WeakMap<Server, Map<string, MountedServer>>()

/** Mounts a server in the app. It stops when the app closes. */
export async function mount(app: FastifyInstance, options: PluginOptions): Promise<void> {
  const { graceMs, ...rest } = options
  const { prefix, server, serve, upgrade } = await createMounted(
    { ...rest, prefix: app.prefix + options.prefix, logger: options.logger ?? loggerOf(app) },
    // The app logs them.
    { logController: new LogController({ disableRequestLogging: true }) },
  )
  noteServer(app, prefix.path, server)

  const forward = (request: FastifyRequest, reply: FastifyReply) => {
    const { id, ip, host, raw } = request
    noteHostApp(raw, { id, ip, host, request })
    reply.hijack()
    const waiting = upgrades.get(raw)
    if (waiting) {
      const { socket, head, response } = waiting
      upgrades.delete(raw)
      response.detachSocket(socket)
      socket.off('error', destroy)
      return upgrade(raw, socket, head)
    }
    // What the app's hooks have set, such as cookies; a hijacked reply does not send it.
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) reply.raw.setHeader(name, value)
    }
    serve(raw, reply.raw)
  }
  await app.register(
    async scope => {
      scope.removeAllContentTypeParsers()
      // The body stays unread: the plugin's own instance reads it.
      scope.addContentTypeParser('*', (_request, _payload, done) => done(null))
      // Not in a document of the app's: the server has its own.
      const schema = { hide: true }
      scope.all('/', { schema }, forward)
      scope.all('/*', { schema }, forward)
    },
    { prefix: options.prefix },
  )

  // Before the app can log the URL.
  const hideTicket = (request: IncomingMessage) => {
    if (prefix.covers(request)) takeTicket(request)
  }
  app.server.prependListener('request', hideTicket)
  const leaveUpgrades = takeUpgrades(app.server, (request, socket, head) => {
    if (!isWebSocket(request) || !prefix.covers(request)) return false
    takeTicket(request)
    // Through the app's router, so that its hooks see the request and may refuse it.
    const response = new ServerResponse(request)
    response.assignSocket(socket)
    response.once('finish', () => socket.end())
    // Node has taken its own listener away.
    socket.on('error', destroy)
    upgrades.set(request, { socket, head, response })
    app.routing(request, response)
    return true
  })

  app.addHook('preClose', async () => {
    await server.close(graceMs === undefined ? {} : { graceMs })
    leaveUpgrades()
    app.server.off('request', hideTicket)
  })
}

/** Adds the server to those of the app, whichever of its instances asks for them. */
function noteServer(app: FastifyInstance, path: string, server: MountedServer): void {
  const servers = serversOf.get(app.server) ?? new Map<string, MountedServer>()
  serversOf.set(app.server, servers)
  if (servers.has(path)) throw new Error(`prefix: a server is mounted at ${path} already; give each its own`)
  servers.set(path, server)
  if (app.hasDecorator('twinrail')) return
  app.decorate('twinrail', (prefix?: string) => {
    const [only] = servers.values()
    const found = prefix === undefined && servers.size === 1 ? only : servers.get(prefix ?? '')
    if (found) return found
    const given = prefix === undefined ? 'no prefix' : JSON.stringify(prefix)
    throw new Error(`twinrail: received ${given}, expected one of ${[...servers.keys()].join(', ')}`)
  })
}

/** The app's logger, unless the app logs nothing: then agents' errors are written to stderr as in a server of its own. */
function loggerOf(app: FastifyInstance): CommonOptions['logger'] {
  return 'level' in app.log ? app.log : undefined
}
