/** The credentials in a request's `Authorization: Bearer` header. */
import type { FastifyRequest } from 'fastify'
import { TwinrailError } from '../protocol/errors.ts'
import { TOKEN_CHARS } from '../protocol/limits.ts'

/** The token, or `undefined` when the request has none. @throws TwinrailError `unauthorized` when it is too long */
export function bearerOf({ headers }: Pick<FastifyRequest, 'headers'>): string | undefined {
  const { authorization } = headers
  if (authorization === undefined || !/^bearer /i.test(authorization)) return undefined
  const token = authorization.slice('bearer '.length).trim()
  if (token.length > TOKEN_CHARS) throw unauthorized(`the token is longer than ${TOKEN_CHARS} characters`)
  return token === '' ? undefined : token
}

/** @param why what is wrong with the credentials; never the credentials themselves */
export function unauthorized(why: string): TwinrailError {
  return new TwinrailError('unauthorized', why)
}

/** The refusal of a request without a token. */
export function noToken(): TwinrailError {
  return unauthorized('the request has no token; send the header Authorization: Bearer …')
}
