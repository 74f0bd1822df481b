/** Shares the stores of a client: what shows the same session uses one store and one stream. */
import type { Client } from '../client.ts'
import type { ServerTypes } from '../server-types.ts'
import { SessionStore, type StoreOptions } from './store.ts'

/** Number of stores without listeners that a client keeps, for a page that is shown again. */
const IDLE = 8

/** A client's stores of one kind. */
export type Shared<S> = WeakMap<object, { key: readonly unknown[]; store: S }[]>

/** The owner's store with this key, or a new one. Those without listeners are forgotten, but for the newest 8. */
export function shared<S extends { readonly used: boolean }>(
  stores: Shared<S>,
  owner: object,
  key: readonly unknown[],
  make: () => S,
): S {
  const known = stores.get(owner) ?? []
  const same = known.find(one => one.key.every((part, i) => part === key[i]))
  if (same) return same.store
  const store = make()
  const idle = known.filter(one => !one.store.used).slice(1 - IDLE)
  const kept = known.filter(one => one.store.used || idle.includes(one))
  stores.set(owner, [...kept, { key, store }])
  return store
}

const stores: Shared<SessionStore> = new WeakMap()

/**
 * Returns the store of a session. Calls with the same client, session and options return the same store, as long as it
 * has listeners; of the others a client keeps the newest 8. `onEvent` is ignored: add it with `store.onEvent`.
 * @example
 * ```ts
 * import { createClient } from 'twinrail-client'
 * import { sessionStore } from 'twinrail-client/view'
 *
 * const store = sessionStore(createClient({ url: '/' }), 'demo')
 * const stop = store.subscribe(() => console.log(store.getSnapshot().messages))
 * ```
 */
export function sessionStore<T extends ServerTypes>(
  client: Client<T>,
  sessionId: string,
  options: StoreOptions<T> = {},
): SessionStore<T> {
  const { after, last, run, replay, lag, limit, frame } = options
  const key = [sessionId, after, last, run, replay, lag, limit, frame]
  const make = () =>
    new SessionStore<T>((client as unknown as Client).session(sessionId), { ...options, onEvent: undefined })
  return shared(stores as unknown as Shared<SessionStore<T>>, client, key, make)
}
