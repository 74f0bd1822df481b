'use client'
/** React hooks over the client, for a session, a run, and a chat with one agent. */
import {
  useCallback,
  useEffect,
  useInsertionEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react'
import { type Client, type ClientOptions, createClient } from '../client.ts'
import { newId } from '../command.ts'
import type { QualitySnapshot } from '../quality.ts'
import type { AgentName, AnyServer, InputOf, SchemasWith, ServerTypes, TypesOf } from '../server-types.ts'
import type { AnySession, Session } from '../session.ts'
import { textField } from '../view/input-text.ts'
import {
  emptyPresence,
  type Presence,
  type PresenceOptions,
  type PresenceSnapshot,
  presence,
} from '../view/presence.ts'
import {
  emptySessionList,
  type SessionList,
  type SessionListSnapshot,
  type SessionsClient,
  sessionList,
} from '../view/session-list.ts'
import { sessionStore } from '../view/shared.ts'
import { emptySnapshot, type SessionSnapshot, type SessionStore, type StoreOptions } from '../view/store.ts'

export type { SessionSnapshot, StoreOptions } from '../view/store.ts'
export type * from '../view/view.ts'

type Commands<T extends ServerTypes> = Pick<
  SessionStore<T>,
  'start' | 'stop' | 'answer' | 'steer' | 'retry' | 'loadOlder' | 'connect' | 'disconnect'
>

/**
 * The result of {@link useSession}: the view of a session, and the functions of its store, which keep their identity
 * while client and session stay the same. `T` is what is known of the server, by the type of the client.
 */
export interface UseSession<T extends ServerTypes = AnyServer> extends SessionSnapshot, Commands<T> {
  /** The handle on the session. */
  session: Session<SchemasWith<T, Record<never, never>>, T['agents']>
  /** The measurements of the client's connections. */
  connection: QualitySnapshot
}

/** Returns the measurements of a client's connections. Redraws the component at most ten times a second. */
export function useQuality(client: Pick<Client, 'quality'>): QualitySnapshot {
  const get = () => client.quality.current
  return useSyncExternalStore(client.quality.subscribe, get, get)
}

/**
 * Follows a session while the component is mounted, and returns its view. Creates the session if it does not exist.
 * Components with the same client, session and options share one store and one stream. The component is redrawn at most
 * once per frame. On a server it renders an empty view and sends nothing.
 * @param options `after`, `last` and `frame` are read when the session or another option changes. The newest `onEvent`
 * is called; a component that is mounted later than others gets the events from then on.
 * @example
 * ```ts
 * import { createClient } from 'twinrail-client'
 * import { useSession } from 'twinrail-client/react'
 *
 * const client = createClient({ url: '/' })
 *
 * export function useChat(sessionId: string) {
 *   const { messages, isLoading, error, start, stop } = useSession(client, sessionId)
 *   return { messages, isLoading, error, ask: (query: string) => start('echo', { query }), stop }
 * }
 * ```
 */
export function useSession<T extends ServerTypes>(
  client: Client<T>,
  sessionId: string,
  options: StoreOptions<T> = {},
): UseSession<T> {
  const { run, replay, lag, limit, onEvent } = options
  // biome-ignore lint/correctness/useExhaustiveDependencies: `after`, `last` and `frame` count when the store is made
  const store = useMemo(
    () => sessionStore(client, sessionId, options),
    [client, sessionId, run, replay, lag, limit],
  )
  const latest = useRef(onEvent)
  useInsertionEffect(() => {
    latest.current = onEvent
  })
  const listens = onEvent !== undefined
  useEffect(() => (listens ? store.onEvent(event => latest.current?.(event)) : undefined), [store, listens])
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, () => emptySnapshot)
  const connection = useQuality(client)
  const session = store.session as unknown as UseSession<T>['session']
  return { ...snapshot, ...store, session, connection }
}

/** The result of {@link useRun}. */
export interface UseRun<T extends ServerTypes = AnyServer> extends Omit<UseSession<T>, 'runs' | 'start'> {
  /** The run's text: all its text parts, joined by blank lines. */
  text: string
}

/** Follows one run to its end while the component is mounted. */
export function useRun<T extends ServerTypes>(
  client: Client<T>,
  sessionId: string,
  runId: string,
): UseRun<T> {
  const { runs: _, start: __, ...rest } = useSession(client, sessionId, { run: runId })
  const answers = rest.messages.filter(({ role, text }) => role === 'assistant' && text !== '')
  return { ...rest, text: answers.map(({ text }) => text).join('\n\n') }
}

