/** A session's state: a fold over its log. */
import type { LogEvent } from '../log/event.ts'
import { formatOffset, type TerminalType, type TwinrailEvent } from '../protocol/index.ts'

export interface RunState {
  runId: string
  agent: string
  status: 'running' | 'completed' | 'failed' | 'cancelled'
  /** ms since 1970. */
  startedAt: number
  startOffset: string
  endOffset?: string
}

/** A question that waits for its answer: the `data` of its `input.requested`, and where that stands. */
export interface PendingInput {
  offset: string
  runId: string | undefined
  requestId: string
  schema?: Record<string, unknown> | boolean
  expiresAt?: number
}

export interface SessionState {
  /** Number of the last event folded in. */
  seq: number
  /** All open runs and the last {@link ENDED_RUNS} ended ones, by their start. */
  runs: RunState[]
  pendingInputs: PendingInput[]
}

/** Ended runs that a session's state remembers. */
export const ENDED_RUNS = 100

export function emptyState(): SessionState {
  return { seq: 0, runs: [], pendingInputs: [] }
}

/** Folds one event in. Only runs and inputs matter, so most events are never parsed. */
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

/** A terminal closes its run's open questions too. */
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
