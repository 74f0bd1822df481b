'use client'
import { createClient } from 'twinrail-client'
import { useSession } from 'twinrail-client/react'

const client = createClient({ url: '/twinrail' })

export function Chat({ sessionId }: { sessionId: string }) {
  const { messages, error } = useSession(client, sessionId)
  const ask = async (form: FormData) => {
    const body = JSON.stringify({ sessionId, prompt: form.get('prompt') })
    await fetch('/api/chat', { method: 'POST', body })
  }
  return (
    <>
      {messages.map(({ id, role, text }) => <p key={id}><b>{role}</b> {text}</p>)}
      {error && <p role="alert">{error.message}</p>}
      <form action={ask}>
        <input name="prompt" aria-label="Prompt" required />
        <button>Ask</button>
      </form>
    </>
  )
}
