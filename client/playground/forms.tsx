/** Forms to ask an agent, answer its questions, steer and cancel its run. */
import { type FormEvent, useState } from 'react'
import type { AgentInfo } from '../index.ts'
import type { PlanPart, QuestionPart, UseSession } from '../react/index.ts'

interface ObjectSchema {
  type?: string
  properties?: Record<string, unknown>
}

const samples: Record<string, string> = { playback: '{"count": 300, "rate": 30}' }

/** The field of an agent's input that takes plain text. */
const textField = ({ properties = {} }: ObjectSchema) =>
  ['query', 'prompt', 'text', 'message', 'input'].find(field => field in properties)

export function Ask({ agents, start }: { agents: readonly AgentInfo[]; start: UseSession['start'] }) {
  const [name, setName] = useState<string>()
  const [text, setText] = useState('')
  const [confirm, setConfirm] = useState(false)
  const [problem, setProblem] = useState('')
  const agent = agents.find(agent => agent.name === (name ?? 'deepsearch')) ?? agents[0]
  if (!agent) return <p className="panel soft">Looking for agents …</p>
  const schema = agent.input as ObjectSchema
  const field = textField(schema)
  const confirms = 'confirm' in (schema.properties ?? {})

  const submit = (event: FormEvent) => {
    event.preventDefault()
    setProblem('')
    try {
      const typed = text || (samples[agent.name] ?? '')
      const input =
        field && !typed.startsWith('{')
          ? { [field]: typed, ...(confirms && confirm && { confirm }) }
          : JSON.parse(typed)
      void start(agent.name, input)
    } catch {
      setProblem('This agent takes JSON.')
    }
  }
  return (
    <form id="ask" className="panel" onSubmit={submit}>
      <label htmlFor="question">Ask an agent</label>
      <textarea
        id="question"
        rows={2}
        value={text}
        required={!samples[agent.name]}
        placeholder={field ? 'What would you like to know?' : (samples[agent.name] ?? '{}')}
        onChange={({ target }) => setText(target.value)}
        onKeyDown={event => {
          // While an input method composes, Enter chooses a word.
          if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
          event.preventDefault()
          event.currentTarget.form?.requestSubmit()
        }}
      />
      <div className="row">
        <label>
          Agent{' '}
          <select id="agent" value={agent.name} onChange={({ target }) => setName(target.value)}>
            {agents.map(({ name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        {confirms && (
          <label>
            <input
              type="checkbox"
              id="confirm"
              checked={confirm}
              onChange={({ target }) => setConfirm(target.checked)}
            />{' '}
            Let me approve the plan first
          </label>
        )}
        <button type="submit" className="primary">
          Ask
        </button>
      </div>
      <p className="soft">
        {field ? agent.description : `${agent.description} Takes JSON.`} Enter asks, Shift+Enter begins a new
        line.
      </p>
      <p className="problem" role="alert">
        {problem}
      </p>
    </form>
  )
}

export function Running({ view }: { view: UseSession }) {
  const [text, setText] = useState('')
  const run = view.runs.findLast(({ status }) => status === 'running')
  if (!run) return null
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setText('')
    await view.steer(text, run.runId)
  }
  return (
    <form id="running" className="panel" onSubmit={submit}>
      <div className="row">
        <label htmlFor="steer" className="state open">
          Running
        </label>
        <input
          id="steer"
          autoComplete="off"
          placeholder="Say something to the agent while it works"
          required
          value={text}
          onChange={({ target }) => setText(target.value)}
        />
        <button type="submit">Send</button>
        <button type="button" className="danger" onClick={() => view.stop(run.runId)}>
          Cancel run
        </button>
      </div>
    </form>
  )
}

interface AnswerProps {
  question: QuestionPart
  plan: PlanPart | undefined
  answer: UseSession['answer']
}

/** Yes or no for an approval, a text field for any other question. */
export function Answer({ question, plan, answer }: AnswerProps) {
  const { requestId, kind, message, schema } = question
  const object = (typeof schema === 'object' ? schema : {}) as ObjectSchema
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
    <form className="panel question" onSubmit={submit}>
      <p className="message">{message}</p>
      {(editsPlan || !approval) && (
        <label>
          {approval ? 'Questions to search for, one a line' : 'Your answer'}
          <textarea
            rows={approval ? 4 : 2}
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
      <p className="problem" role="alert">
        {problem}
      </p>
    </form>
  )
}
