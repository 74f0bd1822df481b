'use client'
import { type FormEvent, useState } from 'react'
import { createClient } from 'twinrail-client'
import { type Part, useSession } from 'twinrail-client/react'

const client = createClient({ url: '/twinrail' })

export function Chat({ sessionId }: { sessionId: string }) {
  const { messages, isLoading, error, start, stop, retry } = useSession(client, sessionId)
  const [query, setQuery] = useState('')
  const ask = (event: FormEvent) => {
    event.preventDefault()
    setQuery('')
    void start('deepsearch', { query })
  }
  return (
    <>
      {messages.map(message => (
        <section key={message.id}>
          <h2>{message.role === 'user' ? 'You' : message.agent}</h2>
          {message.role === 'user' ? (
            <p>{message.text}</p>
          ) : (
            message.parts.map(part => <PartView key={part.offset} part={part} />)
          )}
        </section>
      ))}
      {error && (
        <p role="alert">
          {error.message}{' '}
          <button type="button" onClick={() => retry()}>
            Try again
          </button>
        </p>
      )}
      <form onSubmit={ask}>
        <input value={query} onChange={({ target }) => setQuery(target.value)} aria-label="Question" required />
        {isLoading ? (
          <button type="button" onClick={() => stop()}>
            Stop
          </button>
        ) : (
          <button type="submit">Ask</button>
        )}
      </form>
    </>
  )
}

function PartView({ part }: { part: Part }) {
  switch (part.type) {
    case 'text':
      return <p>{part.text}</p>
    case 'tool':
      return (
        <p>
          {part.toolName}: {part.state}
        </p>
      )
    case 'source':
      return part.url ? <a href={part.url}>{part.title}</a> : <cite>{part.title}</cite>
    default:
      return null
  }
}
