/** Credentials that the application's `auth` function gives, renewed before they expire and after a refusal. */
import { ClientError, isUnauthorized } from '../errors.ts'
import { type Cancel, type ControlOf, startTimer } from '../protocol.ts'
import type { Auth, AuthResult, Credential, Credentials, KeptSocket, TicketRequest } from './credentials.ts'
import { unlessAborted } from './linked-abort.ts'
import type { Socket, SocketConstructor } from './socket.ts'
import { sendsHeaders, TicketSocket } from './ticket-socket.ts'

/** Time before the expiry at which credentials are renewed, in ms; a quarter of the rest where that is shorter. */
const LEAD_MS = 30_000

/** Least time between two renewals of credentials that stay the same, in ms. */
const LEAST_MS = 1000

/** Asks `auth` once for everybody who needs credentials, and again before they expire while somebody listens. */
export class RenewingCredentials implements Credentials {
  readonly #auth: Auth
  readonly #kept = new Set<KeptSocket>()
  readonly #listeners = new Set<(renewed: Credential) => void>()
  #current: Credential | undefined
  /** By this machine's clock. */
  #expiresAt = Infinity
  #renewAt = Infinity
  #asking: Promise<Credential> | undefined
  #cancel: Cancel | undefined
  /** The server's clock minus this machine's. */
  #serverAheadMs = 0

  constructor(auth: Auth) {
    this.#auth = auth
  }

  async get(signal?: AbortSignal): Promise<Credential> {
    signal?.throwIfAborted()
    const now = Date.now()
    if (!this.#current || now >= this.#expiresAt) return unlessAborted(this.#ask(), signal)
    // While they are valid nobody waits for the renewal.
    if (now >= this.#renewAt) this.#ask().catch(() => {})
    return this.#current
  }

  async use<T>(attempt: (credential: Credential) => Promise<T>, signal: AbortSignal): Promise<T> {
    const credential = await this.get(signal)
    try {
      return await attempt(credential)
    } catch (error) {
      if (!isUnauthorized(error)) throw error
      this.refused(credential)
    }
    return attempt(await this.get(signal))
  }

  /** All attempts that were refused with the same credentials ask once. */
  refused(credential: Credential | undefined): boolean {
    if (credential === this.#current) this.#current = undefined
    return true
  }

  greeted(connection: { readonly credential: Credential }, hello: ControlOf<'hello'>): void {
    this.#serverAheadMs = hello.serverTime - Date.now()
    this.#told(connection.credential, hello.expiresAt)
    // They may have been renewed before.
    if (this.#kept.has(connection as KeptSocket)) this.#renewSocket(connection as KeptSocket)
  }

  onRenewed(listener: (renewed: Credential) => void): () => void {
    this.#listeners.add(listener)
    this.#arm()
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size === 0) this.#cancel?.()
    }
  }

  keep(socket: KeptSocket): () => void {
    this.#kept.add(socket)
    const stop = this.onRenewed(() => {
      if (socket.greeted) this.#renewSocket(socket)
    })
    return () => {
      this.#kept.delete(socket)
      stop()
    }
  }

  socket(make: SocketConstructor, address: URL, request: TicketRequest): Socket | undefined {
    const isBare = Object.keys(request.credential.headers).length === 0
    return isBare || sendsHeaders(make) ? undefined : new TicketSocket(make, address, request)
  }

  /** Gives the server the token of now. Streams with other credentials open a socket of their own. */
  #renewSocket(socket: KeptSocket): void {
    const renewed = this.#current
    if (!renewed?.token || renewed === socket.credential) return
    socket.renew(renewed.token).then(
      ({ expiresAt }) => {
        socket.credential = renewed
        this.#told(renewed, expiresAt)
      },
      error => {
        if (isUnauthorized(error)) this.refused(renewed)
        // A token of another principal, for example: the server judges it on a new connection.
        socket.fail(isUnauthorized(error) ? error : new ClientError('connection-lost', error.message))
      },
    )
  }

  /** The server says when `credential` expires. */
  #told(credential: Credential, expiresAt: number | undefined): void {
    if (expiresAt !== undefined && credential === this.#current) this.#expire(expiresAt - this.#serverAheadMs)
  }

  #ask(): Promise<Credential> {
    this.#asking ??= this.#renew().finally(() => {
      this.#asking = undefined
      this.#arm()
    })
    return this.#asking
  }

  async #renew(): Promise<Credential> {
    const before = this.#current
    let result: AuthResult
    try {
      result = await this.#auth()
    } catch (cause) {
      this.#expire(this.#expiresAt)
      if (cause instanceof ClientError) throw cause
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new ClientError('auth-failed', `The client's auth function failed: ${why}`, { cause })
    }
    const { token, expiresAt, ...headers } = (typeof result === 'string' ? { token: result } : result) as {
      token?: string
      expiresAt?: number
    }
    const next: Credential =
      token === undefined ? { headers } : { token, headers: { authorization: `Bearer ${token}` } }
    const isSame = before && JSON.stringify(before) === JSON.stringify(next)
    const current = isSame ? before : next
    this.#current = current
    this.#expire(expiresAt ?? expiryOf(token) ?? (isSame ? this.#expiresAt : Infinity))
    if (!isSame) for (const listener of [...this.#listeners]) listener(current)
    return current
  }

  /**
   * An expiry in the past counts as unknown: this machine's clock may be wrong, and the server refuses what has expired.
   */
  #expire(expiresAt: number): void {
    const now = Date.now()
    const rest = expiresAt > now ? expiresAt - now : Infinity
    this.#expiresAt = now + rest
    this.#renewAt = now + Math.max(LEAST_MS, rest - Math.min(LEAD_MS, rest / 4))
    this.#arm()
  }

  #arm(): void {
    this.#cancel?.()
    if (this.#listeners.size === 0 || this.#renewAt === Infinity || this.#asking) return
    this.#cancel = startTimer(Math.max(0, this.#renewAt - Date.now()), () => {
      this.#ask().catch(() => {}) // Asked again before they expire; a stream that needs them then reports the error.
    })
  }
}

/** The `exp` of a JSON Web Token in ms; `undefined` for other tokens. The server checks it, so this only reads it. */
function expiryOf(token: string | undefined): number | undefined {
  try {
    const [, payload = ''] = token!.split('.')
    const { exp } = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')))
    return typeof exp === 'number' ? exp * 1000 : undefined
  } catch {
    return undefined
  }
}
