/** The page: commands go to one session, and both transports show its events. */
import { useEffect, useMemo, useState } from 'react'
import { type AgentInfo, chooseTransport } from '../index.ts'
import { useSession } from '../react/index.ts'
import { Answer, Ask, Running } from './forms.tsx'
import { Plots } from './plots.tsx'
import { ThrottledClient } from './throttled-client.ts'
import { TransportPane } from './transport-pane.tsx'

export function App({ sessionId }: { sessionId: string }) {
  const clients = useMemo(
    () => [new ThrottledClient('SSE', 'sse'), new ThrottledClient('WebSocket', 'websocket')] as const,
    [],
  )
  const left = useSession(clients[0].client, sessionId, { onEvent: clients[0].read })
  const right = useSession(clients[1].client, sessionId, { onEvent: clients[1].read })
  const [agents, setAgents] = useState<readonly AgentInfo[]>([])
  const [problem, setProblem] = useState('')
  useEffect(() => {
    clients[0].client.agents().then(setAgents, error => setProblem(error.message))
  }, [clients])

  // Commands go over the transport that has read further.
  const ahead = clients[0].cut || (clients[1].seq > clients[0].seq && !clients[1].cut) ? right : left
  return (
    <>
      <header className="top">
        <h1>
          <span className="logo" aria-hidden="true" />
          Twinrail
        </h1>
        <nav className="row">
          <a href={`#${sessionId}`} target="_blank" rel="noreferrer">
            Join from a second tab
          </a>
          <a href="/">New session</a>
        </nav>
        <p>
          One durable log, two rails. Cut one, slow its reader, switch it in mid-answer: nothing is lost,
          nothing comes twice.
        </p>
      </header>
      <main>
        <p className="problem" role="alert">
          {problem}
        </p>
        <Ask agents={agents} start={ahead.start} />
        <Running view={ahead} />
        <section id="inputs" aria-label="Questions to you" aria-live="polite">
          {ahead.questions.map(question => (
            <Answer
              key={question.requestId}
              question={question}
              plan={ahead.runs
                .find(({ runId }) => runId === question.runId)
                ?.parts.find(part => part.type === 'plan')}
              answer={ahead.answer}
            />
          ))}
        </section>
        <Plots clients={clients} />
        <div id="rails">
          <TransportPane client={clients[0]} view={left} first />
          <TransportPane client={clients[1]} view={right} first={false} />
        </div>
        <Chooser />
      </main>
    </>
  )
}

/** The transport that `auto` would choose, and why. */
function Chooser() {
  const [upstreamPerSecond, setUpstream] = useState(0)
  const [sessions, setSessions] = useState(1)
  const [binary, setBinary] = useState(false)
  const choice = chooseTransport({ upstreamPerSecond, sessions, binary, connections: 6 })
  return (
    <section className="panel chooser" aria-label="Which transport?">
      <h2>Which transport?</h2>
      <div className="row">
        <label>
          Commands a second{' '}
          <input
            type="number"
            min={0}
            value={upstreamPerSecond}
            onChange={({ target }) => setUpstream(Number(target.value))}
          />
        </label>
        <label>
          Sessions at a time{' '}
          <input
            type="number"
            min={1}
            value={sessions}
            onChange={({ target }) => setSessions(Number(target.value))}
          />
        </label>
        <label>
          <input type="checkbox" checked={binary} onChange={({ target }) => setBinary(target.checked)} />{' '}
          binary data
        </label>
      </div>
      <p>
        <strong>{choice.transport}</strong>, else {choice.fallback.join(', ')}:{' '}
        {choice.because.map(({ text }) => text).join('; ')}.
      </p>
    </section>
  )
}
