/** Principals and rights from API keys, for producers and servers. */
import type { Right } from './actions.ts'
import type { Authorize } from './authorize.ts'
import { bearerOf, noToken, unauthorized } from './bearer.ts'
import { grantsAllow } from './grants.ts'

/** An API key. The server knows only its hash. */
export interface ApiKey {
  /** The principal that requests with the key come from. */
  name: string
  /** SHA-256 of the key, in hexadecimal. */
  sha256: string
  /** What the key allows. @default `read`, `write`, `produce` and `manage` */
  allow?: readonly Right[] | undefined
  /** Ids of the sessions on which it is allowed; `*` stands for any characters. @default all sessions */
  sessions?: readonly string[] | undefined
}

/** What an API key allows by default. */
export const apiKeyRights: readonly Right[] = ['read', 'write', 'produce', 'manage']

/**
 * Authorizes by an API key in the header `Authorization: Bearer`. Hashes are compared in constant time, and with every
 * key.
 * @throws Error when a hash is malformed or two keys have the same one
 */
export function apiKeyAuthorize(keys: readonly ApiKey[]): Authorize {
  // Here and not above: importing the package's root entry loads no module.
  const { createHash, timingSafeEqual } = process.getBuiltinModule('node:crypto')
  const known = keys.map(({ name, sha256, allow = apiKeyRights, sessions = ['*'] }) => {
    if (!/^[0-9a-f]{64}$/i.test(sha256)) {
      throw new Error(`the hash of the API key ${name} must be SHA-256 in hexadecimal`)
    }
    return { name, hash: Buffer.from(sha256, 'hex'), grants: [{ sessions, allow }] }
  })
  if (new Set(known.map(({ hash }) => hash.toString('hex'))).size < known.length) {
    throw new Error('two API keys have the same hash')
  }

  return (request, wanted) => {
    const token = bearerOf(request)
    if (token === undefined) throw noToken()
    const hash = createHash('sha256').update(token).digest()
    let found: (typeof known)[number] | undefined
    for (const key of known) if (timingSafeEqual(key.hash, hash)) found = key
    if (!found) throw unauthorized('the API key is not known')
    return grantsAllow(found.grants, wanted) ? { id: found.name } : undefined
  }
}
