/** React hooks over the client: a session, a run, and a chat with one agent. */
import { useCallback, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import { type Client, type ClientOptions, createClient } from '../client.ts'
import { newId } from '../command.ts'
import type { QualitySnapshot } from '../quality.ts'
import type { RunOptions } from '../run.ts'
import type { Session } from '../session.ts'
import { SessionStore, type StoreOptions } from './store.ts'
import type { Part, RunView, SessionView } from './view.ts'

export type { Plan, Question, RunView, SessionView, Source, ToolView } from './view.ts'

/** A text of the session, as a chat shows it. */
export interface ChatMessage extends Part {
  /** Unique in the session: the run's id and the part's. */
  id: string
  runId: string
}

export interface UseSession extends SessionView {
  session: Session
  messages: readonly ChatMessage[]
  /** The run that began last. */
  run: RunView | undefined
  /** That run's status; `idle` before the first. It does not depend on the connection. */
  status: 'idle' | RunView['status']
  /** Whether a run is running or being started. */
  isLoading: boolean
  /** The error of the last command or of the stream. */
  error: Error | undefined
  /** The state of the client's connections. */
  connection: QualitySnapshot
  /** Whether the session is being followed. */
  following: boolean
  /** Starts a run. Resolves with its id once the server has accepted it, with `undefined` when it was refused (see `error`). */
  start(agent: string, input: unknown, options?: RunOptions): Promise<string | undefined>
  /** Cancels a run. Never rejects (see `error`). @param runId default the last run */
  cancel(reason?: string, runId?: string): Promise<void>
  /** Answers a question. Never rejects (see `error`). */
  answer(requestId: string, value: unknown): Promise<void>
  /** Sends a message into a run. Never rejects (see `error`). @param runId default the last run */
  steer(text: string, runId?: string): Promise<void>
  /** Stops following. Runs go on. */
  disconnect(): void
  /** Follows again, from the last event shown. */
  connect(): void
}

/** The state of a client's connections. Redraws at most ten times a second. */
export function useQuality(client: Client): QualitySnapshot {
  const get = () => client.quality.current
  return useSyncExternalStore(client.quality.subscribe, get, get)
}

/**
 * Follows a session, which it creates if needed, and returns what a page shows of it. The functions keep their identity
 * while client and session stay the same.
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

export interface UseRun extends Omit<UseSession, 'runs' | 'start'> {
  /** The run's text, all parts joined. */
  text: string
}

/** Follows one run to its end. */
export function useRun(client: Client, sessionId: string, runId: string): UseRun {
  const { runs: _, start: __, ...rest } = useSession(client, sessionId, { run: runId })
  const text = rest.messages.map(({ text }) => text).join('')
  return { ...rest, text }
}

export interface UseAIStreamOptions extends Pick<ClientOptions, 'url' | 'transport' | 'auth'> {
  agent: string
  /** @default a new random one */
  sessionId?: string
  /** Makes the agent's input from the user's text. @default `{ query: text }` */
  inputOf?: (text: string) => unknown
}

/** A chat with one agent in one session, over a client that lives as long as the component. */
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
