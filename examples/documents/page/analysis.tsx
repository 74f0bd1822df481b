/** One analysis, as it streams in. What comes later stands further down, so nothing moves. */
import type { CSSProperties } from 'react'
import type { PlanPart, RunView } from 'twinrail-client/react'
import { partsOf } from './parts.ts'

interface AnalysisProps {
  name: string
  run: RunView
  /** Whether another analysis stands beside it. */
  isCompared: boolean
  stop: () => void
  retry: () => void
}

const languages = { en: 'English', zh: 'Chinese' } as const

export function Analysis({ name, run, isCompared, stop, retry }: AnalysisProps) {
  const { plan, facts, terms, sources, summary, report } = partsOf(run)
  const isRunning = run.status === 'starting' || run.status === 'running'
  const most = terms?.[0]?.weight ?? 1
  return (
    <article lang={facts?.language}>
      <header>
        <h2>{name}</h2>
        {isRunning && (
          <button type="button" onClick={stop}>
            Stop
          </button>
        )}
        {report?.state === 'done' && (
          <a
            className="button"
            href={`data:text/markdown;charset=utf-8,${encodeURIComponent(report.text)}`}
            download={report.name}
          >
            Download
          </a>
        )}
      </header>
      <p className="soft facts">
        {facts &&
          `${languages[facts.language]} · ${facts.words.toLocaleString('en')} words · ${facts.sentences} sentences · ${facts.sections} sections · ${facts.readingMinutes} min to read`}
      </p>
      {run.error && (
        <p className="problem" role="alert">
          {run.error.message}{' '}
          <button type="button" onClick={retry}>
            Try again
          </button>
        </p>
      )}
      {run.status === 'cancelled' && <p className="soft">Stopped.</p>}
      <Plan plan={plan} />
      {terms && (
        <section className="terms">
          <h3>Terms</h3>
          <ol>
            {terms.map(({ term, count, weight }) => (
              <li key={term} style={{ '--share': weight / most } as CSSProperties}>
                {term} <small>{count}</small>
              </li>
            ))}
          </ol>
        </section>
      )}
      {sources.length > 0 && (
        <details className="passages" open={!isCompared}>
          <summary>
            <h3>Passages</h3>
          </summary>
          <ol>
            {sources.map(({ offset, title, excerpt }, i) => (
              <li key={offset} id={`${run.runId}-${i + 1}`} tabIndex={-1}>
                <b>{title}</b>
                <blockquote>{excerpt}</blockquote>
              </li>
            ))}
          </ol>
        </details>
      )}
      {summary && (
        <section className="summary">
          <h3>Summary</h3>
          <p aria-busy={summary.state === 'running'}>
            <Cited text={summary.text} runId={run.runId} />
          </p>
        </section>
      )}
    </article>
  )
}

const marks = { pending: '○', running: '◐', done: '●', failed: '✕' } as const

function Plan({ plan }: { plan: PlanPart | undefined }) {
  return (
    <ol className="plan" aria-label="Plan">
      {plan?.steps.map(({ title, status }) => (
        <li key={title} data-status={status}>
          <span role="img" aria-label={status}>
            {marks[status]}
          </span>{' '}
          {title}
        </li>
      ))}
    </ol>
  )
}

/** The summary with its marks `[1]` as links to the passages. */
function Cited({ text, runId }: { text: string; runId: string }) {
  const pieces = text.split(/\[(\d+)\]/)
  return pieces.map((piece, i) =>
    i % 2 === 0 ? (
      piece
    ) : (
      <button
        type="button"
        key={i}
        className="cite"
        onClick={() => show(`${runId}-${piece}`)}
        aria-label={`Passage ${piece}`}
      >
        {piece}
      </button>
    ),
  )
}

function show(id: string): void {
  const passage = document.getElementById(id)
  passage?.closest('details')?.setAttribute('open', '')
  passage?.scrollIntoView({ block: 'nearest', behavior: 'smooth' })
  passage?.focus({ preventScroll: true })
}
