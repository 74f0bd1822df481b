/** The load's process in `soak`. */
import { seeded } from '../random.ts'
import { serveWorker } from '../serve.ts'
import { Doings, type Done } from './doings.ts'
import { Visitors, type Visits } from './visitors.ts'

let doings: Doings | undefined
let visitors: Visitors | undefined
let opened = { port: 0, sessions: [] as readonly string[] }

interface State {
  runs: { status: string; runId: string }[]
}

export const handlers = {
  /** Makes the sessions and lets everything begin. */
  async begin(port: number, sessions: readonly string[], clients: number, seed: number): Promise<void> {
    opened = { port, sessions }
    for (const sessionId of sessions) {
      await fetch(`http://127.0.0.1:${port}/v1/sessions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ sessionId }),
      })
    }
    doings = new Doings(port, sessions, seeded(seed))
    visitors = new Visitors(port, sessions, clients, seeded(seed + 1))
  },

  /** Lets everything end, waits for the runs, and deletes the sessions. */
  async end(): Promise<{ done: Done; visits: Visits; runs: Record<string, number> }> {
    const { port, sessions } = opened
    const done = (await doings?.end()) as Done
    const runs: Record<string, number> = {}
    for (const sessionId of sessions) {
      const url = `http://127.0.0.1:${port}/v1/sessions/${sessionId}`
      for (const { status } of await ended(url)) runs[status] = (runs[status] ?? 0) + 1
    }
    const visits = (await visitors?.end()) as Visits
    for (const sessionId of sessions) {
      await fetch(`http://127.0.0.1:${port}/v1/sessions/${sessionId}`, { method: 'DELETE' })
    }
    return { done, visits, runs }
  },
}

/** How long a run may take to end, in ms. */
const ENDING_MS = 10_000

/** The session's runs once all of them have ended, or as they are when they do not. */
async function ended(url: string): Promise<State['runs']> {
  for (const until = performance.now() + ENDING_MS; ; ) {
    const { runs } = (await (await fetch(url)).json()) as State
    if (runs.every(({ status }) => status !== 'running') || performance.now() > until) return runs
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

serveWorker(handlers)
