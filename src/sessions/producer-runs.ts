/**
 * The open runs that this node counts for their principals and does not execute: those that external producers have
 * opened here, and those of workers that were started here.
 */
import { type Cancel, startTimer } from '../protocol/timers.ts'
import { DueQueue } from './due-queue.ts'

interface ProducerRun {
  readonly sessionId: string
  readonly runId: string
  readonly close: () => void
  due: number
}

/**
 * Keeps each run counted until it ends. An end that another node appended is found by looking into the log at intervals.
 */
export class ProducerRuns {
  readonly #everyMs: number
  readonly #isOpen: (sessionId: string, runId: string) => Promise<boolean>
  readonly #runs = new Map<string, ProducerRun>()
  readonly #due = new DueQueue<ProducerRun>()
  #cancel: Cancel | undefined
  #closed = false

  /** @param everyMs how often the log is asked for each run @param isOpen asks it */
  constructor(everyMs: number, isOpen: (sessionId: string, runId: string) => Promise<boolean>) {
    this.#everyMs = everyMs
    this.#isOpen = isOpen
  }

  has(sessionId: string, runId: string): boolean {
    return this.#runs.has(idOf(sessionId, runId))
  }

  /** The run was opened. @param close is called once, when it is open no longer */
  add(sessionId: string, runId: string, close: () => void): void {
    this.ended(sessionId, runId)
    const run = { sessionId, runId, close, due: 0 }
    this.#runs.set(idOf(sessionId, runId), run)
    this.#wait(run)
  }

  ended(sessionId: string, runId: string): void {
    const run = this.#runs.get(idOf(sessionId, runId))
    if (!run) return
    this.#runs.delete(idOf(sessionId, runId))
    this.#due.remove(run)
    run.close()
  }

  close(): void {
    this.#closed = true
    this.#cancel?.()
    this.#runs.clear()
  }

  #wait(run: ProducerRun): void {
    run.due = performance.now() + this.#everyMs
    this.#due.add(run)
    this.#arm()
  }

  #arm(): void {
    const first = this.#due.first
    if (!first || this.#cancel || this.#closed) return
    const turn = () => {
      this.#cancel = undefined
      const now = performance.now()
      for (let next = this.#due.first; next && next.due <= now; next = this.#due.first) {
        this.#due.remove(next)
        void this.#look(next)
      }
      this.#arm()
    }
    this.#cancel = startTimer(Math.max(0, first.due - performance.now()), turn, { unref: true })
  }

  async #look(run: ProducerRun): Promise<void> {
    const { sessionId, runId } = run
    // While the log is away, the run counts as open.
    const isOpen = await this.#isOpen(sessionId, runId).catch(() => true)
    if (this.#closed || this.#runs.get(idOf(sessionId, runId)) !== run) return
    if (isOpen) this.#wait(run)
    else this.ended(sessionId, runId)
  }
}

/** Ids contain no spaces. */
const idOf = (sessionId: string, runId: string) => `${sessionId} ${runId}`
