/** What a workload is: its sessions, clients and events, and the script that all its processes play from. */
import { type ScenarioName, scenarioNames } from '../package/guide.ts'
import type { Content, Cue } from './trace.ts'

/** One workload for each of the guide's scenarios. */
export const workloadNames = scenarioNames
export type WorkloadName = ScenarioName

export interface Workload {
  readonly name: WorkloadName | 'idle'
  /** What is sent to which clients, in a sentence. */
  readonly about: string
  readonly sessions: number
  /** Clients of each session; with `followsAll` all clients, each of which follows every session. */
  readonly clients: number
  readonly followsAll?: boolean
  content(seed: number): Content
  /** Which of the session's clients sends an event, from 0 on. @default none: the server's side publishes it */
  sender?(cue: Cue): number | undefined
  /** The command that a client sends for an event. @default `publish` */
  command?(cue: Cue): object
  /** A real agent plays the cues; clients answer an event only once they have it. */
  readonly agent?: boolean
  /** Interval at which each client is cut and reconnects, ms. @default never */
  readonly reconnectsEveryMs?: number
}

/** A cue and its place in a phase. */
export interface Step {
  /** ms since the phase began. */
  readonly atMs: number
  readonly session: number
  /** Count of the session's logged cues up to this one, over all phases; an ephemeral cue has that of the last logged one. */
  readonly number: number
  /** Index of the client that sends it; undefined: the server's side. */
  readonly sender: number | undefined
  readonly cue: Cue
}

export const sessionId = (prefix: string, session: number) => `${prefix}-${session}`

/** The sessions that a client follows. */
export function sessionsOf({ sessions, clients, followsAll }: Workload, client: number): number[] {
  return followsAll ? Array.from({ length: sessions }, (_, i) => i) : [Math.floor(client / clients)]
}

/** All clients of all sessions. */
export const clientCount = ({ sessions, clients, followsAll }: Workload) =>
  followsAll ? clients : sessions * clients

/** The sessions' beginnings are spread over this time, ms, so that those with a tick do not send all at once. */
const SPREAD_MS = 100

interface Part {
  readonly content: Content
  readonly shiftMs: number
  held: Cue | undefined
  logged: number
}

/**
 * The contents of all sessions as a sequence of phases. Each process makes its own script from the same seed and takes the
 * same phases, so that no content has to be transferred.
 */
export class Script {
  readonly #workload: Workload
  readonly #parts: readonly Part[]
  #atMs = 0

  constructor(workload: Workload, seed: number) {
    this.#workload = workload
    this.#parts = Array.from({ length: workload.sessions }, (_, session) => ({
      content: workload.content(seed * 1000 + session),
      shiftMs: (session / workload.sessions) * SPREAD_MS,
      held: undefined,
      logged: 0,
    }))
  }

  /** The steps of the next `ms` in order; with `speed`, that many times as many in the same time. */
  next(ms: number, speed = 1): Step[] {
    const from = this.#atMs
    this.#atMs += ms * speed
    const steps: Step[] = []
    for (const [session, part] of this.#parts.entries()) {
      for (;;) {
        part.held ??= part.content.next().value
        const atMs = part.held.atMs + part.shiftMs
        if (atMs >= this.#atMs) break
        const cue = part.held
        part.held = undefined
        if (!cue.ephemeral) part.logged++
        const sender = this.#workload.sender?.(cue)
        steps.push({
          atMs: Math.max(0, atMs - from) / speed,
          session,
          number: part.logged,
          sender: sender === undefined ? undefined : session * this.#workload.clients + sender,
          cue,
        })
      }
    }
    return steps.sort((a, b) => a.atMs - b.atMs)
  }
}
