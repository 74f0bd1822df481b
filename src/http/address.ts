/** The address of the client behind a request, for limits per address. */
import type { IncomingMessage } from 'node:http'
import { BlockList, isIP, isIPv4 } from 'node:net'
import proxyAddr from '@fastify/proxy-addr'
import { hostAppOf } from './host-app.ts'

/** Addresses that are not public: this machine and private networks. */
const local = new BlockList()
for (const [net, prefix, family] of [
  ['127.0.0.0', 8, 'ipv4'],
  ['10.0.0.0', 8, 'ipv4'],
  ['172.16.0.0', 12, 'ipv4'],
  ['192.168.0.0', 16, 'ipv4'],
  ['169.254.0.0', 16, 'ipv4'],
  ['100.64.0.0', 10, 'ipv4'],
  ['::1', 128, 'ipv6'],
  ['fc00::', 7, 'ipv6'],
  ['fe80::', 10, 'ipv6'],
] as const)
  local.addSubnet(net, prefix, family)

/** Tells the address that counts for a request. */
export class Addresses {
  readonly #trust: ((address: string, hop: number) => boolean) | undefined
  readonly #known = new WeakMap<IncomingMessage, { readonly counted: string | undefined }>()

  /**
   * @param trusted addresses and networks of proxies, such as `10.0.0.0/8` or `loopback`; their `X-Forwarded-For` is
   * believed
   * @throws TypeError when one of them is malformed
   */
  constructor(trusted: readonly string[] = []) {
    this.#trust = trusted.length > 0 ? proxyAddr.compile([...trusted]) : undefined
  }

  /**
   * The address whose use is counted, an IPv6 address as its network of 64 bits. `undefined` for one that is not public
   * while no proxy is trusted: it may be that of a proxy, with all its clients behind it.
   */
  of(request: IncomingMessage): string | undefined {
    const known = this.#known.get(request)
    if (known) return known.counted
    const counted = this.#counted(request)
    this.#known.set(request, { counted })
    return counted
  }

  /**
   * The `Host` that the client sent to a proxy which sends another one, as `X-Forwarded-Host` says; `undefined` without a
   * trusted proxy.
   */
  forwardedHost(request: IncomingMessage): string | undefined {
    const app = hostAppOf(request)
    if (app) return app.host === request.headers.host ? undefined : app.host
    if (!this.#trust?.(request.socket.remoteAddress ?? '', 0)) return undefined
    // Each proxy adds what it got.
    return lastOf(request.headers['x-forwarded-host'])
  }

  #counted(request: IncomingMessage): string | undefined {
    const peer = request.socket.remoteAddress ?? ''
    const app = hostAppOf(request)
    if (app && app.ip !== peer) return networkOf(isIP(app.ip) ? app.ip : peer)
    if (!this.#trust) return isLocal(peer) ? undefined : networkOf(peer)
    const client = withoutPort(proxyAddr(request, this.#trust))
    return networkOf(isIP(client) ? client : peer)
  }
}

/** An IPv4 address as it is; of an IPv6 address the first 64 bits, which belong to one customer. */
export function networkOf(address: string): string {
  const plain = unmapped(address)
  if (isIP(plain) !== 6) return plain
  const [left = '', right] = plain.replace(/%.*$/, '').split('::')
  const head = left === '' ? [] : left.split(':')
  const tail = right === undefined || right === '' ? [] : right.split(':')
  const zeros =
    right === undefined ? 0 : Math.max(0, 8 - head.length - tail.length - (isIPv4(tail.at(-1) ?? '') ? 1 : 0))
  const groups = [...head, ...Array<string>(zeros).fill('0'), ...tail].slice(0, 4)
  return `${groups.map(group => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}

/** Whether an address is one of this machine or of a private network. */
function isLocal(address: string): boolean {
  const plain = unmapped(address).replace(/%.*$/, '')
  const family = isIP(plain)
  return family === 0 || local.check(plain, family === 6 ? 'ipv6' : 'ipv4')
}

/** An IPv4 address that a socket for both families shows as an IPv6 one. */
const unmapped = (address: string) => /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address

const lastOf = (header: string | string[] | undefined) =>
  [header].flat().at(-1)?.split(',').at(-1)?.trim() || undefined

/** Some proxies write the port of the client as well. */
const withoutPort = (address: string) =>
  /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(address)?.[1] ?? /^\[(.+)\](?::\d+)?$/.exec(address)?.[1] ?? address
