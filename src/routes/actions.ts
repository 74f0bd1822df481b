/** Every route of the server says which action it is. */
import type { FastifyInstance } from 'fastify'
import type { Action } from '../auth/actions.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The action that the route authorizes; `command` when the command in the body is the action. */
    action?: Action | 'command'
    /** An empty body of JSON is none, rather than a fault. */
    mayHaveNoBody?: boolean
  }
}

/** A route and the action that it authorizes. */
export interface RouteAction {
  readonly method: string
  readonly url: string
  readonly action: Action | 'command'
}

/**
 * Refuses to register a route without an action from now on. Routes that the application adds later are its own.
 * @returns the routes so far, and `end`, which ends the check
 */
export function requireActions(app: FastifyInstance): { routes: readonly RouteAction[]; end(): void } {
  const routes: RouteAction[] = []
  let ended = false
  app.addHook('onRoute', ({ method, url, config }) => {
    if (ended) return
    for (const name of [method].flat()) {
      // Preflights of CORS; they carry no credentials.
      if (name === 'OPTIONS') continue
      if (!config?.action) throw new Error(`the route ${name} ${url} has no config.action`)
      routes.push({ method: name, url, action: config.action })
    }
  })
  return {
    routes,
    end() {
      ended = true
    },
  }
}
