/** Checks the `Origin` and `Host` headers of requests. PROTOCOL.md, "HTTP". */
import type { FastifyRequest } from 'fastify'
import { TwinrailError } from '../protocol/index.ts'

const LOOPBACK = /^(localhost|[a-z0-9.-]+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/i

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

/** A name that no public domain has, since it has no dot, or an IP address: no web page is at either of another's choice. */
function isAddressOrLocalName(name: string): boolean {
  return /^[a-z0-9-]+$/i.test(name) || /^\d{1,3}(\.\d{1,3}){3}$/.test(name) || /^\[[0-9a-f:.]+\]$/i.test(name)
}

/** What a server is told of its names. */
export interface HostRules {
  /** Names by which the server is reached, without ports. */
  readonly listed: readonly string[]
  /** Whether everybody may do everything, so that pages of other names would be a danger beyond loopback, too. */
  readonly isInsecure: boolean
}

/** Number of refused origins and hosts that are reported, once each. */
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
  readonly #hosts: ReadonlySet<string>
  readonly #isInsecure: boolean
  readonly #reported = new Set<string>()
  readonly #report: (kind: 'origin' | 'host', refused: string) => void

  /** @param report called once for each refused origin and host, for at most 100 of them */
  constructor(
    listed: readonly string[] | undefined,
    hosts: HostRules,
    report: (kind: 'origin' | 'host', refused: string) => void,
  ) {
    this.#listed = listed && new Set(listed)
    this.#hosts = new Set(hosts.listed.map(name => name.toLowerCase()))
    this.#isInsecure = hosts.isInsecure
    this.#report = report
  }

  /** Whether pages of this origin may use the server. The server's own origin is not considered. */
  allows(origin: string): boolean {
    if (this.#listed) return this.#listed.has(origin)
    return this.onLoopback && isLoopbackOrigin(origin)
  }

  /**
   * Checks a request. `Host` must be a name of the server, which prevents DNS rebinding. Browsers always send a `Host`;
   * load balancers that probe often do not.
   * @throws TwinrailError `forbidden`; `bad-request` for HTTP/1.1 without `Host` or with two
   */
  check({ headers: { origin }, host, raw, routeOptions }: FastifyRequest): void {
    if (raw.httpVersionMajor === 1 && countOf(raw.rawHeaders, 'host') > 1) {
      throw new TwinrailError('bad-request', 'a request has one Host header')
    }
    if (!host && origin === undefined) {
      if (PROBES.has(routeOptions.url ?? '')) return
      if (raw.httpVersion === '1.1') throw new TwinrailError('bad-request', 'HTTP/1.1 needs a Host header')
    }
    const name = hostName(host ?? '').toLowerCase()
    if (!this.#isOwnName(name)) {
      this.#reportOnce('host', name)
      const fix =
        'allow it with --allow-host or the option `hosts`, or set changeOrigin in a development proxy'
      throw new TwinrailError(
        'forbidden',
        this.onLoopback
          ? `the Host header must be a loopback name such as localhost; ${fix}`
          : `the Host header is not a name of this server; ${fix}`,
      )
    }
    if (origin === undefined || origin === `http://${host}` || origin === `https://${host}`) return
    if (this.allows(origin)) return
    // Browsers send an origin or `null`. Other values do not come from a page and cannot be allowed by a setting.
    const isFromPage = origin === 'null' || isOrigin(origin)
    if (isFromPage) this.#reportOnce('origin', origin)
    throw new TwinrailError(
      'forbidden',
      'the Origin is neither this server’s own nor allowed; allow it with --origin or the option `origins`',
    )
  }

  #isOwnName(name: string): boolean {
    if (this.#hosts.has(name)) return true
    if (this.onLoopback || isLoopback(name)) return isLoopback(name)
    if (this.#hosts.size > 0) return false
    return !this.#isInsecure || isAddressOrLocalName(name)
  }

  #reportOnce(kind: 'origin' | 'host', refused: string): void {
    // A name that cannot be one needs no hint.
    if (kind === 'host' && !/^[a-z0-9.-]{1,253}$/.test(refused)) return
    const key = `${kind} ${refused}`
    if (this.#reported.has(key) || this.#reported.size >= MAX_REPORTED) return
    this.#reported.add(key)
    this.#report(kind, refused)
  }
}

/** How often a header occurs. Names and values take turns in the list. */
function countOf(rawHeaders: readonly string[], name: string): number {
  return rawHeaders.filter((text, i) => i % 2 === 0 && text.toLowerCase() === name).length
}
