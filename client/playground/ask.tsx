/** Starts an agent by a form made from its input's schema, and speaks to the one that runs. */
import { type FormEvent, memo, useId, useState } from 'react'
import type { AgentInfo } from '../index.ts'
import type { UseSession } from '../react/index.ts'
import { type Field, formsOf, inputOf } from './agent-form.ts'

/** What the fields begin with where a schema has no default, so that a demo of an agent starts with one click. */
const samples: Record<string, Record<string, string>> = { playback: { count: '300', rate: '30' } }

interface InputProps {
  field: Field
  value: string
  change(value: string): void
}

function Input({ field, value, change }: InputProps) {
  const id = useId()
  const { name, label, hint, kind, required, options, minimum, maximum, whole, minLength, maxLength } = field
  const common = { id, name, required, 'aria-describedby': hint ? `${id}-hint` : undefined }
  const onChange = ({ target }: { target: { value: string } }) => change(target.value)
  const note = hint && (
    <small id={`${id}-hint`} className="hint">
      {hint}
    </small>
  )
  if (kind === 'check') {
    return (
      <div className="field">
        <label className="check">
          <input
            {...common}
            required={false}
            type="checkbox"
            checked={value === 'true'}
            onChange={({ target }) => change(String(target.checked))}
          />{' '}
          {label}
        </label>
        {note}
      </div>
    )
  }
  return (
    <div className={`field ${kind}`}>
      <label htmlFor={id}>
        {label}
        {kind === 'lines' && ', one a line'}
        {kind === 'json' && ' (JSON)'}
        {!required && <span className="optional"> optional</span>}
      </label>
      {kind === 'text' || kind === 'lines' || kind === 'json' ? (
        <textarea
          {...common}
          rows={kind === 'text' ? 2 : 3}
          minLength={minLength}
          maxLength={maxLength}
          value={value}
          spellCheck={kind === 'text'}
          onChange={onChange}
          onKeyDown={event => {
            // While an input method composes, Enter chooses a word.
            if (kind !== 'text' || event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing)
              return
            event.preventDefault()
            event.currentTarget.form?.requestSubmit()
          }}
        />
      ) : kind === 'choice' ? (
        <select {...common} value={value} onChange={onChange}>
          {!(required && value) && <option value="">–</option>}
          {options.map(option => (
            <option key={option}>{option}</option>
          ))}
        </select>
      ) : (
        <input
          {...common}
          type={kind === 'number' ? 'number' : 'text'}
          inputMode={kind === 'number' ? (whole ? 'numeric' : 'decimal') : undefined}
          step={kind === 'number' ? (whole ? 1 : 'any') : undefined}
          min={minimum}
          max={maximum}
          minLength={minLength}
          maxLength={maxLength}
          value={value}
          onChange={onChange}
        />
      )}
      {note}
    </div>
  )
}

interface AgentFormProps {
  agent: AgentInfo
  start: UseSession['start']
}

function AgentForm({ agent, start }: AgentFormProps) {
  const forms = formsOf(agent.input)
  const [shape, setShape] = useState(0)
  const form = forms[shape] ?? forms[0]!
  const [values, setValues] = useState<Record<string, string>>(samples[agent.name] ?? {})
  const [problem, setProblem] = useState('')
  const submit = (event: FormEvent) => {
    event.preventDefault()
    try {
      const input = inputOf(form, values)
      setProblem('')
      void start(agent.name, input)
    } catch (error) {
      setProblem((error as Error).message)
    }
  }
  const input = (field: Field) => (
    <Input
      key={`${shape} ${field.name}`}
      field={field}
      value={values[field.name] ?? field.initial}
      change={value => setValues(before => ({ ...before, [field.name]: value }))}
    />
  )
  const shown = form.fields.filter(field => field.required || field.kind === 'text' || field.kind === 'check')
  const others = form.fields.filter(field => !shown.includes(field))
  return (
    <form id="ask" onSubmit={submit} aria-label={`Start ${agent.name}`}>
      {forms.length > 1 && (
        <div className="field">
          <label htmlFor="shape">Kind of input</label>
          <select id="shape" value={shape} onChange={({ target }) => setShape(Number(target.value))}>
            {forms.map(({ title }, index) => (
              <option key={title} value={index}>
                {title}
              </option>
            ))}
          </select>
        </div>
      )}
      <div className="fields">{shown.map(input)}</div>
      {others.length > 0 && (
        <details open={shown.length === 0}>
          <summary>More settings ({others.length})</summary>
          <div className="fields">{others.map(input)}</div>
        </details>
      )}
      <div className="row">
        <button type="submit" className="primary">
          Start {agent.name}
        </button>
        <p className="problem" role="alert">
          {problem}
        </p>
      </div>
    </form>
  )
}

/** Chooses an agent and starts it. */
export const Ask = memo(function Ask({
  agents,
  start,
}: {
  agents: readonly AgentInfo[]
  start: UseSession['start']
}) {
  const [name, setName] = useState<string>()
  const agent = agents.find(agent => agent.name === (name ?? 'deepsearch')) ?? agents[0]
  return (
    <section className="panel" aria-labelledby="ask-title">
      <h2 id="ask-title">Start an agent</h2>
      {agent ? (
        <>
          <div className="field">
            <label htmlFor="agent">Agent</label>
            <select id="agent" value={agent.name} onChange={({ target }) => setName(target.value)}>
              {agents.map(({ name }) => (
                <option key={name}>{name}</option>
              ))}
            </select>
            <small className="hint">{agent.description}</small>
          </div>
          <AgentForm key={agent.name} agent={agent} start={start} />
        </>
      ) : (
        <p className="soft">Looking for the server’s agents …</p>
      )}
    </section>
  )
})

/** Sends a message to the agent that runs, and stops it. It keeps its place while nothing runs. */
export function Steer({ view }: { view: UseSession }) {
  const [text, setText] = useState('')
  const { run, isLoading } = view
  const submit = (event: FormEvent) => {
    event.preventDefault()
    setText('')
    void view.steer(text, run?.runId)
  }
  return (
    <form id="running" onSubmit={submit} aria-label="The running agent">
      <label htmlFor="steer" className="unseen">
        Message to the running agent
      </label>
      <input
        id="steer"
        autoComplete="off"
        placeholder={isLoading ? `Say something to ${run?.agent} while it works` : 'No agent is running'}
        required
        disabled={!isLoading}
        value={text}
        onChange={({ target }) => setText(target.value)}
      />
      <button type="submit" disabled={!isLoading}>
        Send
      </button>
      <button type="button" className="danger" disabled={!isLoading} onClick={() => view.stop()}>
        Stop
      </button>
    </form>
  )
}
