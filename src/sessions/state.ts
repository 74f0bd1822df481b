/** The state of a session, computed from its events: runs and open questions. */
import type { LogEvent } from '../log/event.ts'
import type { TerminalType, TwinrailEvent } from '../protocol/index.ts'

export interface RunState {
  readonly runId: string
  readonly agent: string
  readonly status: 'running' | 'completed' | 'failed' | 'cancelled'
  /** In ms since 1970. */
  readonly startedAt: number
  readonly startOffset: string
  readonly endOffset?: string
}

/** A question without an answer: the `data` of its `input.requested`, with its offset and run. */
export interface PendingInput {
  readonly offset: string
  readonly runId: string | undefined
  readonly requestId: string
  readonly kind: 'approval' | 'question' | 'tool'
  readonly message: string
  readonly toolCallId?: string
  readonly schema?: Record<string, unknown> | boolean
  readonly expiresAt?: number
}

/** The state as a snapshot has it, and as it is told. It never changes. */
export interface SessionState {
  /** Number of the last event that is included. */
  readonly seq: number
  /** All open runs and the last {@link ENDED_RUNS} ended ones, in the order of their starts. */
  readonly runs: readonly RunState[]
  readonly pendingInputs: readonly PendingInput[]
}

/** Maximum number of ended runs in a session's state. */
export const ENDED_RUNS = 100

/** Bytes of memory that a run's state is counted with. */
const RUN_BYTES = 512

/** A state that is updated with one event after the other. Entries are replaced, never changed, so copies share them. */
export class FoldedState {
  #seq: number
  readonly #runs: Map<string, RunState>
  readonly #inputs: Map<string, PendingInput>
  #ended: number
  #inputBytes = 0

  /** @param from a snapshot to go on from. @default the state of a session without events */
  constructor(from: SessionState = { seq: 0, runs: [], pendingInputs: [] }) {
    this.#seq = from.seq
    this.#runs = new Map(from.runs.map(run => [run.runId, run]))
    this.#inputs = new Map()
    for (const input of from.pendingInputs) this.#ask(input)
    this.#ended = from.runs.filter(run => run.endOffset !== undefined).length
  }

  /** Number of the last event that is included. */
  get seq(): number {
    return this.#seq
  }

  /** Memory that the state takes, in bytes, by rough measure. */
  get bytes(): number {
    return this.#inputBytes + this.#runs.size * RUN_BYTES
  }

  /** A question that waits for its answer; `undefined` when there is none of that id. */
  pendingInput(requestId: string): PendingInput | undefined {
    return this.#inputs.get(requestId)
  }

  /** The state as of now. */
  snapshot(): SessionState {
    return { seq: this.#seq, runs: [...this.#runs.values()], pendingInputs: [...this.#inputs.values()] }
  }

  /** Includes the next event. Only `run.*` and `input.*` events are parsed. */
  add(event: LogEvent): void {
    this.#seq = event.seq
    if (event.type.startsWith('run.') || event.type.startsWith('input.')) this.#apply(event.event)
  }

  #apply(event: TwinrailEvent): void {
    const { runId, offset } = event
    switch (event.type) {
      case 'run.started':
        if (runId === undefined) return
        this.#runs.set(runId, {
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
        return this.#end(event.type, runId, offset)
      case 'input.requested':
        return this.#ask({ ...event.data, offset, runId } as PendingInput)
      case 'input.answered':
      case 'input.expired':
        return this.#settle(event.data.requestId)
    }
  }

  #ask(input: PendingInput): void {
    this.#inputs.set(input.requestId, input)
    this.#inputBytes += bytesOf(input)
  }

  #settle(requestId: string): void {
    const input = this.#inputs.get(requestId)
    if (!input) return
    this.#inputs.delete(requestId)
    this.#inputBytes -= bytesOf(input)
  }

  /** Ends a run and removes its open questions. */
  #end(type: TerminalType, runId: string | undefined, endOffset: string): void {
    for (const input of this.#inputs.values()) if (input.runId === runId) this.#settle(input.requestId)
    const run = runId === undefined ? undefined : this.#runs.get(runId)
    if (!run) return
    if (run.endOffset === undefined) this.#ended++
    const status = type.slice('run.'.length) as RunState['status']
    this.#runs.set(run.runId, { ...run, status, endOffset })
    if (this.#ended <= ENDED_RUNS) return
    for (const { runId, endOffset } of this.#runs.values()) {
      if (endOffset === undefined) continue
      this.#runs.delete(runId)
      this.#ended--
      return
    }
  }
}

/** Two bytes for each unit of the JSON. */
function bytesOf(input: PendingInput): number {
  return JSON.stringify(input).length * 2
}
