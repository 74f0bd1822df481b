/** A question of a run to its users: yes or no for an approval, a text field for any other. */
import { type FormEvent, useState } from 'react'
import type { PlanPart, QuestionPart, UseSession } from '../react/index.ts'

interface QuestionProps {
  question: QuestionPart
  plan: PlanPart | undefined
  answer: UseSession['answer']
}

interface AnswerSchema {
  type?: string
  properties?: Record<string, unknown>
}

const endings = {
  open: 'waits for you',
  answered: 'answered',
  expired: 'expired',
  closed: 'closed with its run',
}

/** What an accepted answer says, in a word or two. */
function saidIn(value: unknown): string {
  const approved = typeof value === 'boolean' ? value : (value as { approved?: unknown } | null)?.approved
  if (approved === true) return 'approved'
  if (approved === false) return 'declined'
  return typeof value === 'string' ? value.slice(0, 200) : (JSON.stringify(value) ?? '').slice(0, 200)
}

export function Question({ question, plan, answer }: QuestionProps) {
  const { requestId, kind, message, schema, state } = question
  const object = (typeof schema === 'object' ? schema : {}) as AnswerSchema
  const approval = kind === 'approval'
  const editsPlan = approval && 'questions' in (object.properties ?? {})
  const [text, setText] = useState(() =>
    editsPlan ? (plan?.steps.map(({ title }) => title).join('\n') ?? '') : '',
  )
  const [problem, setProblem] = useState('')

  const decide = (approved: boolean) => {
    const questions = text.split('\n').filter(line => line.trim())
    const whole =
      object.type === 'object' ? { approved, ...(approved && editsPlan && { questions }) } : approved
    void answer(requestId, whole)
  }
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (approval) return decide(true)
    try {
      void answer(requestId, object.type && object.type !== 'string' ? JSON.parse(text) : text)
    } catch {
      setProblem('The answer must be JSON.')
    }
  }
  return (
    <form className={`question ${state}`} onSubmit={submit}>
      <p className="waits">
        {state === 'answered' ? `${endings[state]}: ${saidIn(question.value)}` : endings[state]}
      </p>
      <p className="message">{message}</p>
      {state === 'open' && (
        <>
          {(editsPlan || !approval) && (
            <label>
              {approval ? 'Questions to search for, one a line' : 'Your answer'}
              <textarea
                rows={approval ? 3 : 2}
                required
                value={text}
                onChange={({ target }) => setText(target.value)}
              />
            </label>
          )}
          <div className="row">
            <button type="submit" className="primary">
              {approval ? 'Approve' : 'Send'}
            </button>
            {approval && (
              <button type="button" onClick={() => decide(false)}>
                Decline
              </button>
            )}
          </div>
          {problem && (
            <p className="problem" role="alert">
              {problem}
            </p>
          )}
        </>
      )}
    </form>
  )
}
