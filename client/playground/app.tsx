/** The page: commands go to one session, and two rails show its events side by side. */
import { useEffect, useMemo, useState } from 'react'
import type { AgentInfo } from '../index.ts'
import { useSession } from '../react/index.ts'
import { Ask, Steer } from './ask.tsx'
import { CodePanel } from './code-panel.tsx'
import { DemoBar } from './demo-bar.tsx'
import { Figures } from './figures.tsx'
import { Rail } from './rail.ts'
import { RailPane } from './rail-pane.tsx'

export function App({ sessionId }: { sessionId: string }) {
  const rails = useMemo(() => [new Rail('A', 'sse'), new Rail('B', 'websocket')] as const, [])
  const [a, b] = rails
  const viewA = useSession(a.client, sessionId, { onEvent: a.read })
  const viewB = useSession(b.client, sessionId, { onEvent: b.read })
  const [agents, setAgents] = useState<readonly AgentInfo[]>([])
  const [problem, setProblem] = useState('')
  useEffect(() => {
    a.client.agents().then(setAgents, error => setProblem(error.message))
  }, [a])

  // Commands go over the rail that has read further.
  const ahead = a.state.cut || (b.ledger.seq > a.ledger.seq && !b.state.cut) ? viewB : viewA
  const head = Math.max(a.ledger.seq, b.ledger.seq)
  const waits = ahead.questions.length > 0
  useEffect(() => {
    document.title = waits ? 'Waits for you · Twinrail' : 'Twinrail'
  }, [waits])
  return (
    <>
      <header className="top">
        <a className="name" href="/">
          <svg viewBox="0 0 24 24" width="24" height="24" aria-hidden="true">
            <path className="sleepers" d="M3 6h18M3 12h18M3 18h18" />
            <path className="one" d="M8 2v20" />
            <path className="two" d="M16 2v20" />
          </svg>
          Twinrail
        </a>
        <nav>
          {/* No link to a fragment: that holds the session's id. */}
          <button type="button" onClick={() => document.getElementById('code')?.scrollIntoView()}>
            From your code
          </button>
          <a href="about/README.md">Docs</a>
          <a href={`#${sessionId}`} target="_blank" rel="noreferrer">
            Second tab
          </a>
          <a href="/">New session</a>
        </nav>
      </header>
      <main>
        {problem && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
        <DemoBar rails={rails} views={[viewA, viewB]} agents={agents} start={ahead.start} />
        <div id="rails">
          <RailPane rail={a} view={viewA} head={head} />
          <RailPane rail={b} view={viewB} head={head} />
        </div>
        <Steer view={ahead} />
        <div className="below">
          <Ask agents={agents} start={ahead.start} />
          <CodePanel sessionId={sessionId} />
        </div>
        <Figures rails={rails} />
      </main>
    </>
  )
}
