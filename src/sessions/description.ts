/** What is told of a session's state: as much as fits into an answer. */
import { PAGE_BYTES } from '../protocol/index.ts'
import type { PendingInput, RunState, SessionState } from './state.ts'

/** The response of `GET /v1/sessions/:sessionId`. At most {@link PAGE_BYTES} of JSON. */
export interface SessionDescription {
  sessionId: string
  metadata: Record<string, unknown>
  /** In ms since 1970. */
  createdAt: number
  /** When the session was created or last grew, in ms since 1970; up to a second too early. */
  activeAt: number
  head: string
  earliest: string
  /** Open runs and the last ended ones, in the order of their starts. */
  runs: readonly RunState[]
  /** Open questions, in the order in which they were asked. */
  pendingInputs: readonly PendingInput[]
  /** Set when some were left out: the oldest ended runs first, then the oldest questions, then the oldest open runs. */
  truncated?: true
}

/** The fields that need no bound. */
export type SessionBase = Omit<SessionDescription, 'runs' | 'pendingInputs' | 'truncated'>

/** The description of a session, without the runs and questions for which there is no room. */
export function describe(base: SessionBase, { runs, pendingInputs }: SessionState): SessionDescription {
  let room = PAGE_BYTES - sizeOf({ ...base, runs: [], pendingInputs: [], truncated: true })
  const kept = new Set<RunState | PendingInput>()
  let truncated = false
  for (const list of [runs.filter(isOpen), pendingInputs, runs.filter(run => !isOpen(run))]) {
    for (const one of list.toReversed()) {
      // And the comma.
      room -= sizeOf(one) + 1
      if (room < 0) {
        truncated = true
        break
      }
      kept.add(one)
    }
  }
  return {
    ...base,
    runs: runs.filter(run => kept.has(run)),
    pendingInputs: pendingInputs.filter(input => kept.has(input)),
    ...(truncated && { truncated }),
  }
}

const isOpen = ({ endOffset }: RunState) => endOffset === undefined

const sizeOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value))
