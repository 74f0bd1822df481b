/** How many runs and questions may be open in a session, as conditions of the appends that open them. */
import { keys, partsOf } from '../log/keys.ts'
import type { OnceKey, Opening } from '../log/log.ts'

/** Limits on what may be open in each session. */
export interface OpenLimits {
  /** Runs without a terminal event. @default 1000 */
  runs: number
  /** Questions without an answer, in all. @default 1000 */
  questions: number
  /** Questions without an answer of one run. @default 100 */
  questionsOfRun: number
  /** UTF-8 bytes of JSON of all questions without an answer. @default 4 MiB */
  questionBytes: number
}

export const openDefaults: OpenLimits = {
  runs: 1000,
  questions: 1000,
  questionsOfRun: 100,
  questionBytes: 4 * 1024 * 1024,
}

/** The names of the log's tallies. */
export const RUNS = 'runs'
export const QUESTIONS = 'questions'

/**
 * What an append opens. It is told by the keys that the append takes: each `run.started` and each `input.requested` takes
 * one, whoever makes it.
 * @param texts the events of the append
 */
export function openingsOf(
  once: readonly OnceKey[],
  texts: readonly string[],
  limits: OpenLimits,
): Opening[] {
  return once.flatMap(({ key, note, index = 0 }): Opening[] => {
    const [kind, id = ''] = partsOf(key)
    if (kind === 'run') return [{ tally: RUNS, index, until: [keys.end(id)], max: limits.runs }]
    if (kind !== 'input') return []
    const { runId } = (note ?? {}) as { runId?: string }
    const size = Buffer.byteLength(texts[index] ?? '')
    const opening = { tally: QUESTIONS, index, max: limits.questions, size, maxSize: limits.questionBytes }
    if (runId === undefined) return [{ ...opening, until: [keys.answer(id)] }]
    const until = [keys.answer(id), keys.end(runId)]
    return [{ ...opening, until, group: runId, maxInGroup: limits.questionsOfRun }]
  })
}

/** Whether an append that takes this key ends a run. */
export function endsRun({ key }: OnceKey): boolean {
  return partsOf(key)[0] === 'end'
}
