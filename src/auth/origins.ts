/** Checks the `Origin` and `Host` headers of requests. PROTOCOL.md, "HTTP". */
import type { FastifyRequest } from 'fastify'
import { TwinrailError } from '../protocol/index.ts'

const LOOPBACK = /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/i

/** Whether a host name or address is a loopback one. IPv6 addresses may be in brackets. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host) || host === '::1'
}

/** The host name in a `Host` header, without the port. */
function hostName(host: string): string {
  return host.replace(/:\d*$/, '')
}

/** Whether a text is an origin as browsers send it, such as `https://example.com:8443`. */
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

/** Number of refused origins that are reported, once each. */
const MAX_REPORTED = 100

/**
 * Refuses requests from pages of other origins. Pages of the server's own origin are always allowed. With a list, so are
 * pages of the listed origins and no others. Without a list, a server that listens on loopback also allows pages of
 * loopback origins on any port, so that the development server of Vite or Next needs no setting.
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

  /** Whether pages of this origin may use the server. The server's own origin is not considered. */
  allows(origin: string): boolean {
    if (this.#listed) return this.#listed.has(origin)
    return this.onLoopback && isLoopbackOrigin(origin)
  }

  /**
   * Checks a request. While the server listens on loopback, `Host` must be a loopback name, which prevents DNS rebinding.
   * Browsers always send a `Host`; load balancers that probe often do not.
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
    // Browsers send an origin or `null`. Other values do not come from a page and cannot be allowed by a setting.
    const isFromPage = origin === 'null' || isOrigin(origin)
    if (isFromPage && !this.#reported.has(origin) && this.#reported.size < MAX_REPORTED) {
      this.#reported.add(origin)
      this.#report(origin)
    }
    throw new TwinrailError(
      'forbidden',
      'the Origin is neither this server’s own nor allowed; allow it with --origin or the option `origins`',
    )
  }
}
