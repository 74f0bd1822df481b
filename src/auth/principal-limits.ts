/** What one principal may do at a time, so that it leaves room for others. */
import { TwinrailError } from '../protocol/index.ts'

/** Bounds for each principal, on each node. Servers where everybody may do everything have none. */
export interface PrincipalLimits {
  /**
   * Commands, tickets, and sessions created, updated, deleted or listed, per second in the long run. Ingest does not
   * count. @default 100
   */
  commandsPerSecond: number
  /** How many of these may come at once after a pause. @default 500 */
  commandBurst: number
  /** Open WebSockets. @default 200 */
  sockets: number
  /** Open event streams, subscriptions of WebSockets, and waiting long-polls. @default 2000 */
  subscriptions: number
}

export const principalDefaults: PrincipalLimits = {
  commandsPerSecond: 100,
  commandBurst: 500,
  sockets: 200,
  subscriptions: 2000,
}

/** The wait of a principal that has too much open, in ms. */
const RETRY_MS = 1000

/** Number of principals at which those that have paused long enough are forgotten. */
const SWEEP_AT = 10_000

interface Bucket {
  /** Commands that may come at once. */
  left: number
  /** When `left` was counted, in ms. */
  at: number
}

/** Counts what each principal does and has open. */
export class PrincipalUse {
  readonly #limits: PrincipalLimits
  readonly #buckets = new Map<string, Bucket>()
  readonly #open = { sockets: new Map<string, number>(), subscriptions: new Map<string, number>() }
  readonly #clock: () => number
  #sweepAt = SWEEP_AT

  /** @param clock monotonic, in ms */
  constructor(limits: PrincipalLimits, clock: () => number = () => performance.now()) {
    this.#limits = limits
    this.#clock = clock
  }

  /** Counts a command. @throws TwinrailError `rate-limited` */
  command(principal: string): void {
    const { commandsPerSecond, commandBurst } = this.#limits
    const now = this.#clock()
    const { left, at } = this.#buckets.get(principal) ?? { left: commandBurst, at: now }
    const filled = Math.min(commandBurst, left + ((now - at) / 1000) * commandsPerSecond)
    if (filled < 1) {
      throw new TwinrailError(
        'rate-limited',
        `this principal may send ${commandsPerSecond} commands per second`,
        {
          retryAfterMs: Math.ceil(((1 - filled) / commandsPerSecond) * 1000),
        },
      )
    }
    this.#buckets.set(principal, { left: filled - 1, at: now })
    if (this.#buckets.size >= this.#sweepAt) this.#sweep(now)
  }

  /**
   * Counts something that is open until the returned function is called.
   * @throws TwinrailError `rate-limited` when the principal has as many open as it may
   */
  open(kind: 'sockets' | 'subscriptions', principal: string): () => void {
    const counts = this.#open[kind]
    const most = this.#limits[kind]
    const count = counts.get(principal) ?? 0
    if (count >= most) {
      throw new TwinrailError('rate-limited', `this principal may have ${most} ${kind} open; close some`, {
        retryAfterMs: RETRY_MS,
      })
    }
    counts.set(principal, count + 1)
    let closed = false
    return () => {
      if (closed) return
      closed = true
      const left = (counts.get(principal) ?? 1) - 1
      if (left > 0) counts.set(principal, left)
      else counts.delete(principal)
    }
  }

  /** Forgets the principals whose buckets are full again. */
  #sweep(now: number): void {
    const { commandsPerSecond, commandBurst } = this.#limits
    const fillMs = (commandBurst / commandsPerSecond) * 1000
    for (const [principal, { at }] of this.#buckets) if (now - at >= fillMs) this.#buckets.delete(principal)
    this.#sweepAt = Math.max(SWEEP_AT, this.#buckets.size * 2)
  }
}
