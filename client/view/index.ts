/**
 * The view of a session for pages of any framework: messages, runs and questions as a store with `subscribe` and
 * `getSnapshot`. docs/clients.md has adapters for Vue, Svelte and Solid.
 */
export { inputText } from './input-text.ts'
export { Presence, type PresenceOptions, type PresenceSnapshot, presence } from './presence.ts'
export { emptyView, reduce } from './reduce.ts'
export { SessionList, type SessionListSnapshot, sessionList } from './session-list.ts'
export { sessionStore } from './shared.ts'
export { type SessionSnapshot, SessionStore, type StoreOptions, type StoreSession } from './store.ts'
export type * from './view.ts'
