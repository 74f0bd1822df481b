/** Authorizes again what stays open: when its principal expires, at intervals, and when it is told to. */
import type { FastifyRequest } from 'fastify'
import { TwinrailError } from '../protocol/index.ts'
import { type Cancel, startTimer } from '../protocol/timers.ts'
import { DueQueue } from '../sessions/due-queue.ts'
import type { Principal } from '../sessions/principal.ts'
import type { Action } from './actions.ts'
import type { Target } from './revocations.ts'

/** How many are authorized at the same time. */
const AT_A_TIME = 100

const nothing = () => {}

/** Something open, such as a stream, with what it was authorized for. There is one for each idle client, so it is small. */
export class Held {
  readonly #rechecks: Rechecks
  readonly request: FastifyRequest
  readonly actions: readonly Action[]
  readonly sessionId: string | undefined
  /** Called once when it is refused later. */
  readonly onLost: (refusal: TwinrailError) => void
  /** Undefined until it was authorized. */
  principal: Principal | undefined
  /** When it is authorized again, in ms since 1970. */
  due = Infinity
  /** Something changed while it was being authorized. */
  again = false
  isOver = false
  /** Ends the count of it. */
  close = nothing

  constructor(
    rechecks: Rechecks,
    request: FastifyRequest,
    actions: readonly Action[],
    sessionId: string | undefined,
    onLost: (refusal: TwinrailError) => void,
  ) {
    this.#rechecks = rechecks
    this.request = request
    this.actions = actions
    this.sessionId = sessionId
    this.onLost = onLost
  }

  /** Authorizes it again now. @throws TwinrailError the refusal */
  check(): Promise<unknown> {
    return this.#rechecks.check(this)
  }

  /** It is not open any more. */
  release(): void {
    this.#rechecks.release(this)
  }
}

export interface RecheckOptions {
  /** How often each is authorized again, in ms. */
  readonly recheckMs: number
  /** Authorizes one now. @throws TwinrailError the refusal; or an exception of the application's hook */
  allow(held: Held): Promise<Principal>
  /** Called once for each that is refused, after it was released. */
  onLost(held: Held, refusal: TwinrailError): void
  /** The hook failed, which says nothing about the principal. */
  onError(error: unknown): void
}

/** Each that was added is authorized again until it is released. At most 100 are at the same time. */
export class Rechecks {
  readonly #options: RecheckOptions
  readonly #held = new Set<Held>()
  readonly #due = new DueQueue<Held>()
  readonly #waiting: Held[] = []
  #checking = 0
  #cancelTimer: Cancel | undefined

  constructor(options: RecheckOptions) {
    this.#options = options
  }

  /** From now on it is asked for again after each `recheck` that concerns it, once it is scheduled. */
  add(held: Held): void {
    this.#held.add(held)
  }

  /** Sets when it is authorized again; at once when something changed since it was added. */
  schedule(held: Held): void {
    if (held.isOver) return
    const now = Date.now()
    const { expiresAt = Infinity } = held.principal as Principal
    // Spread, so that what was opened together is not asked for together for ever.
    const next = now + this.#options.recheckMs * (0.9 + 0.2 * Math.random())
    held.due = expiresAt > now ? Math.min(next, expiresAt) : next
    this.#due.add(held)
    if (held.again) this.#checkSoon(held)
    else this.#arm()
  }

  /** Authorizes it now. @throws TwinrailError the refusal; or an exception of the application's hook */
  check(held: Held): Promise<Principal> {
    return this.#options.allow(held)
  }

  /** It is not open any more, and its count ends. */
  release(held: Held): void {
    held.isOver = true
    held.close()
    this.#held.delete(held)
    this.#due.remove(held)
  }

  /** Authorizes again what a revocation concerns. */
  recheck({ principal, sessionId }: Target): void {
    for (const held of this.#held) {
      if (principal !== undefined && held.principal && held.principal.id !== principal) continue
      if (sessionId !== undefined && held.sessionId !== undefined && held.sessionId !== sessionId) continue
      this.#checkSoon(held)
    }
  }

  /** Authorizes again what was opened by this request, whose credentials have changed. */
  recheckRequest(request: FastifyRequest): void {
    for (const held of this.#held) if (held.request === request) this.#checkSoon(held)
  }

  close(): void {
    this.#cancelTimer?.()
    this.#held.clear()
    this.#waiting.length = 0
  }

  #arm(): void {
    this.#cancelTimer?.()
    const first = this.#due.first
    if (!first) return
    const wait = Math.max(0, first.due - Date.now())
    this.#cancelTimer = startTimer(wait, () => this.#turn(), { unref: true })
  }

  #turn(): void {
    const now = Date.now()
    for (let first = this.#due.first; first && first.due <= now; first = this.#due.first)
      this.#checkSoon(first)
    this.#arm()
  }

  #checkSoon(held: Held): void {
    if (held.isOver) return
    if (!this.#due.remove(held)) {
      // It waits to be authorized, or is being authorized with what was known before.
      held.again = true
      return
    }
    this.#waiting.push(held)
    this.#next()
  }

  #next(): void {
    while (this.#checking < AT_A_TIME) {
      const held = this.#waiting.shift()
      if (!held) return
      this.#checking++
      void this.#checkAgain(held).finally(() => {
        this.#checking--
        this.#next()
      })
    }
  }

  async #checkAgain(held: Held): Promise<void> {
    if (held.isOver) return
    held.again = false
    try {
      held.principal = await this.#options.allow(held)
    } catch (error) {
      if (held.isOver) return
      if (error instanceof TwinrailError && !error.retryable) {
        this.release(held)
        this.#options.onLost(held, error)
        return
      }
      this.#options.onError(error)
    }
    this.schedule(held)
  }
}
