/** Several ways to authorize, such as tokens for users and API keys for producers. */
import { TwinrailError } from '../protocol/errors.ts'
import type { Authorize } from './authorize.ts'

/**
 * Asks the hooks in turn, and gives the principal of the first that allows. When none does, the refusal of the first that
 * knows the credentials is the answer; `unauthorized` when none knows them. Other exceptions are passed on at once.
 * @example
 * ```ts
 * import { anyOf, apiKeyAuthorize, createServer, jwtAuthorize } from 'twinrail'
 *
 * const users = jwtAuthorize({ jwksUrl: 'https://auth.example.com/.well-known/jwks.json' })
 * const producers = apiKeyAuthorize([{ name: 'reports', sha256: process.env['REPORTS_KEY_SHA256'] ?? '' }])
 * const server = await createServer({ authorize: anyOf(users, producers) })
 * ```
 */
export function anyOf(...hooks: readonly Authorize[]): Authorize {
  if (hooks.length === 0) throw new Error('anyOf needs at least one hook')
  return async (request, wanted) => {
    let unknown: TwinrailError | undefined
    let refusal: TwinrailError | 'forbidden' | undefined
    for (const hook of hooks) {
      try {
        const principal = await hook(request, wanted)
        if (principal) return principal
        refusal ??= 'forbidden'
      } catch (error) {
        if (!(error instanceof TwinrailError) || error.retryable) throw error
        if (error.code === 'unauthorized') unknown = error
        else refusal ??= error
      }
    }
    if (refusal === 'forbidden') return undefined
    throw refusal ?? unknown
  }
}
