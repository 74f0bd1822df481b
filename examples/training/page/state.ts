/** What the page makes of the session's events: the trainings, with all steps of each. */
import type { TypedEvent } from 'twinrail-client'
import type { schemas, TrainingInput } from '../events.ts'

type Event = TypedEvent<typeof schemas>

export interface Training {
  runId: string
  /** From 1; it chooses the colour. */
  number: number
  input: TrainingInput
  status: 'running' | 'paused' | 'completed' | 'failed' | 'cancelled'
  /** Why it failed. */
  problem: string | undefined
  learningRate: number
  /** The network's parameters. */
  parameters: number
  points: readonly (readonly [number, number, 0 | 1])[]
  /** Of each step, from the first. */
  loss: readonly number[]
  accuracy: readonly number[]
  boundary: { step: number; side: number; guesses: string } | undefined
}

/** The newest trainings, in the order of their starts. */
export interface TrainingState {
  trainings: readonly Training[]
  count: number
  /** The newest message that an agent did not understand. */
  refusal: string | undefined
}

export const initial: TrainingState = { trainings: [], count: 0, refusal: undefined }

/** How many trainings are shown. */
export const SHOWN = 6

export function reduce(state: TrainingState, event: Event): TrainingState {
  if (event.type === 'run.started') {
    const input = event.data.input as TrainingInput
    const training: Training = {
      runId: event.runId ?? '',
      number: state.count + 1,
      input,
      status: 'running',
      problem: undefined,
      learningRate: input.learningRate,
      parameters: 0,
      points: [],
      loss: [],
      accuracy: [],
      boundary: undefined,
    }
    return { ...state, trainings: [...state.trainings, training].slice(-SHOWN), count: training.number }
  }
  if (!('runId' in event)) return state
  const change = changeBy(event)
  if (!change) {
    return event.type === 'x.training.refused' ? { ...state, refusal: event.data.reason } : state
  }
  const trainings = state.trainings.map(training =>
    training.runId === event.runId ? { ...training, ...change(training) } : training,
  )
  return { ...state, trainings }
}

type Change = (training: Training) => Partial<Training>

function changeBy(event: Event): Change | undefined {
  switch (event.type) {
    case 'run.completed':
      return () => ({ status: 'completed' })
    case 'run.cancelled':
      return () => ({ status: 'cancelled' })
    case 'run.failed':
      return () => ({ status: 'failed', problem: event.data.message })
  }
  // Anybody may publish events of the other types. Those of the agent are by nobody.
  if (!('by' in event) || event.by === undefined) {
    switch (event.type) {
      case 'x.training.data':
        return () => event.data
      case 'x.training.step': {
        const { loss, accuracy, learningRate } = event.data
        return training => ({
          loss: [...training.loss, loss],
          accuracy: [...training.accuracy, accuracy],
          learningRate,
        })
      }
      case 'x.training.boundary':
        return () => ({ boundary: event.data })
      case 'x.training.paused':
        return () => ({ status: event.data.paused ? 'paused' : 'running' })
      case 'x.training.rate':
        return () => ({ learningRate: event.data.learningRate })
    }
  }
  return undefined
}
