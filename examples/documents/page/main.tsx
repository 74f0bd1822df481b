/** The page of the documents: all analyses of a session on the left, one of them or two side by side on the right. */
// Before the first schema.
import '../../shared/no-eval.ts'

import { StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { createClient } from 'twinrail-client'
import { type RunView, useSession } from 'twinrail-client/react'
import { TransportBar } from '../../shared/transport-bar.tsx'
import { Analysis } from './analysis.tsx'
import { Comparison } from './comparison.tsx'
import { Drop } from './drop.tsx'
import '../../shared/style.css'
import './style.css'

const client = createClient({ url: '/' })

// The session is in the address, so a reload and a second tab show the same one.
if (location.hash === '') history.replaceState(null, '', `#${crypto.randomUUID()}`)
const sessionId = location.hash.slice(1)
window.addEventListener('hashchange', () => location.reload())

const nameOf = ({ input }: RunView) => String((input as { name?: unknown } | null)?.name ?? '')

const statuses = {
  starting: 'starts',
  running: 'running',
  completed: '',
  failed: 'failed',
  cancelled: 'stopped',
} as const

function App() {
  const { runs, start, stop, retry, error } = useSession(client, sessionId)
  /** What the user has chosen: one run, or two to compare; without a choice the newest one is shown. */
  const [chosen, setChosen] = useState<readonly string[]>([])
  const newest = runs.at(-1)?.runId
  const shown = chosen.length > 0 ? chosen : newest === undefined ? [] : [newest]
  const [one, other] = shown.flatMap(id => runs.find(({ runId }) => runId === id) ?? [])

  const analyse = (document: { name: string; text: string }) => {
    setChosen([])
    void start('documents', document)
  }
  const toggle = (runId: string) => {
    if (!shown.includes(runId)) setChosen([shown[0]!, runId])
    else if (shown.length > 1) setChosen(shown.filter(id => id !== runId))
  }
  // A failed run is shown where it failed.
  const problem = runs.some(run => run.error === error) ? undefined : error
  return (
    <>
      <header>
        <h1>Documents</h1>
        <TransportBar client={client} />
      </header>
      <div className="columns">
        <aside>
          <Drop analyse={analyse} />
          {problem && (
            <p className="problem" role="alert">
              {problem.message}{' '}
              <button type="button" onClick={() => retry()}>
                Try again
              </button>
            </p>
          )}
          {runs.length > 0 && (
            <nav aria-label="Analyses">
              <h2>Analyses</h2>
              <ul>
                {runs.toReversed().map(run => (
                  <li key={run.runId} aria-current={shown.includes(run.runId) ? 'true' : undefined}>
                    <button type="button" className="quiet name" onClick={() => setChosen([run.runId])}>
                      {nameOf(run)} <span className="soft">{statuses[run.status]}</span>
                    </button>
                    <button
                      type="button"
                      className="quiet compare"
                      aria-pressed={other !== undefined && shown.includes(run.runId)}
                      aria-label={`Compare ${nameOf(run)}`}
                      disabled={runs.length < 2 || (other === undefined && shown.includes(run.runId))}
                      onClick={() => toggle(run.runId)}
                    >
                      Compare
                    </button>
                  </li>
                ))}
              </ul>
            </nav>
          )}
        </aside>
        <main>
          {!one && (
            <p className="hint">
              Drop a text on this page, or take a sample. Its plan, terms, passages and summary stream in
              here.
            </p>
          )}
          {one && other && <Comparison one={one} other={other} nameOf={nameOf} />}
          <div className="analyses" data-count={other ? 2 : 1}>
            {[one, other].map(
              run =>
                run && (
                  <Analysis
                    key={run.runId}
                    name={nameOf(run)}
                    run={run}
                    isCompared={other !== undefined}
                    stop={() => stop(run.runId)}
                    retry={() => retry(run.runId)}
                  />
                ),
            )}
          </div>
        </main>
      </div>
    </>
  )
}

createRoot(document.getElementById('app')!).render(
  <StrictMode>
    <App />
  </StrictMode>,
)
