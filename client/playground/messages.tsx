/** The messages of a session as one rail delivered them, in the order of the log. */
import { memo, useCallback, useMemo, useRef } from 'react'
import type { Message, Part, RunView, UseSession } from '../react/index.ts'
import { type Cite, Markdown } from './markdown.tsx'
import { Question } from './question.tsx'

type AssistantMessage = Extract<Message, { role: 'assistant' }>
type Source = Extract<Part, { type: 'source' }>

/** Parts that stand together: a text, a question, or the work between texts. */
interface Segment {
  readonly key: string
  readonly parts: Part[]
}

const stands = ({ type }: Part) => type === 'text' || type === 'artifact' || type === 'question'

/** New work is added at the end of a message, so that nothing that is shown moves. */
function segmentsOf(parts: readonly Part[]): Segment[] {
  const segments: Segment[] = []
  for (const part of parts) {
    const last = segments.at(-1)
    if (stands(part) || !last || stands(last.parts[0]!)) segments.push({ key: part.offset, parts: [part] })
    else last.parts.push(part)
  }
  return segments
}

const brief = (value: unknown) =>
  (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).slice(0, 200)

/** A source's address, if a page can open it: one on the web, one of this server, or one of Twinrail's documents. */
const addressOf = ({ url }: Source) =>
  url !== undefined && /^(https?:|\/(?!\/)|about\/)/.test(url) ? url : undefined

const outcomes = { completed: 'Complete', failed: 'Failed', cancelled: 'Stopped' } as const

function outcomeOf({ terminal }: RunView): string {
  switch (terminal?.type) {
    case 'run.failed':
      return `${terminal.data.code}: ${terminal.data.message}`
    case 'run.cancelled':
      return terminal.data.reason
    case 'run.completed':
      return terminal.data.finishReason === 'stop' ? '' : terminal.data.finishReason
    default:
      return ''
  }
}

function Sources({ sources }: { sources: readonly Source[] }) {
  return (
    <ol className="sources" aria-label="Sources">
      {sources.map(source => {
        const { offset, title, excerpt } = source
        const address = addressOf(source)
        const label = (
          <>
            <b>{title}</b>
            <small>{excerpt ?? source.url}</small>
          </>
        )
        return (
          <li key={offset}>
            {address ? (
              <a href={address} target="_blank" rel="noreferrer">
                {label}
              </a>
            ) : (
              <span>{label}</span>
            )}
          </li>
        )
      })}
    </ol>
  )
}

const stepMarks = { pending: '○', running: '▸', done: '✓', failed: '✗' }

/** What the agent did between two texts: one line that opens, and the sources that it found. */
function Work({ parts, running }: { parts: readonly Part[]; running: boolean }) {
  const sources = parts.filter(part => part.type === 'source')
  const details = parts.filter(({ type }) => !['source', 'status', 'step'].includes(type))
  const status = parts.findLast(part => part.type === 'status')
  const tools = parts.filter(part => part.type === 'tool').length
  const now = running && status ? (status.message ?? status.status) : undefined
  const done = [
    tools > 0 && `${tools} tool call${tools > 1 ? 's' : ''}`,
    sources.length > 0 && `${sources.length} source${sources.length > 1 ? 's' : ''}`,
  ].filter(Boolean)
  if (details.length + sources.length === 0 && !now) return null
  return (
    <div className="work">
      <details>
        <summary>{now ?? (done.join(', ') || 'Work')}</summary>
        {details.map(part => {
          switch (part.type) {
            case 'plan':
              return (
                <ul key={part.offset} className="plan" aria-label="Plan">
                  {part.steps.map(({ title, status }) => (
                    <li key={title} className={status}>
                      {stepMarks[status]} {title}
                    </li>
                  ))}
                </ul>
              )
            case 'tool':
              return (
                <p key={part.offset}>
                  {part.toolName}: {part.state} {brief(part.output ?? part.input)}
                </p>
              )
            case 'reasoning':
              return <p key={part.offset}>{part.text}</p>
            default:
              return (
                <p key={part.offset}>
                  {part.type} {brief('data' in part ? part.data : '')}
                </p>
              )
          }
        })}
      </details>
      {sources.length > 0 && <Sources sources={sources} />}
    </div>
  )
}

interface TurnProps {
  message: AssistantMessage
  /** The run, on the last message of it. */
  run: RunView | undefined
  answer: UseSession['answer']
}

const Turn = memo(function Turn({ message, run, answer }: TurnProps) {
  const { parts, state } = message
  const running = state === 'running' || state === 'starting'
  const segments = segmentsOf(parts)
  const known = useRef<readonly Source[]>([])
  known.current = parts.filter(part => part.type === 'source')
  const count = known.current.length
  // biome-ignore lint/correctness/useExhaustiveDependencies: citations are drawn again when there are more sources
  const cite: Cite = useCallback(
    number => {
      const source = known.current[number - 1]
      const address = source && addressOf(source)
      return address ? (
        <a className="cite" href={address} title={source.title} target="_blank" rel="noreferrer">
          [{number}]
        </a>
      ) : (
        <span className="cite" title={source?.title}>
          [{number}]
        </span>
      )
    },
    [count],
  )
  const plan = parts.find(part => part.type === 'plan')
  return (
    <article className={`turn ${state}`} aria-busy={running}>
      {segments.map(({ key, parts }, index) => {
        const first = parts[0]!
        if (first.type === 'text' || first.type === 'artifact')
          return <Markdown key={key} text={first.text} cite={cite} />
        if (first.type === 'question')
          return <Question key={key} question={first} plan={plan} answer={answer} />
        return <Work key={key} parts={parts} running={running && index === segments.length - 1} />
      })}
      {run?.terminal && (
        <p className={`outcome ${run.status}`}>
          {outcomes[run.status as keyof typeof outcomes]} {outcomeOf(run)}
        </p>
      )}
    </article>
  )
})

/** What happens to a message that was sent into a running agent. */
const sent = {
  sending: 'on its way to the log',
  sent: 'in the log, not read yet',
  applied: 'read by the agent',
}

const UserTurn = memo(function UserTurn({ message }: { message: Extract<Message, { role: 'user' }> }) {
  const { text, inputId, state } = message
  return (
    <div className="said">
      <h3>{text}</h3>
      {inputId !== undefined && <small data-state={state}>to the running agent: {sent[state]}</small>}
    </div>
  )
})

/** The messages of a view. Unchanged ones are not drawn again. */
export const Messages = memo(function Messages({ view }: { view: UseSession }) {
  const { messages, runs, answer } = view
  const last = useMemo(() => {
    const ids = new Map<string, string>()
    for (const { id, role, runId } of messages) if (role === 'assistant') ids.set(runId, id)
    return ids
  }, [messages])
  return messages.map(message =>
    message.role === 'user' ? (
      <UserTurn key={message.id} message={message} />
    ) : (
      <Turn
        key={message.id}
        message={message}
        run={
          last.get(message.runId) === message.id
            ? runs.find(({ runId }) => runId === message.runId)
            : undefined
        }
        answer={answer}
      />
    ),
  )
})
