/** React hooks over the client: a session, a run, and the teaching text's `useAIStream`. */
import { useCallback, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import { type Client, type ClientOptions, createClient } from './client.ts'
import { newId } from './command.ts'
import type { QualitySnapshot } from './quality.ts'
import type { RunOptions } from './run.ts'
import type { Session } from './session.ts'
import { SessionStore, type StoreOptions } from './store.ts'
import type { Part, RunView, SessionView } from './view.ts'

export type { Plan, Question, RunView, SessionView, Source, ToolView } from './view.ts'

/** A text of the session, in order: a message as chats show them. */
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
  /** That run's status; `idle` before the first. Says nothing of the connection. */
  status: 'idle' | RunView['status']
  /** Whether a run works or is being started. */
  isLoading: boolean
  /** Why the last command or the stream was refused. */
  error: Error | undefined
  /** The connection, whatever the runs do. */
  connection: QualitySnapshot
  /** Whether the session is being followed. */
  following: boolean
  /** Starts a run; resolves with its id once the server has it. */
  start(agent: string, input: unknown, options?: RunOptions): Promise<string | undefined>
  /** Cancels a run. @param runId default the last one */
  cancel(reason?: string, runId?: string): Promise<void>
  answer(requestId: string, value: unknown): Promise<void>
  /** Says something into a run. @param runId default the last one */
  steer(text: string, runId?: string): Promise<void>
  /** Stops following; runs go on. */
  disconnect(): void
  connect(): void
}

/** The state of a client's connections; draws some times a second. */
export function useQuality(client: Client): QualitySnapshot {
  const get = () => client.quality.current
  return useSyncExternalStore(client.quality.subscribe, get, get)
}

/**
 * Follows a session, which is made when it is not there, and gives all that a page shows of it. Every function keeps
 * its identity as long as client and session do.
 */
export function useSession(client: Client, sessionId: string, options: StoreOptions = {}): UseSession {
  const { run: onlyRun, replay, lag, limit } = options
  // biome-ignore lint/correctness/useExhaustiveDependencies: `after` and `frame` count when the store is made
  const { session, store } = useMemo(() => {
    const session = client.session(sessionId)
    const created = {
      id: sessionId,
      client,
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
    /** A refusal is shown, not thrown: who calls from an event handler has nowhere to catch it. */
    const told = async <T>(command: Promise<T>): Promise<T | undefined> => {
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
        const ack = await told(started)
        setStarting(count => count - 1)
        return ack && runId
      },
      cancel: async (reason?: string, id?: string) => void (await told(session.cancel(runIdOf(id), reason))),
      answer: async (requestId: string, value: unknown) =>
        void (await told(session.answer(requestId, value))),
      steer: async (text: string, id?: string) => void (await told(session.steer(runIdOf(id), text))),
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

/** The texts of all runs; a message that did not change is the same object. */
function useMessages(runs: readonly RunView[]): readonly ChatMessage[] {
  const cache = useRef(new WeakMap<Part, ChatMessage>())
  return useMemo(
    () =>
      runs.flatMap(({ runId, parts }) =>
        parts
          .filter(({ kind }) => kind === 'text')
          .map(part => {
            const known = cache.current.get(part)
            if (known) return known
            const message = { ...part, runId, id: `${runId}/${part.partId}` }
            cache.current.set(part, message)
            return message
          }),
      ),
    [runs],
  )
}

export interface UseRun extends Omit<UseSession, 'runs' | 'start'> {
  /** What the run said, all parts in a row. */
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
  /** @default a new one */
  sessionId?: string
  /** Makes the agent's input of what the user said. @default `{ query: text }` */
  inputOf?: (text: string) => unknown
}

/** The teaching text's hook: one agent, one conversation, a client of its own that lives as long as the component. */
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
