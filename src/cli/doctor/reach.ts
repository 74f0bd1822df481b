/** Whether there is a Twinrail server, how far away it is and who stands before it. */
import { Agent as HttpAgent, type IncomingHttpHeaders } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { addAbortSignal } from 'node:stream'
import { connect } from 'node:tls'
import { endpoint } from '../../../client/index.ts'
import { oneLine } from '../text.ts'
import { ANSWER_MS, type Answer, call, jsonOf, reasonOf, refusalOf, saidBy } from './http.ts'
import { median } from './time.ts'

/** Why there is nothing to examine. */
export type Obstacle = 'unreachable' | 'not-twinrail' | 'host-refused' | 'refused' | 'commands-fail'

export class NothingToExamine extends Error {
  override readonly name = 'NothingToExamine'
  readonly code: Obstacle

  constructor(code: Obstacle, message: string) {
    super(message)
    this.code = code
  }
}

export interface Reached {
  /** The version of TLS; none over plain HTTP. */
  tls?: string
  /** What a browser would speak. */
  http: 'HTTP/1.1' | 'HTTP/2'
  /** Servers and proxies that name themselves in headers. */
  between: string[]
  /** Median of several requests on one connection. */
  roundTripMs: number
  agents: string[]
}

const ROUND_TRIPS = 5

/** @throws NothingToExamine */
export async function reach(
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<Reached> {
  const address = endpoint(url, 'agents')
  const tls = address.protocol === 'https:' ? await tlsOf(address, signal) : { http: 'HTTP/1.1' as const }
  const unreachable = (error: unknown) => {
    throw signal.aborted ? error : new NothingToExamine('unreachable', `${url}: ${reasonOf(error)}`)
  }
  const answer = await call({ url: address, headers, signal }).catch(unreachable)
  const { agents } = mustBeTwinrail(url, answer) as { agents: { name: string }[] }
  return {
    ...tls,
    between: namesIn(answer.headers),
    roundTripMs: await roundTrip(address, headers, signal).catch(unreachable),
    agents: agents.map(({ name }) => name),
  }
}

/** @throws NothingToExamine unless the answer lists agents */
function mustBeTwinrail(url: string, answer: Answer): Record<string, unknown> {
  const body = jsonOf(answer)
  if (answer.status === 200 && Array.isArray(body?.['agents'])) return body
  const error = body?.['error'] as { code?: string; message?: string; requestId?: string } | undefined
  if (error?.code === 'not-found' && error.requestId !== undefined) {
    throw new NothingToExamine('not-twinrail', `${url}: a Twinrail server answers, but not under this path`)
  }
  if (typeof error?.code === 'string' && error.requestId !== undefined) {
    const host = error.code === 'forbidden' && error.message?.includes('Host')
    throw new NothingToExamine(
      host ? 'host-refused' : 'refused',
      `${url}: the server refuses (${error.code}): ${oneLine(error.message)}`,
    )
  }
  throw new NothingToExamine(
    'not-twinrail',
    `${url} is no Twinrail server: GET ${endpoint(url, 'agents').pathname} was answered ${saidBy(refusalOf(answer))}`,
  )
}

async function roundTrip(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<number> {
  const options = { keepAlive: true, maxSockets: 1 }
  const agent = url.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options)
  try {
    const tookMs: number[] = []
    // The first one connects.
    for (let i = 0; i <= ROUND_TRIPS; i++) tookMs.push((await call({ url, headers, signal, agent })).tookMs)
    return median(tookMs.slice(1))
  } finally {
    agent.destroy()
  }
}

/** Shakes hands as a browser does, which offers HTTP/2 first. */
function tlsOf(url: URL, signal: AbortSignal): Promise<Pick<Reached, 'tls' | 'http'>> {
  return new Promise((resolve, reject) => {
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const fail = (error: Error) => {
      socket.destroy()
      reject(
        signal.aborted ? error : new NothingToExamine('unreachable', `${url.origin}: ${reasonOf(error)}`),
      )
    }
    const socket = connect(
      {
        host,
        port: Number(url.port || 443),
        ...(!/^[\d.]+$|:/.test(host) && { servername: host }),
        ALPNProtocols: ['h2', 'http/1.1'],
        timeout: ANSWER_MS,
      },
      () => {
        resolve({
          tls: socket.getProtocol() ?? 'TLS',
          http: socket.alpnProtocol === 'h2' ? 'HTTP/2' : 'HTTP/1.1',
        })
        socket.destroy()
      },
    )
    addAbortSignal(signal, socket)
    socket.on('timeout', () => fail(new Error(`no answer within ${ANSWER_MS / 1000} s`)))
    socket.on('error', fail)
  })
}

/** Twinrail names itself in no header, so whoever does stands between. */
export function namesIn(headers: IncomingHttpHeaders): string[] {
  const via = String(headers['via'] ?? '').split(',')
  const names = [String(headers['server'] ?? ''), ...via, headers['cf-ray'] ? 'cloudflare' : '']
  return [...new Set(names.map(name => oneLine(name)).filter(name => name !== ''))]
}