/** The result of {@link useSessions}. */
export interface UseSessions extends SessionListSnapshot, Pick<SessionList, 'loadMore' | 'refresh'> {}

/**
 * Returns the sessions that the principal may read, the last active ones first, and keeps them current while the component
 * is mounted and the page is shown. All components of a client share one list.
 */
export function useSessions(client: SessionsClient): UseSessions {
  const { subscribe, getSnapshot, loadMore, refresh } = sessionList(client)
  const snapshot = useSyncExternalStore(subscribe, getSnapshot, () => emptySessionList)
  return { ...snapshot, loadMore, refresh }
}

/** The result of {@link usePresence}. */
export interface UsePresence extends PresenceSnapshot, Pick<Presence, 'memberId' | 'setState'> {}

/**
 * Returns the members of a session, and is one of them while the component is mounted. All components with the same client,
 * session and `observe` are one member and share one store. It opens a stream only when the client follows the session
 * in no other way. On a server it renders no members and sends nothing.
 * @param options.state what other members see of this one: any JSON of at most 1 KiB. Another value replaces it.
 * @param options.observe true shows the members without being one. Default false.
 */
export function usePresence(
  session: AnySession,
  options: PresenceOptions & { state?: unknown } = {},
): UsePresence {
  const store = presence(session, options)
  const state = JSON.stringify(options.state)
  // Before the subscription, which enters with the state.
  useEffect(() => {
    if (state !== undefined) store.setState(JSON.parse(state))
  }, [store, state])
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, () => emptyPresence)
  return { ...snapshot, memberId: store.memberId, setState: store.setState }
}

/** The options of {@link useAIStream}. `S` is the type of the server, as of `createClient`. */
export interface UseAIStreamOptions<S = unknown>
  extends Pick<ClientOptions, 'url' | 'transport' | 'auth' | 'credentials'> {
  /** The name of the agent that answers. */
  agent: AgentName<TypesOf<S>>
  /** The session of the chat. @default a new random id */
  sessionId?: string
  /**
   * Makes the agent's input from the user's text.
   * @default the text in the first of the fields `query`, `prompt`, `text`, `message` and `messages` that the agent's
   * input has, by the server's list of agents; `messages` gets the whole conversation
   */
  inputOf?: (text: string) => InputOf<TypesOf<S>, AgentName<TypesOf<S>>>
}

/**
 * Runs a chat with one agent in one session. It creates a client for the component, and another one when `url` or
 * `transport` changes. The result is that of {@link useSession}, with `sendMessage(text)`, which starts a run, and
 * `connectionState`.
 */
export function useAIStream<S = unknown>(options: UseAIStreamOptions<S>) {
  const { url, transport, credentials, agent } = options
  const latest = useRef(options)
  useInsertionEffect(() => {
    latest.current = options
  })
  const authenticates = options.auth !== undefined
  const client = useMemo(() => {
    const auth = () => latest.current.auth?.() ?? {}
    return createClient({ url, transport, credentials, ...(authenticates && { auth }) })
  }, [url, transport, credentials, authenticates])
  const [newSession] = useState(newId)
  const session = useSession(client, options.sessionId ?? newSession)
  const { start, messages } = session

  const fieldOf = useMemo(() => {
    let field: Promise<string> | undefined
    const find = async () => textField((await client.agents()).find(({ name }) => name === agent)?.input)
    return () => {
      field ??= find().catch(() => {
        field = undefined // asked again for the next message
        return textField(undefined)
      })
      return field
    }
  }, [client, agent])
  const asks = options.inputOf === undefined
  useEffect(() => {
    if (asks) void fieldOf()
  }, [asks, fieldOf])

  const said = useRef(messages)
  useInsertionEffect(() => {
    said.current = messages
  })
  const sendMessage = useCallback(
    async (text: string) => {
      const { inputOf } = latest.current
      if (inputOf) return start(agent, inputOf(text))
      const field = await fieldOf()
      const user = { role: 'user', content: text }
      const before = said.current.map(({ role, text }) => ({ role, content: text }))
      return start(agent, field === 'messages' ? { messages: [...before, user] } : { [field]: text })
    },
    [start, agent, fieldOf],
  )
  return { ...session, sendMessage, connectionState: session.connection.state }
}
