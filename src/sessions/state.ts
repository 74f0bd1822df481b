/** The state of a session, computed from its events: runs and open questions. */
import type { LogEvent } from '../log/event.ts'
import { formatOffset, type TerminalType, type TwinrailEvent } from '../protocol/index.ts'

export interface RunState {
  runId: string
  agent: string
  status: 'running' | 'completed' | 'failed' | 'cancelled'
  /** In ms since 1970. */
  startedAt: number
  startOffset: string
  endOffset?: string
}

/** A question without an answer: the `data` of its `input.requested`, with its offset and run. */
export interface PendingInput {
  offset: string
  runId: string | undefined
  requestId: string
  schema?: Record<string, unknown> | boolean
  expiresAt?: number
}

export interface SessionState {
  /** Number of the last event that is included. */
  seq: number
  /** All open runs and the last {@link ENDED_RUNS} ended ones, in the order of their starts. */
  runs: RunState[]
  pendingInputs: PendingInput[]
}

/** Maximum number of ended runs in a session's state. */
export const ENDED_RUNS = 100

/** The state of a session without events. */
export function emptyState(): SessionState {
  return { seq: 0, runs: [], pendingInputs: [] }
}

/** Updates the state with the next event. Only `run.*` and `input.*` events are parsed. */
export function applyEvent(state: SessionState, epoch: number, event: LogEvent): void {
  state.seq = event.seq
  if (event.type.startsWith('run.') || event.type.startsWith('input.')) apply(state, epoch, event.event)
}

function apply(state: SessionState, epoch: number, event: TwinrailEvent): void {
  const { runId, offset } = event
  switch (event.type) {
    case 'run.started':
      if (runId === undefined) return
      state.runs.push({
        runId,
        agent: event.data.agent,
        status: 'running',
        startedAt: event.time,
        startOffset: offset,
      })
      return
    case 'run.completed':
    case 'run.failed':
    case 'run.cancelled':
      return endRun(state, epoch, event.type, runId)
    case 'input.requested':
      state.pendingInputs.push({ ...event.data, offset, runId } as PendingInput)
      return
    case 'input.answered':
    case 'input.expired': {
      const { requestId } = event.data
      state.pendingInputs = state.pendingInputs.filter(input => input.requestId !== requestId)
    }
  }
}

/** Ends a run and removes its open questions. */
function endRun(state: SessionState, epoch: number, type: TerminalType, runId: string | undefined): void {
  const run = state.runs.find(run => run.runId === runId)
  if (run) {
    run.status = type.slice('run.'.length) as RunState['status']
    run.endOffset = formatOffset(epoch, state.seq)
  }
  state.pendingInputs = state.pendingInputs.filter(input => input.runId !== runId)
  const ended = state.runs.filter(run => run.endOffset !== undefined)
  if (ended.length > ENDED_RUNS) state.runs.splice(state.runs.indexOf(ended[0] as RunState), 1)
}
