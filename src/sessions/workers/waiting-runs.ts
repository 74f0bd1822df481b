/** Runs that wait for a worker with a free slot: those of this node, and those that other nodes offer. */
import { TwinrailError } from '../../protocol/index.ts'
import { type Cancel, startTimer } from '../../protocol/timers.ts'

/** Runs of one agent that may wait on one node. */
export const MAX_WAITING = 1000

/** Offers of other nodes that are remembered for one agent, and for how long, in ms. They are repeated meanwhile. */
const MAX_OFFERS = 100
const OFFER_MS = 3000

/** A run that waits. */
export interface WaitingRun {
  readonly agent: string
  readonly sessionId: string
  readonly runId: string
  readonly epoch: number
  /** Number of its `run.started`. */
  readonly startSeq: number
  /** Holder of its lease while it waits. */
  readonly token: string
  /** Whether a worker has begun it before. */
  readonly resumed: boolean
}

interface Own {
  readonly run: WaitingRun
  readonly stopWaiting: Cancel
}

/** Oldest first, by agent. */
export class WaitingRuns {
  readonly #own = new Map<string, Map<string, Own>>()
  readonly #offers = new Map<string, Map<string, { run: WaitingRun; until: number }>>()

  /** @throws TwinrailError `rate-limited` when as many runs of the agent wait as may */
  mustHaveRoom(agent: string): void {
    if ((this.#own.get(agent)?.size ?? 0) < MAX_WAITING) return
    throw new TwinrailError(
      'rate-limited',
      `${MAX_WAITING} runs of this agent wait for a worker; start more workers, or try again later`,
      { retryAfterMs: 1000, details: { limit: 'queued-runs' } },
    )
  }

  /** @param waitMs how long it may wait, in ms @param onOver called when it has waited so long; it waits no more then */
  add(run: WaitingRun, waitMs: number, onOver: () => void): void {
    this.remove(run)
    const stopWaiting = startTimer(waitMs, () => {
      this.remove(run)
      onOver()
    })
    const runs = this.#own.get(run.agent) ?? new Map<string, Own>()
    this.#own.set(run.agent, runs)
    runs.set(keyOf(run), { run, stopWaiting })
  }

  /** It waits no more: it has a worker, it has ended, or another node has it. */
  remove(run: Pick<WaitingRun, 'sessionId' | 'runId' | 'agent'>): void {
    const runs = this.#own.get(run.agent)
    runs?.get(keyOf(run))?.stopWaiting()
    runs?.delete(keyOf(run))
    if (runs?.size === 0) this.#own.delete(run.agent)
    const offers = this.#offers.get(run.agent)
    offers?.delete(keyOf(run))
    if (offers?.size === 0) this.#offers.delete(run.agent)
  }

  ended(sessionId: string, runId: string): void {
    for (const agent of this.#own.keys()) this.remove({ sessionId, runId, agent })
  }

  /** Another node has said that it waits there. */
  offer(run: WaitingRun): void {
    const offers = this.#offers.get(run.agent) ?? new Map<string, { run: WaitingRun; until: number }>()
    const isKnown = offers.has(keyOf(run))
    if (!isKnown && offers.size >= MAX_OFFERS) return
    offers.set(keyOf(run), { run, until: performance.now() + OFFER_MS })
    this.#offers.set(run.agent, offers)
  }

  /** Those of one agent, of this node first. */
  *of(agent: string): Generator<WaitingRun> {
    for (const { run } of this.#own.get(agent)?.values() ?? []) yield run
    const now = performance.now()
    for (const { run, until } of this.#offers.get(agent)?.values() ?? []) {
      if (until > now) yield run
      else this.remove(run)
    }
  }

  /** How many of this node wait. */
  get size(): number {
    let size = 0
    for (const runs of this.#own.values()) size += runs.size
    return size
  }

  hasOwn(agent: string): boolean {
    return this.#own.has(agent)
  }

  /** Those of this node, up to so many of each agent. */
  *own(ofEach = MAX_WAITING): Generator<WaitingRun> {
    for (const runs of this.#own.values()) {
      let left = ofEach
      for (const { run } of runs.values()) if (left-- > 0) yield run
    }
  }

  close(): void {
    for (const runs of this.#own.values()) for (const { stopWaiting } of runs.values()) stopWaiting()
    this.#own.clear()
    this.#offers.clear()
  }
}

/** Ids contain no spaces. */
const keyOf = ({ sessionId, runId }: Pick<WaitingRun, 'sessionId' | 'runId'>) => `${sessionId} ${runId}`
