/** React hooks over the client, for a session, a run, and a chat with one agent. */
import { useCallback, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import { type Client, type ClientOptions, createClient } from '../client.ts'
import { newId } from '../command.ts'
import type { QualitySnapshot } from '../quality.ts'
import type { RunOptions } from '../run.ts'
import type { Session } from '../session.ts'
import { SessionStore, type StoreOptions } from './store.ts'
import type { Part, RunView, SessionView } from './view.ts'

export type { Plan, Question, RunView, SessionView, Source, ToolView } from './view.ts'

/** A text part of a run, as a chat shows it. */
export interface ChatMessage extends Part {
  /** Unique in the session: the run's id and the part's id. */
  id: string
  /** The run that the text belongs to. */
  runId: string
}

/** The result of {@link useSession}: the view of a session, and functions that send commands. */
export interface UseSession extends SessionView {
  /** The handle on the session. */
  session: Session
  /** The text parts of all runs, in order. An unchanged message stays the same object. */
  messages: readonly ChatMessage[]
  /** The run that was started last. */
  run: RunView | undefined
  /** The status of the last run; `idle` without a run. It does not depend on the connection. */
  status: 'idle' | RunView['status']
  /** Whether any run of the session is running or being started. */
  isLoading: boolean
  /** The error that ended the stream, or the refusal of the last command. */
  error: Error | undefined
  /** The measurements of the client's connections. */
  connection: QualitySnapshot
  /** Whether the session is being followed. */
  following: boolean
  /**
   * Starts a run. Resolves with its id once the server has accepted it, and with `undefined` when the server refused
   * it. Never rejects; `error` has the refusal.
   */
  start(agent: string, input: unknown, options?: RunOptions): Promise<string | undefined>
  /** Cancels a run. Never rejects; `error` has the refusal. @param runId the run; by default the last one */
  cancel(reason?: string, runId?: string): Promise<void>
  /** Answers a question. Never rejects; `error` has the refusal. */
  answer(requestId: string, value: unknown): Promise<void>
  /**
   * Sends a message to the agent of a run. Never rejects; `error` has the refusal.
   * @param runId the run; by default the last one
   */
  steer(text: string, runId?: string): Promise<void>
  /** Stops following the session. Runs continue, and the view stays. */
  disconnect(): void
  /** Follows the session again after `disconnect` or an error, from the last event shown. */
  connect(): void
}

/** Returns the measurements of a client's connections. Redraws the component at most ten times a second. */
export function useQuality(client: Client): QualitySnapshot {
  const get = () => client.quality.current
  return useSyncExternalStore(client.quality.subscribe, get, get)
}

/**
 * Follows a session while the component is mounted, and returns its view. Creates the session if it does not exist. The
 * component is redrawn at most once per frame. The returned functions keep their identity while client and session stay
 * the same.
 * @param options `after`, `frame` and `onEvent` are read when the session or another option changes
 */
export function useSession(client: Client, sessionId: string, options: StoreOptions = {}): UseSession {
  const { run: onlyRun, replay, lag, limit } = options
  // biome-ignore lint/correctness/useExhaustiveDependencies: `after` and `frame` count when the store is made
  const { session, store } = useMemo(() => {
    const session = client.session(sessionId)
    const created = {
      id: sessionId,
      quality: client.quality,
      async *events(how?: Parameters<Session['events']>[0]) {
        await session.create()
        yield* session.events(how)
      },
    }
    return { session, store: new SessionStore(created, options) }
  }, [client, sessionId, onlyRun, replay, lag, limit])
  const view = useSyncExternalStore(store.subscribe, store.current, store.current)
  const connection = useQuality(client)
  const [starting, setStarting] = useState(0)
  const [refusal, setRefusal] = useState<Error>()
  const latest = useRef<string>(undefined)
  const run = view.runs.at(-1)
  latest.current = run?.runId

  const commands = useMemo(() => {
    /** Refusals are shown, not thrown: an event handler has no place to catch them. */
    const showRefusal = async <T>(command: Promise<T>): Promise<T | undefined> => {
      setRefusal(undefined)
      return command.catch(error => {
        if (error?.code !== 'closed') setRefusal(error)
        return undefined
      })
    }
    const runIdOf = (given?: string) => given ?? latest.current ?? ''
    return {
      async start(agent: string, input: unknown, how: RunOptions = {}) {
        setStarting(count => count + 1)
        const { runId, started } = session.run(agent, input, how)
        const ack = await showRefusal(started)
        setStarting(count => count - 1)
        return ack && runId
      },
      cancel: async (reason?: string, id?: string) =>
        void (await showRefusal(session.cancel(runIdOf(id), reason))),
      answer: async (requestId: string, value: unknown) =>
        void (await showRefusal(session.answer(requestId, value))),
      steer: async (text: string, id?: string) => void (await showRefusal(session.steer(runIdOf(id), text))),
    }
  }, [session])

  const messages = useMessages(view.runs)
  const { error, ...rest } = view
  return {
    ...rest,
    session,
    messages,
    run,
    status: run?.status ?? 'idle',
    isLoading: starting > 0 || view.runs.some(({ status }) => status === 'running'),
    error: (error as Error | undefined) ?? refusal,
    connection,
    ...commands,
    disconnect: store.disconnect,
    connect: store.connect,
  }
}

/** The texts of all runs. A message that did not change is the same object. */
function useMessages(runs: readonly RunView[]): readonly ChatMessage[] {
  const cache = useRef(new WeakMap<Part, ChatMessage>())
  return useMemo(
    () =>
      runs.flatMap(({ runId, parts }) =>
        parts
          .filter(({ kind }) => kind === 'text')
          .map(part => {
            const cached = cache.current.get(part)
            if (cached) return cached
            const message = { ...part, runId, id: `${runId}/${part.partId}` }
            cache.current.set(part, message)
            return message
          }),
      ),
    [runs],
  )
}

/** The result of {@link useRun}. */
export interface UseRun extends Omit<UseSession, 'runs' | 'start'> {
  /** The run's text: all its text parts joined. */
  text: string
}

/** Follows one run to its end while the component is mounted. */
export function useRun(client: Client, sessionId: string, runId: string): UseRun {
  const { runs: _, start: __, ...rest } = useSession(client, sessionId, { run: runId })
  const text = rest.messages.map(({ text }) => text).join('')
  return { ...rest, text }
}

/** The options of {@link useAIStream}. */
export interface UseAIStreamOptions extends Pick<ClientOptions, 'url' | 'transport' | 'auth'> {
  /** The name of the agent that answers. */
  agent: string
  /** The session of the chat. Later changes have no effect. @default a new random id */
  sessionId?: string
  /** Makes the agent's input from the user's text. @default `{ query: text }` */
  inputOf?: (text: string) => unknown
}

/**
 * Runs a chat with one agent in one session. It creates a client for the component, and another one when `url` or
 * `transport` changes. The result is that of {@link useSession}, with `sendMessage(text)`, which starts a run, and
 * `connectionState`.
 */
export function useAIStream(options: UseAIStreamOptions) {
  const { url, transport, agent } = options
  const latest = useRef(options)
  latest.current = options
  const client = useMemo(() => {
    const auth = () => latest.current.auth?.() ?? {}
    return createClient({ url, transport, ...(latest.current.auth && { auth }) })
  }, [url, transport])
  const [sessionId] = useState(() => options.sessionId ?? newId())
  const session = useSession(client, sessionId)
  const { start } = session
  const sendMessage = useCallback(
    (text: string) => start(agent, (latest.current.inputOf ?? (text => ({ query: text })))(text)),
    [start, agent],
  )
  return { ...session, sendMessage, connectionState: session.connection.state }
}
