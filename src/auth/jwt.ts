/** Principals and rights from JSON Web Tokens. */
import type { KeyObject } from 'node:crypto'
import type { JWTPayload, JWTVerifyGetKey, JWTVerifyOptions } from 'jose'
import { TwinrailError } from '../protocol/errors.ts'
import type { Authorize } from './authorize.ts'
import { bearerOf, noToken, unauthorized } from './bearer.ts'
import { type Grant, grantsAllow, ownerAllows } from './grants.ts'

/** The options of {@link jwtAuthorize}. Exactly one of `secret`, `publicKey` and `jwksUrl` must be given. */
export interface JwtOptions {
  /** The secret of tokens signed with HS256, at least 32 bytes of UTF-8. */
  secret?: string | undefined
  /** The public key of tokens signed with RSA, EC or Ed25519, as PEM: a public key or a certificate. */
  publicKey?: string | undefined
  /** Where the issuer publishes its keys, such as `https://auth.example.com/.well-known/jwks.json`. They are cached for
   * 10 minutes and read again when a token names a key that is not among them, at most every 30 s. */
  jwksUrl?: string | undefined
  /** The `iss` that tokens must have. @default any */
  issuer?: string | undefined
  /** The `aud` that tokens must have. @default any */
  audience?: string | undefined
}

/** A principal with a longer `sub` is refused. */
const PRINCIPAL_CHARS = 256

/** Maximum number of entries of the claim `twinrail`, and of patterns of each. */
const CLAIM_ENTRIES = 100

/** Maximum length of a pattern in the claim. */
const PATTERN_CHARS = 256

/**
 * Authorizes by the JSON Web Token in the header `Authorization: Bearer`. `sub` is the principal. The claim `twinrail`,
 * such as `[{"sessions": ["team-42", "u1.*"], "allow": ["read", "write"]}]`, gives its rights; without the claim the
 * principal may create sessions, and has `read`, `write` and `manage` on those that it created. Needs the package `jose`,
 * which is loaded when the function is called.
 * @throws Error when not exactly one kind of key is given, or the key cannot be used
 */
export function jwtAuthorize(options: JwtOptions): Authorize {
  const given = [options.secret, options.publicKey, options.jwksUrl].filter(key => key !== undefined)
  if (given.length !== 1) throw new Error('jwtAuthorize needs exactly one of secret, publicKey and jwksUrl')
  if (options.secret !== undefined && Buffer.byteLength(options.secret) < 32) {
    throw new Error('the secret of HS256 must have at least 32 bytes; make one with: openssl rand -base64 32')
  }
  if (options.jwksUrl !== undefined && !/^https?:$/.test(protocolOf(options.jwksUrl))) {
    throw new Error('jwksUrl must be an http or https URL')
  }
  // Here and not above: importing the package's root entry loads no module.
  const { createPublicKey } = process.getBuiltinModule('node:crypto')
  const publicKey = options.publicKey === undefined ? undefined : createPublicKey(options.publicKey)
  const verifying = verifierOf(options, publicKey, publicKey && algorithmsOf(publicKey))
  // Is reported by the first request as well; here it must not end the process.
  verifying.catch(() => {})

  return async (request, wanted) => {
    const token = bearerOf(request)
    if (token === undefined) throw noToken()
    const payload = await (await verifying)(token)
    const { sub, exp, iat } = payload
    if (typeof sub !== 'string' || sub === '' || sub.length > PRINCIPAL_CHARS) {
      throw unauthorized(`the token's sub must be a text of 1 to ${PRINCIPAL_CHARS} characters`)
    }
    const grants = grantsOf(payload)
    if (!(grants ? grantsAllow(grants, wanted) : ownerAllows(sub, wanted))) return undefined
    return { id: sub, issuedAt: (iat ?? 0) * 1000, ...(exp !== undefined && { expiresAt: exp * 1000 }) }
  }
}

const protocolOf = (url: string) => (URL.canParse(url) ? new URL(url).protocol : '')

type Verify = (token: string) => Promise<JWTPayload>

async function verifierOf(
  options: JwtOptions,
  publicKey: KeyObject | undefined,
  algorithms: string[] | undefined,
): Promise<Verify> {
  const { jwtVerify, errors, createRemoteJWKSet } = await import('jose')
  const { secret, jwksUrl, issuer, audience } = options
  const rules: JWTVerifyOptions = {
    ...(issuer !== undefined && { issuer }),
    ...(audience !== undefined && { audience }),
  }
  let key: Uint8Array | KeyObject | JWTVerifyGetKey
  if (secret !== undefined) {
    key = new TextEncoder().encode(secret)
    rules.algorithms = ['HS256']
  } else if (publicKey !== undefined) {
    key = publicKey
    rules.algorithms = algorithms as string[]
  } else {
    key = createRemoteJWKSet(new URL(jwksUrl as string), { cooldownDuration: 30_000, cacheMaxAge: 600_000 })
    rules.algorithms = [...RSA, ...EC, ...ED]
  }
  return async token => {
    try {
      // The overloads differ in the type of the key only.
      return (await jwtVerify(token, key as KeyObject, rules)).payload
    } catch (cause) {
      if (cause instanceof errors.JWTExpired) throw unauthorized('the token has expired')
      if (cause instanceof errors.JWTClaimValidationFailed) {
        throw unauthorized(`the token's claim ${cause.claim} is not accepted`)
      }
      const isInvalid = cause instanceof errors.JOSEError && !unreachable.has(cause.code)
      if (isInvalid || jwksUrl === undefined) throw unauthorized('the token is not valid')
      throw new TwinrailError('unavailable', 'the keys of the token’s issuer cannot be read now', {
        cause,
        retryAfterMs: 1000,
      })
    }
  }
}

/** Errors of jose that say that the issuer's keys could not be read, not that the token is wrong. */
const unreachable: ReadonlySet<string> = new Set(['ERR_JOSE_GENERIC', 'ERR_JWKS_TIMEOUT', 'ERR_JWKS_INVALID'])

const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
const EC = ['ES256', 'ES384', 'ES512']
const ED = ['EdDSA', 'Ed25519']

/** The algorithms that a public key can verify. */
function algorithmsOf({ asymmetricKeyType }: KeyObject): string[] {
  switch (asymmetricKeyType) {
    case 'rsa':
      return RSA
    case 'ec':
      return EC
    case 'ed25519':
      return ED
    default:
      throw new Error(
        `a public key of type ${asymmetricKeyType} cannot verify tokens; use RSA, EC or Ed25519`,
      )
  }
}

/** The grants of the claim; `undefined` without it. @throws TwinrailError `unauthorized` when it has another shape */
function grantsOf({ twinrail }: JWTPayload): readonly Grant[] | undefined {
  if (twinrail === undefined) return undefined
  const isTextList = (value: unknown, most: number) =>
    Array.isArray(value) &&
    value.length <= CLAIM_ENTRIES &&
    value.every(text => typeof text === 'string' && text.length <= most)
  const isGrant = (value: unknown) =>
    value !== null &&
    typeof value === 'object' &&
    isTextList((value as Grant).sessions, PATTERN_CHARS) &&
    isTextList((value as Grant).allow, PATTERN_CHARS)
  if (Array.isArray(twinrail) && twinrail.length <= CLAIM_ENTRIES && twinrail.every(isGrant)) {
    return twinrail as Grant[]
  }
  throw unauthorized(
    'the token’s claim twinrail must be a list such as [{"sessions":["a*"],"allow":["read"]}]',
  )
}
