/** The producers of `soak`, at fixed rates: they ingest events, start and cancel runs, and delete sessions. */
import { dialTwinrail } from '../peers/dial-twinrail.ts'
import { deltas } from '../text.ts'
import { RawStream } from './raw-stream.ts'

/** Interval of each, ms. */
const EVERY = { ingest: 20, run: 100, deletion: 500 }

/** Events of one request. */
const BATCH = 20

/** Input of each run. One in three is cancelled; one in three ends when it has no viewers. */
const RUN = { count: 30, rate: 100 }

/** When a run is cancelled after its start, in ms. */
const CANCEL_MS = 100

/** What the producers did. */
export interface Produced {
  ingested: number
  runs: number
  cancelled: number
  /** Sessions created, filled, followed and deleted. */
  deleted: number
  /** Messages of failed requests. */
  readonly failures: string[]
}

export class SoakProducers {
  readonly produced: Produced = { ingested: 0, runs: 0, cancelled: 0, deleted: 0, failures: [] }
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
      setInterval(() => this.#do(this.#createAndDelete()), EVERY.deletion),
    ]
  }

  /** Stops; resolves when everything under way is finished. */
  async end(): Promise<Produced> {
    for (const timer of this.#timers) clearInterval(timer)
    while (this.#pending.size > 0) await Promise.all(this.#pending)
    return this.produced
  }

  get #session(): string {
    return this.#sessions[Math.floor(this.#random() * this.#sessions.length)] as string
  }

  #do(work: Promise<void>): void {
    const watched = work
      .catch(error => void this.produced.failures.push((error as Error).message))
      .finally(() => this.#pending.delete(watched))
    this.#pending.add(watched)
  }

  async #ingest(sessionId: string, count: number): Promise<void> {
    const events = Array.from({ length: count }, () => {
      const { type, data } = this.#bodies.next().value
      return { type, data }
    })
    await this.#post(`sessions/${sessionId}/events`, events)
    this.produced.ingested += count
  }

  async #run(sessionId: string): Promise<void> {
    const runId = `run-${this.#number++}`
    const fate = this.#random()
    const command = { id: '1', runId, agent: 'playback', input: RUN }
    const onNoViewers = fate > 2 / 3 ? { cancelAfterMs: CANCEL_MS } : 'continue'
    await this.#post(`sessions/${sessionId}/commands`, { type: 'run.start', ...command, onNoViewers })
    this.produced.runs++
    if (fate > 1 / 3) return
    await new Promise(resolve => setTimeout(resolve, CANCEL_MS))
    await this.#post(`sessions/${sessionId}/commands`, { type: 'run.cancel', id: '1', runId }, [409])
    this.produced.cancelled++
  }

  /** Creates a session, follows it, starts a run in it, and deletes it under both. */
  async #createAndDelete(): Promise<void> {
    const sessionId = `deleted-${this.#number++}`
    await this.#ingest(sessionId, BATCH)
    const gone = new Promise<void>((resolve, reject) => {
      const dial = dialTwinrail('sse', this.#port, {}, false, sessionId)
      const follower = new RawStream({ dial, onBody() {}, onClose: resolve })
      follower.ready
        .then(() => this.#run(sessionId))
        .then(() => this.#delete(sessionId))
        .catch(reject)
    })
    await gone
    this.produced.deleted++
  }

  async #delete(sessionId: string): Promise<void> {
    const url = `http://127.0.0.1:${this.#port}/v1/sessions/${sessionId}`
    const { status } = await fetch(url, { method: 'DELETE' })
    if (status !== 204) throw new Error(`the session was not deleted: ${status}`)
  }

  /** @param alsoFine statuses that are no failure, besides 200 */
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
