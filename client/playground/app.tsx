/** Puts the page together: what one asks goes to one session, and both rails show what comes of it. */
import { useEffect, useMemo, useState } from 'react'
import { type AgentInfo, chooseTransport } from '../index.ts'
import { useSession } from '../react.ts'
import { Answer, Ask, Running } from './forms.tsx'
import { Line } from './line.ts'
import { Plots } from './plots.tsx'
import { Rail } from './rail.tsx'

export function App({ sessionId }: { sessionId: string }) {
  const lines = useMemo(() => [new Line('SSE', 'sse'), new Line('WebSocket', 'websocket')] as const, [])
  const left = useSession(lines[0].client, sessionId, { onEvent: lines[0].read })
  const right = useSession(lines[1].client, sessionId, { onEvent: lines[1].read })
  const [agents, setAgents] = useState<readonly AgentInfo[]>([])
  const [problem, setProblem] = useState('')
  useEffect(() => {
    lines[0].client.agents().then(setAgents, error => setProblem(error.message))
  }, [lines])

  // what is asked and answered goes by the rail that knows most
  const ahead = lines[0].cut || (lines[1].seq > lines[0].seq && !lines[1].cut) ? right : left
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
              plan={ahead.runs.find(({ runId }) => runId === question.runId)?.plan}
              answer={ahead.answer}
            />
          ))}
        </section>
        <Plots lines={lines} />
        <div id="rails">
          <Rail line={lines[0]} view={left} first />
          <Rail line={lines[1]} view={right} first={false} />
        </div>
        <Chooser />
      </main>
    </>
  )
}

/** What `auto` would take, and why. */
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
