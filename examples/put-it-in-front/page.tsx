/** A chat: `useChat`, as its manual shows it. Of Twinrail it knows the address. */
import { useChat } from '@ai-sdk/react'
import { DefaultChatTransport, type UIMessage, WebSocketChatTransport } from 'ai'
import { type FormEvent, useState } from 'react'
import { createRoot } from 'react-dom/client'

const search = new URLSearchParams(location.search)
const api = `${search.get('server') ?? 'http://127.0.0.1:8787'}/ai-sdk/support`

// The chat's id is in the address, so that a reload and a second tab show the same chat.
location.hash ||= crypto.randomUUID()
const id = location.hash.slice(1)

const transport = search.has('websocket')
  ? new WebSocketChatTransport<UIMessage>({ url: `${api}/ws` })
  : new DefaultChatTransport<UIMessage>({ api })

function Chat() {
  const { messages, sendMessage, status, error } = useChat({ id, transport, resume: true })
  const [prompt, setPrompt] = useState('')
  const isBusy = status === 'submitted' || status === 'streaming'
  const send = (event: FormEvent) => {
    event.preventDefault()
    void sendMessage({ text: prompt })
    setPrompt('')
  }
  // `stop()` of the hook closes this tab's connection only; the run belongs to all tabs.
  const stop = () => fetch(`${api}/${id}/stop`, { method: 'POST' })
  return (
    <main>
      {messages.map(({ id, role, parts }) => (
        <p key={id} className={role}>
          {parts.map(part => (part.type === 'text' ? part.text : ''))}
        </p>
      ))}
      {error && <p role="alert">{error.message}</p>}
      <form onSubmit={send}>
        <input value={prompt} onChange={event => setPrompt(event.target.value)} placeholder="Ask" />
        <button type="submit" disabled={isBusy || prompt === ''}>
          Send
        </button>
        <button type="button" disabled={!isBusy} onClick={stop}>
          Stop
        </button>
      </form>
      <a
        href={`?${new URLSearchParams([...search, ['websocket', '']])}#${id}`}
        target="_blank"
        rel="noopener"
      >
        This chat in a second tab, on a WebSocket
      </a>
    </main>
  )
}

createRoot(document.getElementById('root') as HTMLElement).render(<Chat />)
