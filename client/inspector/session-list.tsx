/** The sessions, the last active ones first, a page at a time. */
import { useCallback, useRef, useState } from 'react'
import { ClientError, type SessionSummary } from '../index.ts'
import { type Api, wordsOf } from './api.ts'
import { seqOf, short, span } from './format.ts'
import { usePolled } from './hooks.ts'

const PAGE = 50

const idPattern = '[A-Za-z0-9][A-Za-z0-9._:\\-]{0,127}'

export function SessionList({
  api,
  selected,
  onOpen,
}: {
  api: Api
  selected: string | undefined
  onOpen: (sessionId: string) => void
}) {
  const load = useCallback(() => api.client.sessions({ limit: PAGE }), [api])
  const { value, error } = usePolled(load, ({ pollMs }) => pollMs)
  /** The pages after the first one. They stay as they were read. */
  const [older, setOlder] = useState<SessionSummary[]>([])
  const [next, setNext] = useState<string | undefined>()
  const [problem, setProblem] = useState<unknown>()
  const [isLoading, setLoading] = useState(false)
  const list = useRef<HTMLUListElement>(null)
  const now = Date.now()

  const first = value?.sessions ?? []
  const seen = new Set(first.map(({ sessionId }) => sessionId))
  const sessions = [...first, ...older.filter(({ sessionId }) => !seen.has(sessionId))]
  const hasMore = older.length > 0 ? next !== undefined : value?.next !== undefined

  const loadMore = async () => {
    setLoading(true)
    try {
      const page = await api.client.sessions({ limit: PAGE, after: older.length > 0 ? next : value?.next })
      setOlder(before => [...before, ...page.sessions])
      setNext(page.next)
      setProblem(undefined)
    } catch (error) {
      setProblem(error)
    }
    setLoading(false)
  }

  /** Arrow keys move through the list. */
  const move = (event: React.KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (!step) return
    const buttons = [...(list.current?.querySelectorAll('button') ?? [])]
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement)
    buttons[at + step]?.focus()
    event.preventDefault()
  }

  const trouble = problem ?? error
  return (
    <nav className="sessions" aria-label="Sessions">
      <form
        className="open-by-id"
        onSubmit={event => {
          event.preventDefault()
          const id = String(new FormData(event.currentTarget).get('id') ?? '').trim()
          if (id !== '') onOpen(id)
        }}
      >
        <label className="unseen" htmlFor="open-id">
          Open a session by its id
        </label>
        <input
          id="open-id"
          name="id"
          placeholder="Session id"
          pattern={idPattern}
          autoComplete="off"
          spellCheck={false}
        />
        <button type="submit">Open</button>
      </form>
      {trouble ? <p className="problem">{listProblem(trouble)}</p> : null}
      {value && sessions.length === 0 ? (
        <p className="empty">
          No sessions yet. They appear here as soon as a run starts or somebody publishes.
        </p>
      ) : null}
      <ul ref={list} onKeyDown={move}>
        {sessions.map(session => {
          const { sessionId, head, activeAt, metadata } = session
          const about = Object.entries(metadata)
            .slice(0, 3)
            .map(([name, text]) => `${name}: ${typeof text === 'string' ? text : JSON.stringify(text)}`)
            .join(', ')
          const isFresh = now - activeAt < 10_000
          return (
            <li key={sessionId}>
              <button
                type="button"
                aria-current={sessionId === selected ? 'true' : undefined}
                onClick={() => onOpen(sessionId)}
              >
                <span className="id">{sessionId}</span>
                <span className="soft meta">
                  <span className={isFresh ? 'fresh' : ''}>{span(now - activeAt)} ago</span>
                  <span>{short(seqOf(head))} events</span>
                </span>
                {about ? <span className="soft about">{about}</span> : null}
              </button>
            </li>
          )
        })}
      </ul>
      {hasMore ? (
        <button type="button" className="more" disabled={isLoading} onClick={() => void loadMore()}>
          {isLoading ? 'Loading …' : 'Older sessions'}
        </button>
      ) : null}
    </nav>
  )
}

function listProblem(error: unknown): string {
  if (error instanceof ClientError && error.code === 'forbidden') {
    return 'Your token may not list sessions: that needs the right manage. Open one by its id.'
  }
  return wordsOf(error)
}
