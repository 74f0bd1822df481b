/** Credentials as a client's streams and commands see them. Renewing ones are loaded only by clients with `auth`. */
import type { ClientError } from '../errors.ts'
import type { ControlOf } from '../protocol.ts'
import type { Socket, SocketConstructor } from './socket.ts'

/**
 * What {@link Auth} returns: a token, sent as `Authorization: Bearer`; a token with the time at which it expires, in ms
 * since 1970; or headers, for servers with an `authorize` hook of their own.
 */
export type AuthResult =
  | string
  | { token: string; expiresAt?: number | undefined }
  | { readonly [header: string]: string }

/**
 * The application's function that gets credentials. It is called when the client needs them for the first time, before
 * they expire, and after the server has refused them; never twice at a time. When it throws, streams and commands try
 * again as after a lost connection; when it throws a ClientError that is not retryable, they end with it.
 */
export type Auth = () => AuthResult | Promise<AuthResult>

/** Credentials as they are sent. */
export interface Credential {
  readonly headers: Record<string, string>
  /** The bearer token, if it is one: a WebSocket renews it in band. */
  readonly token?: string | undefined
}

/** A socket that is kept authorized. */
export interface KeptSocket {
  /** The credentials that the server knows of it. */
  credential: Credential
  /** Whether the server has sent `hello`. */
  readonly greeted: boolean
  /** Gives the server a new token. @throws ClientError the refusal */
  renew(token: string): Promise<ControlOf<'ack'>>
  fail(error: ClientError): void
}

/** What a ticket is asked for with. */
export interface TicketRequest {
  readonly url: string
  readonly fetch: typeof fetch
  readonly credential: Credential
}

/** The credentials of one client, shared by all its streams and commands. */
export interface Credentials {
  /** The credentials to send now. @throws ClientError when `auth` fails; the signal's reason on abort */
  get(signal?: AbortSignal): Promise<Credential>
  /**
   * Calls `attempt` with the credentials, and once more with new ones when the server refuses them.
   * @throws ClientError the failure of the last attempt; the signal's reason on abort
   */
  use<T>(attempt: (credential: Credential) => Promise<T>, signal: AbortSignal): Promise<T>
  /** Takes note that the server refused `credential`. Returns whether `get` gives new ones then. */
  refused(credential: Credential | undefined): boolean
  /** Takes note of the `hello` of a connection. */
  greeted(connection: { readonly credential: Credential }, hello: ControlOf<'hello'>): void
  /**
   * Calls `listener` with new credentials, and renews them before they expire while there is a listener. Returns the
   * function that removes it.
   */
  onRenewed(listener: (renewed: Credential) => void): () => void
  /** Keeps an open socket authorized. Returns the function that ends it. */
  keep(socket: KeptSocket): () => void
  /** A socket that connects with a ticket; `undefined` where the upgrade needs none. */
  socket(make: SocketConstructor, address: URL, request: TicketRequest): Socket | undefined
}

/** Credentials that never change. @param headers headers of every request, and of the upgrade where it can have them */
export function fixedCredentials(headers: Record<string, string> = {}): Credentials {
  const credential = { headers }
  const nothing = () => {}
  return {
    get: async () => credential,
    use: async (attempt, signal) => {
      signal.throwIfAborted()
      return attempt(credential)
    },
    refused: () => false,
    greeted: nothing,
    onRenewed: () => nothing,
    keep: () => nothing,
    socket: nothing as () => undefined,
  }
}
