/**
 * Appends the events of one run, in order and with one call of the log at a time. Events that the agent yields during a
 * call are appended together by the next call, so the rate of a run is not limited by the latency of a commit.
 */
import type { Bus } from '../bus/bus.ts'
import type { Body, Journal } from '../bus/journal.ts'
import { keys } from '../log/keys.ts'
import type { AppendConditions, Appended, Lease } from '../log/log.ts'

/**
 * Thrown inside a run to unwind it once the run has its terminal event, or once this process has lost its lease. Never
 * reaches an agent or a user.
 */
export class RunStopped extends Error {}

/** Events that may be queued, without the call under way, before the agent has to wait. */
const MAX_QUEUED_EVENTS = 64

/** The same as UTF-16 units of the events' JSON. A single larger event is accepted. */
const MAX_QUEUED_CHARS = 256 * 1024

export interface RunLogParts {
  readonly journal: Journal
  readonly bus: Bus
  readonly sessionId: string
  readonly runId: string
  readonly epoch: number
  readonly lease: Lease
  /** Called once when an append was refused or failed, unless `stop` came first. Nothing is appended afterwards. */
  onFailed(error: unknown): void
}

/** What a caller may add to the conditions of each append of the run. */
type Further = Omit<AppendConditions, 'epoch' | 'absent' | 'leases'>

/** A queued call of the log's `append`. */
interface Call {
  readonly texts: string[]
  size: number
  /** Set for calls whose outcome a caller awaits. */
  readonly awaited?: {
    readonly conditions: Further
    resolve(appended: Appended): void
    reject(error: unknown): void
  }
}

/**
 * Whether the refusal is of a question, because its id is taken or too many are open. Its caller handles it; any other
 * refusal means that the run is over.
 */
function isOfQuestion(refused: Appended & { accepted: false }): boolean {
  return refused.reason === 'open' || (refused.reason === 'key' && refused.key.startsWith('input:'))
}

export class RunLog {
  readonly #parts: RunLogParts
  /** The run has no terminal event and this process still holds its lease. */
  readonly #conditions: AppendConditions
  #calls: Call[] = []
  #working: Promise<void> | undefined
  /** The latest call of the log. */
  #writing: Promise<unknown> | undefined
  #failed: { error: unknown } | undefined
  /** Resolves the promise of `add` that the agent awaits. */
  #makeRoom: (() => void) | undefined
  #stop: (error: unknown) => void = () => {}
  readonly #stopped: Promise<never>

  constructor(parts: RunLogParts) {
    this.#parts = parts
    const { epoch, runId, lease } = parts
    this.#conditions = { epoch, absent: [keys.end(runId)], leases: [lease] }
    this.#stopped = new Promise((_, reject) => {
      this.#stop = reject
    })
    this.#stopped.catch(() => {})
  }

  /**
   * Queues an event behind all earlier ones. Returns a promise when the queue is full: add nothing more before it
   * resolves.
   * @throws TwinrailError `too-large`; or the error that stopped this log
   */
  add(body: Body): Promise<void> | undefined {
    if (this.#failed) throw this.#failed.error
    const text = this.#encode(body)
    let last = this.#calls.at(-1)
    if (!last || last.awaited || last.size + text.length > MAX_QUEUED_CHARS) {
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

  /** Appends events behind all queued ones, under further conditions. @throws RunStopped; errors of the log */
  async append(bodies: readonly Body[], conditions: Further = {}): Promise<Appended> {
    if (this.#failed) throw this.#failed.error
    const texts = bodies.map(body => this.#encode(body))
    return new Promise((resolve, reject) => {
      this.#calls.push({ texts, size: 0, awaited: { conditions, resolve, reject } })
      this.#work()
    })
  }

  /** Appends at once, ahead of the queue. For a terminal event that cuts the run short. */
  appendNow(body: Body, conditions: Further): Promise<Appended> {
    return this.#write([this.#encode(body)], conditions)
  }

  /** Resolves when the queue is in the log. @throws the error that stopped this log */
  async settled(): Promise<void> {
    while (this.#working && !this.#failed) await Promise.race([this.#working, this.#stopped])
    if (this.#failed) throw this.#failed.error
  }

  /** Resolves when the latest call of the log is over, however it ended. */
  async idle(): Promise<void> {
    await this.#writing?.catch(() => {})
  }

  /** Drops the queue and refuses further events. Pending calls reject with `error`. */
  stop(error: unknown): void {
    if (this.#failed) return
    this.#failed = { error }
    this.#stop(error)
    for (const { awaited } of this.#calls.splice(0)) awaited?.reject(error)
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
    return events < MAX_QUEUED_EVENTS && size < MAX_QUEUED_CHARS
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
    const { awaited } = call
    try {
      // Slow subscribers delay the events of an agent, but never its questions.
      const held = awaited ? undefined : bus.admitted(sessionId)
      if (held) await held
      if (this.#failed) return
      this.#calls.shift()
      if (this.#hasRoom()) this.#makeRoom?.()
      const appended = await this.#write(call.texts, awaited?.conditions)
      if (!appended.accepted && !isOfQuestion(appended)) throw new RunStopped('the run has ended')
      awaited?.resolve(appended)
    } catch (error) {
      awaited?.reject(error)
      if (!awaited || error instanceof RunStopped) this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    if (this.#failed) return
    this.stop(error)
    this.#parts.onFailed(error)
  }

  /** Appends on condition that the run has no terminal event and this process still holds its lease. */
  #write(texts: readonly string[], further?: Further): Promise<Appended> {
    const { journal, sessionId } = this.#parts
    const conditions = further ? { ...this.#conditions, ...further } : this.#conditions
    const writing = journal.appendTexts(sessionId, texts, conditions)
    this.#writing = writing
    return writing
  }
}
