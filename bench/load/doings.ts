/** What goes on in the sessions of `soak`, at fixed rates: events come, runs begin and end, sessions are deleted. */
import { dialTwinrail } from '../peers/dial-twinrail.ts'
import { deltas } from '../text.ts'
import { Connection } from './connection.ts'

/** How often each happens, in ms. */
const EVERY = { ingest: 20, run: 100, passing: 500 }

/** Events of one ingest. */
const BATCH = 20

/** Runs of so many events at so many a second, one in three cancelled, one in three given up when nobody watches. */
const RUN = { count: 30, rate: 100 }

/** When a run is cancelled after its start, in ms. */
const CANCEL_MS = 100

/** What was done. */
export interface Done {
  ingested: number
  runs: number
  cancelled: number
  /** Sessions made, filled, followed and deleted. */
  passed: number
  /** What was refused, in words. */
  readonly failures: string[]
}

export class Doings {
  readonly done: Done = { ingested: 0, runs: 0, cancelled: 0, passed: 0, failures: [] }
  readonly #port: number
  readonly #sessions: readonly string[]
  readonly #random: () => number
  readonly #bodies = deltas(1)
  readonly #timers: NodeJS.Timeout[]
  readonly #pending = new Set<Promise<void>>()
  #number = 0

  constructor(port: number, sessions: readonly string[], random: () => number) {
    this.#port = port
    this.#sessions = sessions
    this.#random = random
    this.#timers = [
      setInterval(() => this.#do(this.#ingest(this.#session, BATCH)), EVERY.ingest),
      setInterval(() => this.#do(this.#run(this.#session)), EVERY.run),
      setInterval(() => this.#do(this.#pass()), EVERY.passing),
    ]
  }

  /** Nothing new begins; resolves when what was begun is done. */
  async end(): Promise<Done> {
    for (const timer of this.#timers) clearInterval(timer)
    while (this.#pending.size > 0) await Promise.all(this.#pending)
    return this.done
  }

  get #session(): string {
    return this.#sessions[Math.floor(this.#random() * this.#sessions.length)] as string
  }

  #do(work: Promise<void>): void {
    const watched = work
      .catch(error => void this.done.failures.push((error as Error).message))
      .finally(() => this.#pending.delete(watched))
    this.#pending.add(watched)
  }

  async #ingest(sessionId: string, count: number): Promise<void> {
    const events = Array.from({ length: count }, () => {
      const { type, data } = this.#bodies.next().value
      return { type, data }
    })
    await this.#post(`sessions/${sessionId}/events`, events)
    this.done.ingested += count
  }

  async #run(sessionId: string): Promise<void> {
    const runId = `run-${this.#number++}`
    const fate = this.#random()
    const command = { id: '1', runId, agent: 'playback', input: RUN }
    const onNoViewers = fate > 2 / 3 ? { cancelAfterMs: CANCEL_MS } : 'continue'
    await this.#post(`sessions/${sessionId}/commands`, { type: 'run.start', ...command, onNoViewers })
    this.done.runs++
    if (fate > 1 / 3) return
    await new Promise(resolve => setTimeout(resolve, CANCEL_MS))
    await this.#post(`sessions/${sessionId}/commands`, { type: 'run.cancel', id: '1', runId }, [409])
    this.done.cancelled++
  }

  /** A session is made, somebody follows it, a run begins, and it is deleted under both. */
  async #pass(): Promise<void> {
    const sessionId = `passing-${this.#number++}`
    await this.#ingest(sessionId, BATCH)
    const gone = new Promise<void>((resolve, reject) => {
      const dial = dialTwinrail('sse', this.#port, {}, false, sessionId)
      const follower = new Connection({ dial, onBody() {}, onClose: resolve })
      follower.ready
        .then(() => this.#run(sessionId))
        .then(() => this.#delete(sessionId))
        .catch(reject)
    })
    await gone
    this.done.passed++
  }

  async #delete(sessionId: string): Promise<void> {
    const url = `http://127.0.0.1:${this.#port}/v1/sessions/${sessionId}`
    const { status } = await fetch(url, { method: 'DELETE' })
    if (status !== 204) throw new Error(`the session was not deleted: ${status}`)
  }

  /** @param alsoFine statuses that are no failure beside 200 */
  async #post(path: string, body: unknown, alsoFine: readonly number[] = []): Promise<void> {
    const response = await fetch(`http://127.0.0.1:${this.#port}/v1/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const text = await response.text()
    if (response.status !== 200 && !alsoFine.includes(response.status)) {
      throw new Error(`${path}: ${response.status} ${text}`)
    }
  }
}
