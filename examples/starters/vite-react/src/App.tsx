import { createClient } from 'twinrail-client'
import { useSession } from 'twinrail-client/react'

const client = createClient({ url: '/' })

export function App() {
  const { messages, isLoading, error, start, stop, retry } = useSession(client, 'demo')
  const ask = (form: FormData) => void start('echo', { query: String(form.get('query')) })
  return (
    <main>
      {messages.map(({ id, role, text }) => <p key={id}><b>{role}</b> {text}</p>)}
      {error && <p role="alert">{error.message} <button onClick={() => retry()}>Try again</button></p>}
      <form action={ask}>
        <input name="query" aria-label="Question" required />
        <button>Ask</button>
        {isLoading && <button type="button" onClick={() => stop()}>Stop</button>}
      </form>
    </main>
  )
}
