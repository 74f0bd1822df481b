/** The page of the editor: the text, who is in it, and the co-author. */
// Before the first schema.
import '../../shared/no-eval.ts'

import type { EditorView } from '@codemirror/view'
import { StrictMode, useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react'
import { createRoot } from 'react-dom/client'
import { createClient } from 'twinrail-client'
import { usePresence } from 'twinrail-client/react'
import * as Y from 'yjs'
import { person } from '../../shared/person.ts'
import { TransportBar } from '../../shared/transport-bar.tsx'
import { coAuthor, type instructions, schemas } from '../document.ts'
import { Editor } from './editor.tsx'
import { SharedText } from './shared-text.ts'
import '../../shared/style.css'
import './style.css'

// About as many changes and cursors as somebody makes who types.
const client = createClient({ url: '/', needs: { upstreamPerSecond: 11 } })

if (location.hash === '') history.replaceState(null, '', '#welcome')
window.addEventListener('hashchange', () => location.reload())

const session = client.session(location.hash.slice(1), schemas)
const shared = new SharedText(session)
// It undoes what comes from this page's editor; changes of the others have another origin.
const undo = new Y.UndoManager(shared.text)

const labels: Record<(typeof instructions)[number], string> = {
  continue: 'Continue',
  shorten: 'Shorten the paragraph',
  headings: 'Add headings',
}

interface Member {
  name: string
  colour: string
  client: number
}
const own: Member = { name: person.name, colour: person.colour, client: shared.doc.clientID }

function App() {
  const { isLive, isSaved, problem, writing } = useSyncExternalStore(shared.subscribe, shared.getSnapshot)
  const { members, memberId } = usePresence(session, { state: own })
  const view = useRef<EditorView>(undefined)
  const setView = useCallback((next: EditorView | undefined) => {
    view.current = next
  }, [])
  const [refusal, setRefusal] = useState('')
  const { canUndo, canRedo } = useUndo()

  const clients = members.map(({ state }) => (state as Member | undefined)?.client ?? 0).join(' ')
  useEffect(() => shared.cursors.keep(clients.split(' ').map(Number)), [clients])

  const ask = async (instruction: (typeof instructions)[number]) => {
    setRefusal('')
    const at = shared.placeOf(view.current?.state.selection.main.head ?? shared.text.length)
    // Nobody waits for a text that nobody sees.
    const options = { onNoViewers: { cancelAfterMs: 30_000 } }
    await session
      .run(coAuthor.agent, { instruction, at }, options)
      .started.catch(error => setRefusal(error.message))
  }

  return (
    <div className="app">
      <header>
        <h1>Editing together</h1>
        <ul className="people" aria-label="Who is here">
          {members.map(member => {
            const { name, colour } = (member.state ?? own) as Member
            const isOwn = member.memberId === memberId
            return (
              <li key={`${member.principal} ${member.memberId}`} style={{ background: colour }}>
                {name}
                {isOwn && ' (you)'}
              </li>
            )
          })}
          {writing && <li style={{ background: coAuthor.colour }}>{coAuthor.name}</li>}
        </ul>
        <TransportBar client={client} />
      </header>
      <div className="tools" role="toolbar" aria-label="Tools">
        <button type="button" disabled={!canUndo} onClick={() => undo.undo()} title="Undo your own change">
          Undo
        </button>
        <button type="button" disabled={!canRedo} onClick={() => undo.redo()}>
          Redo
        </button>
        <span className="gap" />
        {writing ? (
          <>
            <span className="soft" role="status">
              The co-author is writing
            </span>
            <button type="button" onClick={() => void session.cancel(writing.runId).catch(() => {})}>
              Stop it
            </button>
          </>
        ) : (
          <>
            <span className="soft">Co-author</span>
            {(Object.keys(labels) as (typeof instructions)[number][]).map(instruction => (
              <button
                key={instruction}
                type="button"
                disabled={!isLive}
                onClick={() => void ask(instruction)}
              >
                {labels[instruction]}
              </button>
            ))}
          </>
        )}
      </div>
      <p className="problem" role="alert" hidden={!(problem || refusal)}>
        {problem || refusal}
      </p>
      <main>
        <Editor shared={shared} undo={undo} onView={setView} />
      </main>
      <footer className="soft" role="status">
        {!isLive ? 'Loading …' : isSaved ? 'All changes are saved.' : 'Saving …'}
      </footer>
    </div>
  )
}

/** Whether there is something to undo or to redo. */
function useUndo(): { canUndo: boolean; canRedo: boolean } {
  const subscribe = useCallback((listener: () => void) => {
    const names = ['stack-item-added', 'stack-item-popped', 'stack-cleared'] as const
    for (const name of names) undo.on(name, listener)
    return () => {
      for (const name of names) undo.off(name, listener)
    }
  }, [])
  const canUndo = useSyncExternalStore(subscribe, () => undo.canUndo())
  const canRedo = useSyncExternalStore(subscribe, () => undo.canRedo())
  return { canUndo, canRedo }
}

createRoot(document.getElementById('app')!).render(
  <StrictMode>
    <App />
  </StrictMode>,
)
