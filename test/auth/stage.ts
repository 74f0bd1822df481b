/** Two nodes on one log, whose tokens are signed here. */
import { SignJWT } from 'jose'
import type { Test } from 'tap'
import type { Authorize } from '../../src/auth/authorize.ts'
import { jwtAuthorize } from '../../src/auth/jwt.ts'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import type { ServerOptions } from '../../src/server.ts'
import { serve, type Wire } from '../fixtures/wire-server.ts'

export const SECRET = 'a secret of tests that is long enough'

export const seconds = () => Math.floor(Date.now() / 1000)

/** The header with a token of this principal. */
export async function bearer(
  sub: string,
  claims: Record<string, unknown> = {},
): Promise<{ authorization: string }> {
  const token = await new SignJWT({ sub, exp: seconds() + 600, iat: seconds(), ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(new TextEncoder().encode(SECRET))
  return { authorization: `Bearer ${token}` }
}

export const byToken: Authorize = jwtAuthorize({ secret: SECRET })

export const admin = () => bearer('root', { twinrail: [{ sessions: ['*'], allow: ['admin'] }] })

/** Two servers on one log. */
export async function nodes(t: Test, options: ServerOptions = {}): Promise<[Wire & { log: EventLog }, Wire]> {
  const shared = createMemoryLog()
  t.teardown(() => shared.close())
  // Each server closes its log, and the other one still needs it.
  const log: EventLog = { ...shared, close: async () => {} }
  const one = await serve(t, { authorize: byToken, ...options, log })
  return [{ ...one, log }, await serve(t, { authorize: byToken, ...options, log })]
}
