/** The load process of `soak`: producers that work at fixed rates, and subscribers. */
import { setTimeout as sleep } from 'node:timers/promises'
import { dialTwinrail } from '../peers/dial-twinrail.ts'
import { pick, seeded } from '../random.ts'
import { serveWorker } from '../serve.ts'
import { deltas, take } from '../text.ts'
import { RawStream } from './raw-stream.ts'
import { SoakSubscribers, type Subscribed } from './soak-subscribers.ts'

/** Interval of each kind of work, ms. */
const EVERY = { ingest: 20, run: 100, deletion: 500 }

/** Events of one request. */
const BATCH = 20

/** Input of each run. One in three is cancelled; one in three ends when it has no viewers. */
const RUN = { count: 30, rate: 100 }

/** When a run is cancelled after its start, ms. */
const CANCEL_MS = 100

/** Longest wait for the end of the runs, ms. */
const ENDING_MS = 30_000

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

interface State {
  runs: { status: string; runId: string }[]
}

const bodies = deltas(1)
const pending = new Set<Promise<void>>()
let produced: Produced
const timers: NodeJS.Timeout[] = []
let subscribers: SoakSubscribers
let base = ''
let port = 0
let sessions: readonly string[] = []
let random: () => number
let number = 0

/** @param alsoFine a status that is no failure, besides 2xx */
async function request(method: string, path: string, body?: unknown, alsoFine?: number): Promise<string> {
  const json = body !== undefined && {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }
  const response = await fetch(`${base}${path && '/'}${path}`, { method, ...json })
  const text = await response.text()
  if (response.ok || response.status === alsoFine) return text
  throw new Error(`${method} ${path}: ${response.status} ${text}`)
}

async function ingest(sessionId: string): Promise<void> {
  const events = take(bodies, BATCH).map(({ type, data }) => ({ type, data }))
  await request('POST', `${sessionId}/events`, events)
  produced.ingested += BATCH
}

async function run(sessionId: string): Promise<void> {
  const runId = `run-${number++}`
  const fate = random()
  const command = { type: 'run.start', id: '1', runId, agent: 'playback', input: RUN }
  const onNoViewers = fate > 2 / 3 ? { cancelAfterMs: CANCEL_MS } : 'continue'
  await request('POST', `${sessionId}/commands`, { ...command, onNoViewers })
  produced.runs++
  if (fate > 1 / 3) return
  await sleep(CANCEL_MS)
  await request('POST', `${sessionId}/commands`, { type: 'run.cancel', id: '1', runId }, 409)
  produced.cancelled++
}

/** Creates a session, follows it, starts a run in it, and deletes it under both. */
async function createAndDelete(): Promise<void> {
  const sessionId = `deleted-${number++}`
  await ingest(sessionId)
  const dial = dialTwinrail('sse', port, {}, false, sessionId)
  let onClose = () => {}
  const closed = new Promise<void>(resolve => {
    onClose = resolve
  })
  const follower = new RawStream({ dial, onBody() {}, onClose })
  await follower.ready
  await run(sessionId)
  await request('DELETE', sessionId)
  await closed
  produced.deleted++
}

function repeat(everyMs: number, work: () => Promise<void>): void {
  const start = () => {
    const running = work()
      .catch(error => void produced.failures.push((error as Error).message))
      .finally(() => pending.delete(running))
    pending.add(running)
  }
  timers.push(setInterval(start, everyMs))
}

export const handlers = {
  /** Creates the sessions and starts producers and subscribers. */
  async begin(serverPort: number, ids: readonly string[], clients: number, seed: number): Promise<void> {
    port = serverPort
    base = `http://127.0.0.1:${port}/v1/sessions`
    sessions = ids
    random = seeded(seed)
    produced = { ingested: 0, runs: 0, cancelled: 0, deleted: 0, failures: [] }
    for (const sessionId of sessions) await request('POST', '', { sessionId })
    repeat(EVERY.ingest, () => ingest(pick(sessions, random)))
    repeat(EVERY.run, () => run(pick(sessions, random)))
    repeat(EVERY.deletion, createAndDelete)
    subscribers = new SoakSubscribers(port, sessions, clients, seeded(seed + 1))
  },

  /** Stops both, waits until the runs have ended, and deletes the sessions. @returns also the number of runs by status */
  async end(): Promise<{ produced: Produced; subscribed: Subscribed; runs: Record<string, number> }> {
    for (const timer of timers.splice(0)) clearInterval(timer)
    while (pending.size > 0) await Promise.all(pending)
    const runs: Record<string, number> = {}
    for (const sessionId of sessions) {
      for (const { status } of await endedRuns(sessionId)) runs[status] = (runs[status] ?? 0) + 1
    }
    const subscribed = await subscribers.end()
    for (const sessionId of sessions) await request('DELETE', sessionId)
    return { produced, subscribed, runs }
  },
}

/** The session's runs once all have ended, or as they are after the longest wait. */
async function endedRuns(sessionId: string): Promise<State['runs']> {
  for (const until = performance.now() + ENDING_MS; ; ) {
    const { runs } = JSON.parse(await request('GET', sessionId)) as State
    if (runs.every(({ status }) => status !== 'running') || performance.now() > until) return runs
    await sleep(50)
  }
}

serveWorker(handlers)
