/** What a workload is: who sends what to whom, and the script that all its processes play from. */
import { type ScenarioName, scenarioNames } from '../../src/guide/index.ts'
import type { Content, Cue } from '../content/content.ts'

/** Each of the guide's scenarios has its workload. */
export const workloadNames = scenarioNames
export type WorkloadName = ScenarioName

export interface Workload {
  readonly name: WorkloadName | 'idle'
  /** Who sends what to whom, in a sentence. */
  readonly about: string
  readonly sessions: number
  /** Clients that follow each session; with `followsAll` the number of clients, each of which follows all of them. */
  readonly clients: number
  readonly followsAll?: boolean
  content(seed: number, session: number): Content
  /** Which of the session's clients sends it, from 0 on. @default none: it is published on the server's side */
  sender?(cue: Cue): number | undefined
  /** The command that a client sends for it. @default `publish` */
  command?(cue: Cue): object
  /** An agent's run: what clients send depends on what came before it in the session, so they wait until they have that. */
  readonly agent?: boolean
  /** Every client is cut off and comes back so often. @default never, in ms */
  readonly returnsEveryMs?: number
}

/** A cue in its place in a phase. */
export interface Step {
  /** ms since the phase began. */
  readonly atMs: number
  readonly session: number
  /** Which of the session's logged cues it is, from 1 on over all phases; of an ephemeral one, the last logged one's. */
  readonly number: number
  /** Client that sends it, by its index among all; nobody: the server's side. */
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

/** Over how much time the sessions' beginnings are spread, ms: those with a tick would all send in one moment. */
const SPREAD_MS = 100

interface Part {
  readonly content: Content
  readonly shiftMs: number
  held: Cue | undefined
  logged: number
}

/**
 * The sessions' contents as one sequence of phases. Every process that plays one makes its own from the same seed and
 * takes the same phases, so that no content has to be handed around.
 */
export class Script {
  readonly #workload: Workload
  readonly #parts: readonly Part[]
  #atMs = 0

  constructor(workload: Workload, seed: number) {
    this.#workload = workload
    this.#parts = Array.from({ length: workload.sessions }, (_, session) => ({
      content: workload.content(seed * 1000 + session, session),
      shiftMs: (session / workload.sessions) * SPREAD_MS,
      held: undefined,
      logged: 0,
    }))
  }

  /** What is due in the next `ms`, in order; `speed` times as much, in the same time. */
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
