/** Which web pages may use the server, and under which host names it answers. PROTOCOL.md, "HTTP". */
import type { FastifyRequest } from 'fastify'
import { TwinrailError } from './protocol/index.ts'

const LOOPBACK = /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/i

/** Whether a host name, or an IPv6 address with or without brackets, never leaves this machine. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host) || host === '::1'
}

/** The name in a `Host` header, without its port. */
function hostName(host: string): string {
  return host.replace(/:\d*$/, '')
}

/** Whether a text is an origin as browsers write it: scheme, host and port of a web page. */
export function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text
}

function isLoopbackOrigin(origin: string): boolean {
  if (!isOrigin(origin)) return false
  const { protocol, hostname } = new URL(origin)
  return (protocol === 'http:' || protocol === 'https:') && isLoopback(hostname)
}

/** Routes for load balancers and supervisors. They tell nothing of sessions. */
const PROBES: ReadonlySet<string> = new Set(['/healthz', '/readyz'])

/** Refused origins that are remembered, so that each is reported once. Later ones are not reported. */
const MOST_REPORTED = 100

/**
 * Keeps the pages of other sites out. The server's own pages are always allowed. Beside them, a given list allows
 * exactly its origins. Without a list, pages of loopback origins on any port are allowed while the server listens on
 * loopback: a page of Vite or Next on this machine then needs no setting.
 */
export class Origins {
  /** Whether the server listens on loopback only. */
  onLoopback = true
  readonly #listed: ReadonlySet<string> | undefined
  readonly #reported = new Set<string>()
  readonly #report: (origin: string) => void

  /** @param report called once for each refused origin, for at most 100 of them */
  constructor(listed: readonly string[] | undefined, report: (origin: string) => void) {
    this.#listed = listed && new Set(listed)
    this.#report = report
  }

  /** Whether pages of another origin than the server's own may use it. */
  allows(origin: string): boolean {
    if (this.#listed) return this.#listed.has(origin)
    return this.onLoopback && isLoopbackOrigin(origin)
  }

  /**
   * Refuses requests of foreign pages. While the server listens on loopback, `Host` must be a loopback name as well, so
   * that no foreign name can be made to point here (DNS rebinding). Browsers always send a `Host`; load balancers that
   * probe often do not.
   * @throws TwinrailError `forbidden`; `bad-request` for HTTP/1.1 without `Host`
   */
  check({ headers: { origin }, host, raw, routeOptions }: FastifyRequest): void {
    if (!host && origin === undefined) {
      if (PROBES.has(routeOptions.url ?? '')) return
      if (raw.httpVersion === '1.1') throw new TwinrailError('bad-request', 'HTTP/1.1 needs a Host header')
    }
    if (this.onLoopback && !isLoopback(hostName(host ?? ''))) {
      throw new TwinrailError('forbidden', 'the Host header must be a loopback name such as localhost')
    }
    if (origin === undefined || origin === `http://${host}` || origin === `https://${host}`) return
    if (this.allows(origin)) return
    // Browsers send an origin or `null`; anything else is not from a page, and no setting would allow it.
    const fromPage = origin === 'null' || isOrigin(origin)
    if (fromPage && !this.#reported.has(origin) && this.#reported.size < MOST_REPORTED) {
      this.#reported.add(origin)
      this.#report(origin)
    }
    throw new TwinrailError(
      'forbidden',
      'the Origin is neither this server’s own nor allowed; start the server with --origin to list it',
    )
  }
}
