/** An answer of the assistant: its parts in the order of the session's log. */
import { memo } from 'react'
import type { AssistantMessage, QuestionPart, SourcePart, ToolPart, UseSession } from 'twinrail-client/react'
import { Markdown } from '../../shared/markdown.tsx'

interface AnswerProps {
  message: AssistantMessage
  answer: UseSession['answer']
  /** Starts the failed run again; only for the newest run. */
  retry: UseSession['retry'] | undefined
}

/** A message that did not change is the same object, so it is not drawn again. */
export const Answer = memo(function Answer({ message, answer, retry }: AnswerProps) {
  const { parts, state, error } = message
  const isRunning = state === 'starting' || state === 'running'
  const asked = new Map(parts.flatMap(part => (part.type === 'question' ? [[part.toolCallId, part]] : [])))
  return (
    <article className="assistant">
      <h2 className="unseen">Assistant</h2>
      {parts.map(part => {
        switch (part.type) {
          case 'text':
            return <Markdown key={part.offset} text={part.text} />
          case 'reasoning':
            return (
              <details key={part.offset} className="reasoning">
                <summary>{part.state === 'running' ? 'Thinking …' : 'Thought'}</summary>
                <p>{part.text}</p>
              </details>
            )
          case 'tool':
            return <Tool key={part.offset} tool={part} question={asked.get(part.toolCallId)} />
          case 'question':
            return <Question key={part.offset} question={part} answer={answer} />
          case 'source':
            return <Source key={part.offset} source={part} />
          default:
            return null
        }
      })}
      {isRunning && parts.length === 0 && (
        <p className="working" role="img" aria-label="The assistant is answering" />
      )}
      {state === 'cancelled' && <p className="soft">Stopped.</p>}
      {error && (
        <p className="problem" role="alert">
          {error.message}{' '}
          {retry && (
            <button type="button" onClick={() => retry()}>
              Try again
            </button>
          )}
        </p>
      )}
    </article>
  )
})

/** What a tool call is doing, in words. */
function stateOf({ state, isError }: ToolPart, question: QuestionPart | undefined): string {
  if (question?.state === 'open') return 'waits for your approval'
  if (state === 'finished') return isError ? 'failed' : 'done'
  if (state === 'closed') return 'not finished'
  return 'running'
}

function Tool({ tool, question }: { tool: ToolPart; question: QuestionPart | undefined }) {
  const state = isDenied(question) ? 'rejected' : stateOf(tool, question)
  return (
    <details className="tool" data-state={state}>
      <summary>
        <code>{tool.toolName}</code> <span>{state}</span>
      </summary>
      <pre>{tool.input === undefined ? tool.inputText : JSON.stringify(tool.input, null, 2)}</pre>
      {tool.state === 'finished' && <pre>{JSON.stringify(tool.output, null, 2)}</pre>}
    </details>
  )
}

const isDenied = (question: QuestionPart | undefined) =>
  (question?.value as { approved?: boolean } | undefined)?.approved === false

const endings = { answered: '', expired: 'Nobody answered in time.', closed: 'Not answered.' } as const

/** The tools of this chat ask for approval only. */
function Question({ question, answer }: { question: QuestionPart; answer: UseSession['answer'] }) {
  const { message, state, requestId } = question
  if (state !== 'open') {
    const outcome = state === 'answered' ? (isDenied(question) ? 'Rejected' : 'Approved') : endings[state]
    return (
      <p className="question">
        {message} <b>{outcome}</b>
      </p>
    )
  }
  return (
    <fieldset className="question" data-state="open">
      <legend>{message}</legend>
      <button type="button" className="primary" onClick={() => answer(requestId, { approved: true })}>
        Approve
      </button>
      <button type="button" onClick={() => answer(requestId, { approved: false })}>
        Reject
      </button>
    </fieldset>
  )
}

function Source({ source: { title, url, excerpt } }: { source: SourcePart }) {
  const isSafe = url !== undefined && /^(https?:|\/(?!\/))/.test(url)
  return (
    <p className="source">
      {isSafe ? (
        <a href={url} target="_blank" rel="noreferrer">
          {title}
        </a>
      ) : (
        <cite>{title}</cite>
      )}{' '}
      <span className="soft">{excerpt}</span>
    </p>
  )
}
