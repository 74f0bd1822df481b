/** The page of the training monitor: curves of all trainings, and what one may do with each. */
// Before the first schema.
import '../../shared/no-eval.ts'

import { StrictMode, useMemo, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { createClient } from 'twinrail-client'
import { usePresence } from 'twinrail-client/react'
import { TransportBar } from '../../shared/transport-bar.tsx'
import { useEvents } from '../../shared/use-events.ts'
import { rates, schemas, type TrainingInput } from '../events.ts'
import { Boundary } from './boundary.tsx'
import { styleOf } from './colours.ts'
import { Plot } from './plot.tsx'
import { initial, reduce, type Training } from './state.ts'
import '../../shared/style.css'
import './style.css'

// People mostly watch: the guide chooses by that.
const client = createClient({ url: '/', needs: { upstreamPerSecond: 0.1 } })

if (location.hash === '') history.replaceState(null, '', '#training')
window.addEventListener('hashchange', () => location.reload())
const sessionId = location.hash.slice(1)

const percent = (part: number) => `${Math.round(part * 100)} %`
const lossOf = ({ loss }: Training) => loss
const accuracyOf = ({ accuracy }: Training) => accuracy
const isOn = ({ status }: Training) => status === 'running' || status === 'paused'

function Monitor() {
  const session = useMemo(() => client.session(sessionId, schemas), [])
  const { state, isLive, error } = useEvents(session, initial, reduce)
  const { trainings } = state
  const { members } = usePresence(session)
  const [chosen, setChosen] = useState<string>()
  const [problem, setProblem] = useState('')
  const shown = trainings.find(({ runId }) => runId === chosen) ?? trainings.at(-1)

  const attempt = async (command: () => Promise<unknown>) => {
    setProblem('')
    try {
      await command()
    } catch (error) {
      setProblem((error as Error).message)
    }
  }
  const start = (input: Partial<TrainingInput>) => {
    // A training that nobody watches for ten minutes ends.
    const run = session.run('training', input, { onNoViewers: { cancelAfterMs: 600_000 } })
    setChosen(run.runId)
    void attempt(() => run.started)
  }

  return (
    <div className="app">
      <header>
        <h1>Training monitor</h1>
        <span className="soft watching">
          {members.length} {members.length === 1 ? 'watches' : 'watch'}
        </span>
        <TransportBar client={client} />
      </header>
      <p className="problem" role="alert" hidden={!(problem || error || state.refusal)}>
        {problem || error?.message || state.refusal}
      </p>
      <main>
        <div className="curves">
          <Plot title="Loss" trainings={trainings} values={lossOf} format={loss => loss.toPrecision(3)} />
          <Plot
            title="Accuracy on points not learned from"
            trainings={trainings}
            values={accuracyOf}
            range={[0.4, 1]}
            format={percent}
          />
          <Runs trainings={trainings} shown={shown} choose={setChosen} isLive={isLive} />
        </div>
        <aside>
          {shown && (
            <section aria-label={`Training ${shown.number}`}>
              <h2>
                <Swatch number={shown.number} /> Training {shown.number}
              </h2>
              <p className="soft">
                {/* One text, so that nothing moves when a number grows. */}
                {`${shown.parameters} parameters, step ${shown.loss.length} of ${shown.input.steps ?? 400}`}
              </p>
              <Boundary training={shown} />
              {isOn(shown) && (
                <Controls
                  training={shown}
                  say={text => void attempt(() => session.steer(shown.runId, text))}
                  stop={() => void attempt(() => session.cancel(shown.runId))}
                />
              )}
              {shown.problem && <p className="problem">{shown.problem}</p>}
            </section>
          )}
          <NewTraining start={start} isFirst={!shown} />
        </aside>
      </main>
    </div>
  )
}

const Swatch = ({ number }: { number: number }) => {
  const { index, dash } = styleOf(number)
  return (
    <svg className="swatch" viewBox="0 0 28 6" aria-hidden="true">
      <line
        x1="0"
        y1="3"
        x2="28"
        y2="3"
        stroke={`var(--curve-${index})`}
        strokeWidth="4"
        strokeDasharray={dash.join(' ')}
      />
    </svg>
  )
}

interface RunsProps {
  trainings: readonly Training[]
  shown: Training | undefined
  choose(runId: string): void
  isLive: boolean
}

function Runs({ trainings, shown, choose, isLive }: RunsProps) {
  if (trainings.length === 0) {
    return <p className="soft">{isLive ? 'No training yet. Start one.' : 'Loading …'}</p>
  }
  return (
    <ul className="runs">
      {trainings.toReversed().map(training => {
        const { runId, number, input, status, loss, accuracy } = training
        return (
          <li key={runId}>
            <button type="button" aria-pressed={training === shown} onClick={() => choose(runId)}>
              <Swatch number={number} />
              <span>
                <b>Training {number}</b>
                <small>
                  seed {input.seed}, {input.units ?? 16} units, rate {training.learningRate}
                </small>
              </span>
              <span className="figures">
                {loss.at(-1)?.toPrecision(3) ?? '–'}
                <small>{accuracy.length > 0 ? percent(accuracy.at(-1)!) : '–'}</small>
              </span>
              <span className="state" data-status={status}>
                {status}
              </span>
            </button>
          </li>
        )
      })}
    </ul>
  )
}

interface ControlsProps {
  training: Training
  /** Sends a message to the agent. */
  say(text: string): void
  stop(): void
}

function Controls({ training, say, stop }: ControlsProps) {
  const isPaused = training.status === 'paused'
  return (
    <div className="controls">
      <div className="row">
        <button type="button" onClick={() => say(isPaused ? 'resume' : 'pause')}>
          {isPaused ? 'Resume' : 'Pause'}
        </button>
        <button type="button" onClick={stop}>
          Stop
        </button>
      </div>
      <RateChoice
        legend="Learning rate, from the next step on"
        name={`rate of ${training.runId}`}
        value={training.learningRate}
        choose={rate => say(`rate ${rate}`)}
      />
    </div>
  )
}

interface RateChoiceProps {
  legend: string
  name: string
  value: number
  choose(rate: number): void
}

function RateChoice({ legend, name, value, choose }: RateChoiceProps) {
  return (
    <fieldset>
      <legend>{legend}</legend>
      <div className="choices">
        {rates.map(rate => (
          <label key={rate}>
            <input type="radio" name={name} checked={rate === value} onChange={() => choose(rate)} />
            <span>{rate}</span>
          </label>
        ))}
      </div>
    </fieldset>
  )
}

function NewTraining({ start, isFirst }: { start(input: Partial<TrainingInput>): void; isFirst: boolean }) {
  const [learningRate, setRate] = useState<number>(0.01)
  const [units, setUnits] = useState(16)
  const [seed, setSeed] = useState(1)
  return (
    <form
      onSubmit={event => {
        event.preventDefault()
        start({ seed, units, learningRate })
        setSeed(seed + 1)
      }}
    >
      <h2>{isFirst ? 'Start a training' : 'Start another one'}</h2>
      <div className="row">
        <label>
          Seed
          <input
            type="number"
            min={0}
            max={999_999}
            required
            value={seed}
            onChange={({ target }) => setSeed(target.valueAsNumber)}
          />
        </label>
        <label>
          Units per layer
          <select value={units} onChange={({ target }) => setUnits(Number(target.value))}>
            {[4, 8, 16, 32].map(count => (
              <option key={count}>{count}</option>
            ))}
          </select>
        </label>
      </div>
      <RateChoice legend="Learning rate" name="rate" value={learningRate} choose={setRate} />
      <button type="submit" className="primary">
        Start
      </button>
    </form>
  )
}

createRoot(document.getElementById('app')!).render(
  <StrictMode>
    <Monitor />
  </StrictMode>,
)
