/** The path below which a mounted server answers. */
import type { IncomingMessage } from 'node:http'
import { takeTicket } from '../auth/tickets.ts'

const PREFIX = /^(?:\/[A-Za-z0-9._~-]+)+$/

/** A request with what frameworks add to it: the URL as it was before they took a part of it off. */
type Routed = IncomingMessage & { originalUrl?: string }

export class Prefix {
  /** Such as `/rt`. */
  readonly path: string

  /** @throws Error when it is no path, such as one with a parameter, or the root */
  constructor(path: string) {
    this.path = path.replace(/\/$/, '')
    if (!PREFIX.test(this.path)) {
      throw new Error(
        `prefix: received ${JSON.stringify(path)}, expected a path of letters, digits and ._~- such as "/rt"`,
      )
    }
  }

  /** Whether a request is for a path below the prefix, or for the prefix itself. */
  covers(request: IncomingMessage): boolean {
    return this.#restOf(request) !== undefined
  }

  /**
   * Takes the prefix off a request's URL, and its ticket. `originalUrl` keeps the rest.
   * @returns false for a request that is not below the prefix, which stays as it is
   */
  enter(request: Routed): boolean {
    const rest = this.#restOf(request)
    if (rest === undefined) return false
    request.originalUrl ??= request.url as string
    request.url = rest
    takeTicket(request)
    return true
  }

  #restOf({ originalUrl, url = '' }: Routed): string | undefined {
    const full = originalUrl ?? url
    if (!full.startsWith(this.path)) return undefined
    const rest = full.slice(this.path.length)
    if (rest === '' || rest.startsWith('?')) return `/${rest}`
    return rest.startsWith('/') ? rest : undefined
  }
}
