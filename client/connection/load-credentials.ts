/** Loads the part of the client that renews credentials, for clients with `auth` only. */
import { ClientError } from '../errors.ts'
import { type Auth, type Credentials, fixedCredentials } from './credentials.ts'

/** Loads the credentials of a client once. A failure to load them is a ClientError, and they are loaded again then. */
export function credentialsOf(auth: Auth | undefined): () => Promise<Credentials> {
  let loaded: Promise<Credentials> | undefined
  const load = async () => {
    if (!auth) return fixedCredentials()
    try {
      return new (await import('./renewing-credentials.ts')).RenewingCredentials(auth)
    } catch (cause) {
      loaded = undefined
      throw new ClientError('connection-lost', 'A part of the client could not be loaded', { cause })
    }
  }
  return () => {
    loaded ??= load()
    return loaded
  }
}
