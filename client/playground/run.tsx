/** One run, as one transport delivered it. */
import { memo, useCallback, useRef } from 'react'
import type { RunView } from '../react/index.ts'
import { inline, Markdown } from './markdown.tsx'

const steps = { pending: '○', running: '▸', done: '✓', failed: '✗' }
const brief = (value: unknown) =>
  (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).slice(0, 200)

function outcomeOf({ terminal }: RunView): string {
  switch (terminal?.type) {
    case 'run.completed':
      return `Completed · ${terminal.data.finishReason}`
    case 'run.failed':
      return `Failed · ${terminal.data.code}: ${terminal.data.message}`
    case 'run.cancelled':
      return `Cancelled · ${terminal.data.reason}`
    default:
      return ''
  }
}

export const RunPanel = memo(function RunPanel({ run, polite }: { run: RunView; polite: boolean }) {
  const sources = useRef<HTMLOListElement>(null)
  const onCite = useCallback(
    (number: number) => (sources.current?.children[number - 1] as HTMLElement)?.focus(),
    [],
  )
  const title = (run.input as { query?: string } | undefined)?.query ?? brief(run.input)
  const answer = run.parts.filter(({ kind }) => kind !== 'reasoning')
  const thoughts = run.parts.filter(({ kind }) => kind === 'reasoning')
  return (
    <article className="run" data-status={run.status}>
      <h3>{title}</h3>
      {run.phase && run.status === 'running' && (
        <p className="soft">{run.phase.message ?? run.phase.status}</p>
      )}
      {run.plan && (
        <ul className="plan" aria-label="Plan">
          {run.plan.steps.map(({ title, status }) => (
            <li key={title} className={status}>
              {steps[status]} {title}
            </li>
          ))}
        </ul>
      )}
      <div className="answer" aria-live={polite ? 'polite' : 'off'} aria-busy={run.status === 'running'}>
        {answer.map(part => (
          <Markdown key={`${part.kind}-${part.partId}`} text={part.text} onCite={onCite} />
        ))}
      </div>
      {run.sources.length > 0 && (
        <ol className="sources" aria-label="Sources" ref={sources}>
          {run.sources.map(({ sourceId, title, url, excerpt }) => (
            <li key={sourceId} tabIndex={-1}>
              {/^https?:/.test(url ?? '') ? (
                <a href={url} target="_blank" rel="noreferrer">
                  {title}
                </a>
              ) : (
                [title, url].filter(Boolean).join(' ')
              )}
              <small>{inline(excerpt ?? '', number => `[${number}]`)}</small>
            </li>
          ))}
        </ol>
      )}
      {thoughts.length + run.tools.length + run.steered.length > 0 && (
        <details className="soft">
          <summary>Activity</summary>
          {thoughts.map(({ partId, text }) => (
            <p key={partId}>{text}</p>
          ))}
          {run.tools.map(({ toolCallId, toolName, status, input, output }) => (
            <p key={toolCallId}>
              {toolName} {status} {brief(output ?? input)}
            </p>
          ))}
          {run.steered.map(({ inputId, text, applied }) => (
            <p key={inputId}>
              You: {text} {applied ? '✓' : '…'}
            </p>
          ))}
        </details>
      )}
      {run.terminal && <p className={`outcome ${run.status}`}>{outcomeOf(run)}</p>}
    </article>
  )
})
