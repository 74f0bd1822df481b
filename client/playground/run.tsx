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
  const title = run.messages[0]?.role === 'user' ? run.messages[0].text : brief(run.input)
  const { parts } = run
  const answer = parts.filter(part => part.type === 'text' || part.type === 'artifact')
  const thoughts = parts.filter(part => part.type === 'reasoning')
  const tools = parts.filter(part => part.type === 'tool')
  const cited = parts.filter(part => part.type === 'source')
  const phase = parts.findLast(part => part.type === 'status')
  const plan = parts.find(part => part.type === 'plan')
  const steered = run.messages.filter(message => message.role === 'user').filter(({ inputId }) => inputId)
  return (
    <article className="run" data-status={run.status}>
      <h3>{title}</h3>
      {phase && run.status === 'running' && <p className="soft">{phase.message ?? phase.status}</p>}
      {plan && (
        <ul className="plan" aria-label="Plan">
          {plan.steps.map(({ title, status }) => (
            <li key={title} className={status}>
              {steps[status]} {title}
            </li>
          ))}
        </ul>
      )}
      <div className="answer" aria-live={polite ? 'polite' : 'off'} aria-busy={run.status === 'running'}>
        {answer.map(part => (
          <Markdown key={part.offset} text={part.text} onCite={onCite} />
        ))}
      </div>
      {cited.length > 0 && (
        <ol className="sources" aria-label="Sources" ref={sources}>
          {cited.map(({ sourceId, title, url, excerpt }) => (
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
      {thoughts.length + tools.length + steered.length > 0 && (
        <details className="soft">
          <summary>Activity</summary>
          {thoughts.map(({ offset, text }) => (
            <p key={offset}>{text}</p>
          ))}
          {tools.map(({ offset, toolName, state, input, output }) => (
            <p key={offset}>
              {toolName} {state} {brief(output ?? input)}
            </p>
          ))}
          {steered.map(({ id, text, state }) => (
            <p key={id}>
              You: {text} {state === 'applied' ? '✓' : '…'}
            </p>
          ))}
        </details>
      )}
      {run.terminal && <p className={`outcome ${run.status}`}>{outcomeOf(run)}</p>}
    </article>
  )
})
