/**
 * A run's way into the log: its events in order, one call at a time. What the agent yields while a call is under way goes
 * together in the next one, so a run is not bound by the time that one commit takes.
 */
import type { Bus } from '../bus/bus.ts'
import type { Body, Journal } from '../bus/journal.ts'
import { keys } from '../log/keys.ts'
import type { AppendConditions, Appended, Lease } from '../log/log.ts'

/** The run has its terminal, or this process holds it no more. Unwinds a run; nobody outside sees it. */
export class RunOver extends Error {}

/** How far an agent may be ahead of the log, beside the call under way: so many events … */
const AHEAD_EVENTS = 64

/** … and UTF-16 units of their JSON, unless one event alone is larger. */
const AHEAD_SIZE = 256 * 1024

export interface RunLogParts {
  readonly journal: Journal
  readonly bus: Bus
  readonly sessionId: string
  readonly runId: string
  readonly epoch: number
  readonly lease: Lease
  /** Nothing more is appended. Called once, unless it was stopped before. */
  onFailed(error: unknown): void
}

/** One call of the log's `append`, yet to be made. */
interface Call {
  readonly texts: string[]
  size: number
  /** For calls whose outcome somebody waits for. */
  readonly waiting?: {
    readonly conditions: AppendConditions
    resolve(appended: Appended): void
    reject(error: unknown): void
  }
}

export class RunLog {
  readonly #parts: RunLogParts
  #calls: Call[] = []
  #working: Promise<void> | undefined
  #failed: { error: unknown } | undefined
  /** Lets the agent go on. */
  #makeRoom: (() => void) | undefined
  #stop: (error: unknown) => void = () => {}
  readonly #stopped: Promise<never>

  constructor(parts: RunLogParts) {
    this.#parts = parts
    this.#stopped = new Promise((_, reject) => {
      this.#stop = reject
    })
    this.#stopped.catch(() => {})
  }

  /**
   * Takes an event that goes in after all before it. Gives what the agent must wait for when it is too far ahead.
   * @throws TwinrailError `too-large`; what ended the appending before
   */
  add(body: Body): Promise<void> | undefined {
    if (this.#failed) throw this.#failed.error
    const text = this.#encode(body)
    let last = this.#calls.at(-1)
    if (!last || last.waiting || last.size + text.length > AHEAD_SIZE) {
      last = { texts: [], size: 0 }
      this.#calls.push(last)
    }
    last.texts.push(text)
    last.size += text.length
    this.#work()
    if (this.#hasRoom()) return undefined
    return new Promise(resolve => {
      this.#makeRoom = resolve
    })
  }

  /** Appends after all before it, under further conditions. @throws RunOver */
  async append(bodies: readonly Body[], conditions: AppendConditions = {}): Promise<Appended> {
    if (this.#failed) throw this.#failed.error
    const texts = bodies.map(body => this.#encode(body))
    return new Promise((resolve, reject) => {
      this.#calls.push({ texts, size: 0, waiting: { conditions, resolve, reject } })
      this.#work()
    })
  }

  /** Appends at once, ahead of what waits: for a terminal that cuts the run short. */
  appendNow(body: Body, conditions: AppendConditions): Promise<Appended> {
    return this.#write([this.#encode(body)], conditions)
  }

  /** Resolves when everything is in the log. @throws what ended the appending before */
  async settled(): Promise<void> {
    while (this.#working && !this.#failed) await Promise.race([this.#working, this.#stopped])
    if (this.#failed) throw this.#failed.error
  }

  /** Appends nothing more; who waits is told why. */
  stop(error: unknown): void {
    if (this.#failed) return
    this.#failed = { error }
    this.#stop(error)
    for (const { waiting } of this.#calls.splice(0)) waiting?.reject(error)
    this.#makeRoom?.()
  }

  #encode(body: Body): string {
    return this.#parts.journal.encode(this.#parts.sessionId, body)
  }

  #hasRoom(): boolean {
    let [events, size] = [0, 0]
    for (const call of this.#calls) {
      events += call.texts.length
      size += call.size
    }
    return events < AHEAD_EVENTS && size < AHEAD_SIZE
  }

  #work(): void {
    this.#working ??= (async () => {
      try {
        for (let call = this.#calls[0]; call; call = this.#calls[0]) await this.#make(call)
      } finally {
        this.#working = undefined
      }
    })()
  }

  /** Makes one call. Never rejects. */
  async #make(call: Call): Promise<void> {
    const { bus, sessionId } = this.#parts
    const { waiting } = call
    try {
      // Slow subscribers hold up what an agent says, never what it asks.
      const held = waiting ? undefined : bus.admitted(sessionId)
      if (held) await held
      if (this.#failed) return
      this.#calls.shift()
      if (this.#hasRoom()) this.#makeRoom?.()
      const appended = await this.#write(call.texts, waiting?.conditions)
      // Whether a question may be asked is its run's to judge; any other refusal is the run's end.
      if (!appended.accepted && !(appended.reason === 'key' && appended.key.startsWith('input:'))) {
        throw new RunOver('the run has ended')
      }
      waiting?.resolve(appended)
    } catch (error) {
      waiting?.reject(error)
      if (!waiting || error instanceof RunOver) this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    if (this.#failed) return
    this.stop(error)
    this.#parts.onFailed(error)
  }

  /** Appends if the run has no terminal yet and this process still holds its lease. */
  #write(texts: readonly string[], conditions: AppendConditions = {}): Promise<Appended> {
    const { journal, sessionId, runId, epoch, lease } = this.#parts
    return journal.appendTexts(sessionId, texts, {
      ...conditions,
      // Last: no caller's condition may replace the ones that keep a run's end and its lease.
      epoch,
      absent: [keys.end(runId)],
      leases: [lease],
    })
  }
}
