/** Checks the `Origin` and `Host` headers of requests. PROTOCOL.md, "HTTP". */
import type { IncomingMessage } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { TwinrailError } from '../protocol/index.ts'

const LOOPBACK = /^(localhost|[a-z0-9.-]+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/i

/** Whether a host name or address is a loopback one. IPv6 addresses may be in brackets. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host) || host === '::1'
}

/** Whether a connection came to a loopback address, or to a Unix socket, which has none. */
function cameToLoopback({ socket }: IncomingMessage): boolean {
  const { localAddress } = socket
  return localAddress === undefined || isLoopback(localAddress.replace(/^::ffff:/i, ''))
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
  readonly isOpen: boolean
  /** Whether this is wanted beyond loopback. */
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
  /**
   * Whether the server listens on loopback only. Where somebody else listens, it is not known: the address tells that each
   * connection came to.
   */
  onLoopback: boolean | undefined
  readonly #listed: ReadonlySet<string> | undefined
  readonly #hosts: ReadonlySet<string>
  readonly #rules: HostRules
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
    this.#rules = hosts
    this.#report = report
  }

  /** Whether a request that passed {@link check} comes from a page of another origin, which needs CORS. */
  needsCors(origin: string): boolean {
    return this.#listed ? this.#listed.has(origin) : this.onLoopback !== false && isLoopbackOrigin(origin)
  }

  /**
   * Checks a request. `Host` must be a name of the server, which prevents DNS rebinding. Browsers always send a `Host`;
   * load balancers that probe often do not.
   * @param forwardedHost the `Host` that the client sent, as a trusted proxy says; it must be a name of the server, too
   * @throws TwinrailError `forbidden`; `bad-request` for HTTP/1.1 without `Host` or with two
   */
  check({ headers: { origin }, host, raw, routeOptions }: FastifyRequest, forwardedHost?: string): void {
    const onLoopback = this.onLoopback ?? cameToLoopback(raw)
    if (!onLoopback && this.#rules.isOpen && !this.#rules.isInsecure) this.#refuseStrangers(routeOptions.url)
    if (raw.httpVersionMajor === 1 && countOf(raw.rawHeaders, 'host') > 1) {
      throw new TwinrailError('bad-request', 'a request has one Host header')
    }
    if (!host && origin === undefined) {
      if (PROBES.has(routeOptions.url ?? '')) return
      if (raw.httpVersion === '1.1') throw new TwinrailError('bad-request', 'HTTP/1.1 needs a Host header')
    }
    for (const name of namesIn(host, forwardedHost)) {
      if (this.#isOwnName(name, onLoopback)) continue
      this.#reportOnce('host', name)
      const fix =
        'allow it with --allow-host or the option `hosts`, or set changeOrigin in a development proxy'
      throw new TwinrailError(
        'forbidden',
        onLoopback
          ? `the Host header must be a loopback name such as localhost; ${fix}`
          : `the Host header is not a name of this server; ${fix}`,
      )
    }
    if (origin === undefined || isOriginOf(host, origin) || isOriginOf(forwardedHost, origin)) return
    if (this.#listed ? this.#listed.has(origin) : onLoopback && isLoopbackOrigin(origin)) return
    // Browsers send an origin or `null`. Other values do not come from a page and cannot be allowed by a setting.
    const isFromPage = origin === 'null' || isOrigin(origin)
    if (isFromPage) this.#reportOnce('origin', origin)
    throw new TwinrailError(
      'forbidden',
      'the Origin is neither this server’s own nor allowed; allow it with --origin or the option `origins`',
    )
  }

  #isOwnName(name: string, onLoopback: boolean): boolean {
    if (this.#hosts.has(name)) return true
    if (onLoopback || isLoopback(name)) return isLoopback(name)
    if (this.#hosts.size > 0) return false
    return !this.#rules.isOpen || isAddressOrLocalName(name)
  }

  /**
   * What `listen` refuses where the server listens itself: that everybody who reaches it may do everything.
   * @throws TwinrailError `forbidden`
   */
  #refuseStrangers(route: string | undefined): void {
    if (PROBES.has(route ?? '')) return
    throw new TwinrailError(
      'forbidden',
      'this server answers only its own machine, since it has no authorize hook; pass one, or set the option `insecure`',
    )
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

/** The names in these values of `Host`. Without any, the empty one. */
function namesIn(host: string | undefined, forwardedHost: string | undefined): string[] {
  const hosts = forwardedHost === undefined ? [host ?? ''] : [host ?? '', forwardedHost]
  return hosts.map(name => hostName(name).toLowerCase())
}

function isOriginOf(host: string | undefined, origin: string): boolean {
  return host !== undefined && (origin === `http://${host}` || origin === `https://${host}`)
}

/** How often a header occurs. Names and values take turns in the list. */
function countOf(rawHeaders: readonly string[], name: string): number {
  return rawHeaders.filter((text, i) => i % 2 === 0 && text.toLowerCase() === name).length
}
