/** One session: its runs, its timeline, its subscribers, and what an operator may do. */
import { useCallback, useMemo, useState } from 'react'
import { ClientError, type Session, type SessionState } from '../index.ts'
import { type Api, wordsOf } from './api.ts'
import { ConfirmButton } from './confirm-button.tsx'
import { day, hueOf, seqOf, short, span } from './format.ts'
import { useAction, usePolled } from './hooks.ts'
import { save } from './save.ts'
import { Subscribers } from './subscribers.tsx'
import { Timeline } from './timeline.tsx'

const POLL_MS = 2000

/** Runs that are shown before somebody asks for all. */
const FEW_RUNS = 6

export function SessionView({ api, sessionId, onBack }: { api: Api; sessionId: string; onBack: () => void }) {
  const session = useMemo(() => api.client.session(sessionId), [api, sessionId])
  const load = useCallback(() => session.state(), [session])
  const { value: state, error, reload } = usePolled(load, POLL_MS)
  const [run, setRun] = useState<string>()
  const [shown, setShown] = useState<'timeline' | 'subscribers'>('timeline')
  const exporting = useAction()
  const cancelling = useAction()
  const problem = exporting.problem || cancelling.problem

  return (
    <main className="session" aria-label={`Session ${sessionId}`}>
      <header>
        <button type="button" className="back" onClick={onBack}>
          <span aria-hidden="true">‹</span> Sessions
        </button>
        <h2>{sessionId}</h2>
        <p className="soft facts">
          {state
            ? `${short(seqOf(state.head))} events, created ${day(state.createdAt)}, active ${span(Date.now() - state.activeAt)} ago`
            : error
              ? stateProblem(error)
              : 'Loading …'}
        </p>
        <button
          type="button"
          disabled={exporting.busy || !state}
          onClick={() =>
            exporting.run(() => save(() => api.export(sessionId), `${sessionId.replaceAll(':', '_')}.ndjson`))
          }
        >
          {exporting.busy ? 'Exporting …' : 'Export'}
        </button>
      </header>
      {problem ? <p className="problem">{problem}</p> : null}
      {state && state.runs.length > 0 ? (
        <Runs
          session={session}
          runs={state.runs}
          run={run}
          onRun={setRun}
          onCancel={runId =>
            cancelling.run(async () => {
              await session.cancel(runId, 'cancelled by an operator')
              reload()
            })
          }
        />
      ) : null}
      <div className="tabs" role="tablist" aria-label="What is shown">
        {(['timeline', 'subscribers'] as const).map(name => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`tab-${name}`}
            aria-selected={shown === name}
            aria-controls="panel"
            onClick={() => setShown(name)}
          >
            {name === 'timeline' ? 'Timeline' : 'Subscribers'}
          </button>
        ))}
      </div>
      <div className="panel" id="panel" role="tabpanel" aria-labelledby={`tab-${shown}`}>
        {shown === 'timeline' ? (
          <Timeline api={api} session={session} run={run} onRun={setRun} />
        ) : (
          <Subscribers api={api} sessionId={sessionId} />
        )}
      </div>
    </main>
  )
}

function Runs({
  runs,
  run,
  onRun,
  onCancel,
}: {
  session: Session
  runs: SessionState['runs']
  run: string | undefined
  onRun: (run: string | undefined) => void
  onCancel: (runId: string) => void
}) {
  const [all, setAll] = useState(false)
  // Open runs first, then the newest.
  const sorted = [...runs].sort(
    (a, b) => Number(b.status === 'running') - Number(a.status === 'running') || b.startedAt - a.startedAt,
  )
  const shown = all ? sorted : sorted.slice(0, FEW_RUNS)
  return (
    <ul className="runs" aria-label="Runs">
      {shown.map(({ runId, agent, status, startedAt }) => (
        <li key={runId} className={`hue-${hueOf(runId)}`} data-run={runId}>
          <button
            type="button"
            className="run"
            aria-pressed={run === runId}
            title={runId}
            onClick={() => onRun(run === runId ? undefined : runId)}
          >
            <span className="agent">{agent}</span>
            <span className={`status ${status}`}>{status}</span>
            <span className="soft">{span(Date.now() - startedAt)} ago</span>
          </button>
          {status === 'running' ? (
            <ConfirmButton label="Cancel" asks="Cancel this run?" onConfirm={() => onCancel(runId)} />
          ) : null}
        </li>
      ))}
      {sorted.length > FEW_RUNS ? (
        <li>
          <button type="button" onClick={() => setAll(!all)}>
            {all ? 'Fewer runs' : `All ${sorted.length} runs`}
          </button>
        </li>
      ) : null}
    </ul>
  )
}

function stateProblem(error: unknown): string {
  if (error instanceof ClientError && error.code === 'forbidden') {
    return 'Your token may not read sessions: that needs the right read.'
  }
  return wordsOf(error)
}
