/** Measures runs for metrics: how they end, and when their events come. */
import type { Growth, Journal } from '../bus/journal.ts'
import { keys, partsOf } from '../log/keys.ts'
import type { EndNote, RunNote } from './key-notes.ts'

export const outcomes = ['completed', 'failed', 'cancelled'] as const
export type Outcome = (typeof outcomes)[number]

/** A run whose holder is gone goes on in this process, waits for another worker, or was failed. */
export const takeovers = ['resumed', 'queued', 'failed'] as const
export type Takeover = (typeof takeovers)[number]

/** What is told of runs. Called on hot paths: be quick, never throw. */
export interface RunObserver {
  /** This process has appended the terminal event of a run. */
  ended(agent: string, outcome: Outcome): void
  /** The first event of a run after its start, so many ms after it. */
  first(agent: string, ms: number): void
  /** Further events of a run, so many ms after those before. */
  gap(agent: string, ms: number): void
  takenOver(how: Takeover): void
}

export const noopRunObserver: RunObserver = { ended() {}, first() {}, gap() {}, takenOver() {} }

/** Runs whose times are measured at once; the oldest is given up for a further one. */
const MEASURED = 10_000

interface Measured {
  readonly label: string
  readonly startedAt: number
  /** When its last events came. */
  lastAt?: number
}

/**
 * Measures the runs that were started by this process, be they executed here, by a worker or by a producer. All times are
 * those of the append, so events that are appended together have no gap between them.
 */
export class RunMeter {
  readonly #journal: Journal
  readonly #observer: RunObserver
  readonly #labelOf: (agent: string) => string
  readonly #runs = new Map<string, Measured>()
  /** Runs that have ended: a producer may send its last events again. */
  readonly #over = new Set<string>()

  /** @param labelOf the name of an agent in metrics */
  constructor(journal: Journal, observer: RunObserver, labelOf: (agent: string) => string) {
    this.#journal = journal
    this.#observer = observer
    this.#labelOf = labelOf
  }

  appended({ sessionId, taken, runs }: Growth): void {
    for (const runId of runs) this.#events(keyOf(sessionId, runId))
    for (const { key, note } of taken) {
      const [kind, runId = ''] = partsOf(key)
      if (kind === 'run') this.#started(keyOf(sessionId, runId), note as RunNote | undefined)
      else if (kind === 'end') this.#ended(sessionId, runId, note as EndNote | undefined)
    }
  }

  /** A run that a program appended itself may have no note. */
  #started(key: string, note: RunNote | undefined): void {
    if (this.#over.has(key)) return
    this.#runs.set(key, { label: this.#labelOf(note?.agent ?? ''), startedAt: performance.now() })
    if (this.#runs.size > MEASURED) this.#runs.delete(this.#runs.keys().next().value as string)
  }

  #events(key: string): void {
    const run = this.#runs.get(key)
    if (!run) return
    const now = performance.now()
    if (run.lastAt === undefined) this.#observer.first(run.label, now - run.startedAt)
    else this.#observer.gap(run.label, now - run.lastAt)
    run.lastAt = now
  }

  #ended(sessionId: string, runId: string, note: EndNote | undefined): void {
    if (!note) return
    const outcome = note.type.slice('run.'.length) as Outcome
    const key = keyOf(sessionId, runId)
    const run = this.#runs.get(key)
    this.#runs.delete(key)
    if (this.#over.has(key)) return
    this.#over.add(key)
    if (this.#over.size > MEASURED) this.#over.delete(this.#over.keys().next().value as string)
    if (run) this.#observer.ended(run.label, outcome)
    // Another process has started it.
    else void this.#labelIn(sessionId, runId).then(label => this.#observer.ended(label, outcome))
  }

  async #labelIn(sessionId: string, runId: string): Promise<string> {
    const [entry] = await this.#journal.lookup(sessionId, [keys.run(runId)]).catch(() => [])
    return this.#labelOf((entry?.note as RunNote | undefined)?.agent ?? '')
  }
}

/** Ids contain no spaces. */
const keyOf = (sessionId: string, runId: string) => `${sessionId} ${runId}`
