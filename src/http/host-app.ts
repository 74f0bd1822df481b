/** What the app that a server is mounted in knows of a request. */
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface FastifyRequest {
    /**
     * Where Twinrail is mounted in a Fastify app: the request of that app, with what its hooks have added, for `authorize`
     * hooks. `undefined` elsewhere; a request of Express, with what its middleware has added, is `raw`.
     */
    readonly hostRequest: FastifyRequest | undefined
  }
}

/** A request as the app sees it, with the app's own settings for proxies. */
export interface HostAppRequest {
  /** The app's id of the request, which its log has. */
  readonly id: string
  /** The address of the client. */
  readonly ip: string
  /** The `Host` that the client sent. */
  readonly host: string
  readonly request: FastifyRequest
}

const known = new WeakMap<IncomingMessage, HostAppRequest>()

/** Notes what the app knows. */
export function noteHostApp(request: IncomingMessage, seen: HostAppRequest): void {
  known.set(request, seen)
}

/** What the app knows; `undefined` where the server is mounted in no app, or the app said nothing. */
export function hostAppOf(request: IncomingMessage): HostAppRequest | undefined {
  return known.get(request)
}

/** Lets the requests of this instance show those of the app. */
export function showHostRequests(app: FastifyInstance): void {
  app.decorateRequest('hostRequest', {
    getter() {
      return hostAppOf(this.raw)?.request
    },
  })
}
