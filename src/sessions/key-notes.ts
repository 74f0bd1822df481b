/** The notes that appends leave under a session's keys (`src/log/keys.ts`), for later commands to find. */
import type { OnNoViewers } from '../protocol/index.ts'

/** The note under `run:<runId>`. */
export interface RunNote {
  agent: string
  /** {@link digest} of the input: a repeated start is recognised without storing the input twice. */
  digest: string
  /** The principal that started the run. */
  by: string
  /** What happens when the run has no viewers. @default 'continue' */
  onNoViewers?: OnNoViewers
  /** Set for a run of a worker's agent. `resume`: another worker may go on with it. */
  work?: { resume: boolean }
  /** True for a run that an external producer opened by ingest. */
  external?: boolean
}

/** The note under `end:<runId>`: the type of the terminal event. */
export interface EndNote {
  type: string
}

/** The note under `answer:<requestId>`. */
export type AnswerNote = { by: string; value: unknown } | { expired: true }
