/** The load process of `soak`: producers and subscribers. */
import { seeded } from '../random.ts'
import { serveWorker } from '../serve.ts'
import { type Produced, SoakProducers } from './soak-producers.ts'
import { SoakSubscribers, type Subscribed } from './soak-subscribers.ts'

let producers: SoakProducers | undefined
let subscribers: SoakSubscribers | undefined
let opened = { port: 0, sessions: [] as readonly string[] }

interface State {
  runs: { status: string; runId: string }[]
}

export const handlers = {
  /** Creates the sessions and starts producers and subscribers. */
  async begin(port: number, sessions: readonly string[], clients: number, seed: number): Promise<void> {
    opened = { port, sessions }
    for (const sessionId of sessions) {
      await fetch(`http://127.0.0.1:${port}/v1/sessions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ sessionId }),
      })
    }
    producers = new SoakProducers(port, sessions, seeded(seed))
    subscribers = new SoakSubscribers(port, sessions, clients, seeded(seed + 1))
  },

  /** Stops both, waits until the runs have ended, and deletes the sessions. */
  async end(): Promise<{ produced: Produced; subscribed: Subscribed; runs: Record<string, number> }> {
    const { port, sessions } = opened
    const produced = (await producers?.end()) as Produced
    const runs: Record<string, number> = {}
    for (const sessionId of sessions) {
      const url = `http://127.0.0.1:${port}/v1/sessions/${sessionId}`
      for (const { status } of await ended(url)) runs[status] = (runs[status] ?? 0) + 1
    }
    const subscribed = (await subscribers?.end()) as Subscribed
    for (const sessionId of sessions) {
      await fetch(`http://127.0.0.1:${port}/v1/sessions/${sessionId}`, { method: 'DELETE' })
    }
    return { produced, subscribed, runs }
  },
}

/** Longest wait for the end of a run, ms. */
const ENDING_MS = 10_000

/** The session's runs once all have ended, or as they are after the longest wait. */
async function ended(url: string): Promise<State['runs']> {
  for (const until = performance.now() + ENDING_MS; ; ) {
    const { runs } = (await (await fetch(url)).json()) as State
    if (runs.every(({ status }) => status !== 'running') || performance.now() > until) return runs
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

serveWorker(handlers)
