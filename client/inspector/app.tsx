/** The page's parts, and who looks at it. */
import { useEffect, useMemo, useState } from 'react'
import type { ClientError } from '../index.ts'
import { Api, wordsOf } from './api.ts'
import { Counters } from './counters.tsx'
import { SessionList } from './session-list.tsx'
import { SessionView } from './session-view.tsx'

/** Where the token is kept until the tab is closed. It is sent in headers only. */
const KEY = 'twinrail-inspector-token'

/** The open session's id is in the hash, so that a reload shows it again. */
const openSession = () => /^#([A-Za-z0-9][\w.:-]{0,127})$/.exec(location.hash)?.[1]

export function App() {
  const [token, setToken] = useState(() => sessionStorage.getItem(KEY) ?? undefined)
  const api = useMemo(() => new Api(token), [token])
  /** Whether the server lets this page in. */
  const [access, setAccess] = useState<'asking' | 'allowed' | ClientError>('asking')
  const [sessionId, setSessionId] = useState(openSession)

  useEffect(() => {
    const leave = new AbortController()
    setAccess('asking')
    const ask = () =>
      api.server(leave.signal).then(
        () => setAccess('allowed'),
        error => {
          if (!leave.signal.aborted) setAccess(error as ClientError)
        },
      )
    void ask()
    return () => leave.abort()
  }, [api])

  useEffect(() => {
    const changed = () => setSessionId(openSession())
    addEventListener('hashchange', changed)
    return () => removeEventListener('hashchange', changed)
  }, [])

  const open = (id: string) => {
    location.hash = id
  }
  const keepToken = (given: string | undefined) => {
    if (given === undefined) sessionStorage.removeItem(KEY)
    else sessionStorage.setItem(KEY, given)
    setToken(given)
  }

  if (access === 'asking') return <p className="gate soft">Asking the server …</p>
  if (access !== 'allowed')
    return <Gate refusal={access} hasToken={token !== undefined} onToken={keepToken} />
  return (
    <div className="app" data-open={sessionId === undefined ? 'list' : 'session'}>
      <header className="top">
        <h1>
          Twinrail <span>inspector</span>
        </h1>
        {token === undefined ? null : (
          <button type="button" onClick={() => keepToken(undefined)}>
            Forget token
          </button>
        )}
        <Counters api={api} />
      </header>
      <SessionList api={api} selected={sessionId} onOpen={open} />
      {sessionId === undefined ? (
        <main className="session none">
          <p className="empty">
            Choose a session to see its runs, events and subscribers. Arrow keys move in the list,{' '}
            <kbd>/</kbd> searches.
          </p>
        </main>
      ) : (
        <SessionView
          key={sessionId}
          api={api}
          sessionId={sessionId}
          onBack={() => {
            history.pushState(null, '', location.pathname)
            setSessionId(undefined)
          }}
        />
      )}
    </div>
  )
}

function Gate({
  refusal,
  hasToken,
  onToken,
}: {
  refusal: ClientError
  hasToken: boolean
  onToken: (token: string | undefined) => void
}) {
  const asksForToken = refusal.code === 'unauthorized' || refusal.code === 'forbidden'
  return (
    <main className="gate">
      <h1>
        Twinrail <span>inspector</span>
      </h1>
      {asksForToken ? (
        <form
          onSubmit={event => {
            event.preventDefault()
            const given = String(new FormData(event.currentTarget).get('token') ?? '').trim()
            if (given !== '') onToken(given)
          }}
        >
          <label htmlFor="token">Token or API key of an operator</label>
          <input id="token" name="token" type="password" autoComplete="off" spellCheck={false} required />
          <p className="soft">
            It needs the right <code>admin</code>; <code>manage</code> lists sessions, <code>read</code> shows
            their events, <code>write</code> cancels runs. It stays in this tab and is sent in a header.
          </p>
          <button type="submit" className="primary">
            Inspect
          </button>
        </form>
      ) : (
        <button type="button" onClick={() => location.reload()}>
          Try again
        </button>
      )}
      {hasToken || !asksForToken ? (
        <p className="problem" role="alert">
          {refusal.code === 'forbidden' ? 'This token has not the right admin.' : wordsOf(refusal)}
        </p>
      ) : null}
    </main>
  )
}
