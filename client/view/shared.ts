/** Shares the stores of a client: what shows the same session uses one store and one stream. */
import type { Client } from '../client.ts'
import { SessionStore, type StoreOptions } from './store.ts'

/** Number of stores without listeners that a client keeps, for a page that is shown again. */
const IDLE = 8

interface Shared {
  sessionId: string
  options: StoreOptions
  store: SessionStore
}

const stores = new WeakMap<Client, Shared[]>()

const names = ['after', 'last', 'run', 'replay', 'lag', 'limit', 'frame'] as const

/**
 * Returns the store of a session. Calls with the same client, session and options return the same store, as long as it
 * has listeners; of the others a client keeps the newest 8. `onEvent` is ignored: add it with `store.onEvent`.
 */
export function sessionStore(client: Client, sessionId: string, options: StoreOptions = {}): SessionStore {
  const known = stores.get(client) ?? []
  const same = known.find(
    one => one.sessionId === sessionId && names.every(name => one.options[name] === options[name]),
  )
  if (same) return same.store
  const store = new SessionStore(client.session(sessionId), { ...options, onEvent: undefined })
  const idle = known.filter(one => !one.store.used).slice(1 - IDLE)
  const kept = known.filter(one => one.store.used || idle.includes(one))
  stores.set(client, [...kept, { sessionId, options, store }])
  return store
}
