/** The page of the chat: the list of chats, and the one that the address names. */
import { StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { createClient } from 'twinrail-client'
import { TransportBar } from '../../shared/transport-bar.tsx'
import { Chat } from './chat.tsx'
import { ChatList } from './chat-list.tsx'
import '../../shared/style.css'
import './style.css'

const client = createClient({ url: '/' })

/** The session is in the address, so a reload and a second tab show the same one. */
const sessionInAddress = () => location.hash.slice(1)

const open = (sessionId: string) => {
  location.hash = sessionId
}

if (sessionInAddress() === '') history.replaceState(null, '', `#${crypto.randomUUID()}`)

function App() {
  const [sessionId, setSessionId] = useState(sessionInAddress)
  const [showsList, setShowsList] = useState(false)
  const [about, setAbout] = useState('')
  useEffect(() => {
    const changed = () => {
      setSessionId(sessionInAddress())
      setShowsList(false)
    }
    window.addEventListener('hashchange', changed)
    return () => window.removeEventListener('hashchange', changed)
  }, [])
  useEffect(() => {
    client.agents().then(
      ([agent]) => setAbout(agent?.description ?? ''),
      () => {},
    )
  }, [])
  return (
    <div className="app" data-list={showsList ? 'shown' : undefined}>
      <header>
        <button
          type="button"
          className="quiet menu"
          aria-expanded={showsList}
          aria-controls="chats"
          onClick={() => setShowsList(!showsList)}
        >
          ☰<span className="unseen"> Chats</span>
        </button>
        <h1>
          Bicycle shop <small>{about}</small>
        </h1>
        <TransportBar client={client} />
      </header>
      <ChatList client={client} current={sessionId} open={open} />
      <Chat key={sessionId} client={client} sessionId={sessionId} openNew={() => open(crypto.randomUUID())} />
    </div>
  )
}

createRoot(document.getElementById('app')!).render(
  <StrictMode>
    <App />
  </StrictMode>,
)
