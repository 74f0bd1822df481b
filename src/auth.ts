/** The door: who may do what. Every route, upgrade and command passes it. */
import type { FastifyRequest } from 'fastify'
import { TwinrailError } from './protocol/index.ts'
import type { Principal } from './sessions/principal.ts'

/** What somebody wants to do. */
export type Action =
  | 'connect'
  | 'session.create'
  | 'session.list'
  | 'session.read'
  | 'session.delete'
  | 'subscribe'
  | 'subscribe:wait'
  | 'run.start'
  | 'run.cancel'
  | 'input.answer'
  | 'input.steer'
  | 'publish'
  | 'ingest'
  | 'agents.list'

/**
 * Says who asks, if they may; nothing when they may not. A hook may also throw a {@link TwinrailError}, such as
 * `unauthorized`, with what to do. `sessionId` is absent where no session is concerned.
 */
export type Authorize = (
  request: FastifyRequest,
  action: Action,
  sessionId?: string,
) => Principal | undefined | Promise<Principal | undefined>

/** Everybody who reaches the server may do everything, as `local`. Only for loopback. */
export const allowLocal: Authorize = () => ({ id: 'local' })

/** Asks the hook. @throws TwinrailError `forbidden`, or what the hook threw */
export async function mustBeAllowed(
  authorize: Authorize,
  request: FastifyRequest,
  action: Action,
  sessionId?: string,
): Promise<Principal> {
  const principal = await authorize(request, action, sessionId)
  if (principal) return principal
  throw new TwinrailError('forbidden', `not allowed: ${action}`, { details: { action } })
}

const LOOPBACK = /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/i

/** Whether a host name or bracketed address never leaves this machine. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host) || host === '::1'
}

/** The name in a `Host` header, without its port. */
function hostName(host: string): string {
  return host.replace(/:\d*$/, '')
}

/**
 * Keeps foreign web pages out: a request that carries an `Origin` must come from the server's own pages or from a
 * listed one, and while the server listens on loopback its `Host` must be a loopback name, so that no foreign name can
 * be made to point here (DNS rebinding).
 * @throws TwinrailError `forbidden`
 */
export function checkOrigin(
  { headers: { origin }, host }: Pick<FastifyRequest, 'headers' | 'host'>,
  origins: ReadonlySet<string>,
  loopback: boolean,
): void {
  if (loopback && !isLoopback(hostName(host))) {
    throw new TwinrailError('forbidden', 'the Host header must be a loopback name such as localhost')
  }
  if (origin === undefined || origins.has(origin)) return
  if (origin === `http://${host}` || origin === `https://${host}`) return
  throw new TwinrailError(
    'forbidden',
    'the Origin is neither this server’s own nor listed; start the server with --origin to list it',
  )
}
