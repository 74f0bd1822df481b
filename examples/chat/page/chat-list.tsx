/** The list of chats, the last active ones first. It stays current by itself, also for changes in other tabs. */
import { type FormEvent, useState } from 'react'
import type { Client } from 'twinrail-client'
import { useSessions } from 'twinrail-client/react'

interface ChatListProps {
  client: Client
  current: string
  open: (sessionId: string) => void
}

const newChat = 'New chat'

export function ChatList({ client, current, open }: ChatListProps) {
  const { sessions, hasMore, loadMore, error } = useSessions(client)
  // Opening the page creates a session; it is listed once something was said in it.
  const chats = sessions.flatMap(({ sessionId, metadata }) =>
    typeof metadata['title'] === 'string' ? [{ sessionId, title: metadata['title'] }] : [],
  )
  const remove = async (sessionId: string) => {
    await client.session(sessionId).delete()
    if (sessionId === current) open(crypto.randomUUID())
  }
  return (
    <nav id="chats" aria-label="Chats">
      <button type="button" className="new" onClick={() => open(crypto.randomUUID())}>
        + {newChat}
      </button>
      {error && (
        <p className="problem" role="alert">
          {error.message}
        </p>
      )}
      <ul>
        {chats.map(({ sessionId, title }) => (
          <Row
            key={sessionId}
            title={title}
            isCurrent={sessionId === current}
            open={() => open(sessionId)}
            rename={to => client.session(sessionId).update({ title: to })}
            remove={() => remove(sessionId)}
          />
        ))}
      </ul>
      {hasMore && (
        <button type="button" className="quiet" onClick={() => loadMore()}>
          Older chats
        </button>
      )}
    </nav>
  )
}

interface RowProps {
  title: string
  isCurrent: boolean
  open: () => void
  rename: (title: string) => Promise<unknown>
  remove: () => Promise<unknown>
}

function Row({ title, isCurrent, open, rename, remove }: RowProps) {
  const [mode, setMode] = useState<'closed' | 'menu' | 'rename' | 'delete'>('closed')
  const [problem, setProblem] = useState('')
  const attempt = (action: Promise<unknown>) => {
    setMode('closed')
    action.catch(error => setProblem(error.message))
  }
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const to = String(new FormData(event.currentTarget).get('title')).trim()
    if (to) attempt(rename(to))
  }
  return (
    <li
      aria-current={isCurrent ? 'page' : undefined}
      onKeyDown={event => event.key === 'Escape' && setMode('closed')}
    >
      {mode === 'rename' ? (
        <form onSubmit={submit}>
          <input
            name="title"
            aria-label="Title"
            defaultValue={title}
            maxLength={80}
            required
            // biome-ignore lint/a11y/noAutofocus: the user has just asked for this field
            autoFocus
            onFocus={({ target }) => target.select()}
          />
          <button type="submit">Save</button>
        </form>
      ) : (
        <div className="row">
          <button type="button" className="quiet title" onClick={open}>
            {title}
          </button>
          <button
            type="button"
            className="quiet"
            aria-expanded={mode !== 'closed'}
            aria-label={`Change “${title}”`}
            onClick={() => setMode(mode === 'closed' ? 'menu' : 'closed')}
          >
            ⋯
          </button>
        </div>
      )}
      {mode === 'menu' && (
        <div className="row">
          <button type="button" onClick={() => setMode('rename')}>
            Rename
          </button>
          <button type="button" onClick={() => setMode('delete')}>
            Delete
          </button>
        </div>
      )}
      {mode === 'delete' && (
        <div className="row">
          <button type="button" className="danger" onClick={() => attempt(remove())}>
            Delete for good
          </button>
          <button type="button" onClick={() => setMode('closed')}>
            Keep
          </button>
        </div>
      )}
      {problem && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
    </li>
  )
}
