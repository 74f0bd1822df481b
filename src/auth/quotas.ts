/** The limits of principals and addresses, in one place for every transport. docs/authorization.md, "Limits". */
import type { Journal } from '../bus/journal.ts'
import { TwinrailError } from '../protocol/index.ts'
import { Buckets } from './buckets.ts'
import { Holdings, type OpenKind } from './holdings.ts'
import type { LimitName, LimitOf, PrincipalLimits } from './limits.ts'
import { SharedUse } from './shared-use.ts'

/** Who does something. What is absent is not limited. */
export interface Who {
  readonly principal?: string | undefined
  readonly address?: string | undefined
}

/** What is limited by its rate. */
export type RateName = 'commands' | 'bytes' | 'new-sessions'

export interface QuotaParts {
  readonly limits: PrincipalLimits
  /** What the clients of one address may do together, as a multiple of what one principal may. */
  readonly perAddress: number
  readonly journal: Journal
  /** How long other nodes believe what this one has told them to be open, in ms: for so long it counts after a crash. */
  readonly toldMs: number
  /** Is called for each refusal. */
  onLimited(limit: LimitName, of: LimitOf): void
  /** Monotonic, in ms. */
  readonly clock?: () => number
}

/** The wait of those that have too much open, and of those that keep too many sessions, in ms. */
const OPEN_RETRY_MS = 1000
const KEPT_RETRY_MS = 60_000

const HOUR_S = 3600

/** How refusals tell a limit. */
const told: Record<LimitName, (most: number) => string> = {
  commands: most => `send ${most} commands per second; wait`,
  bytes: most => `send ${most} bytes per second; wait`,
  'new-sessions': most => `create ${most} sessions per hour; wait, or use those that exist`,
  connections: most => `have ${most} connections open; close some`,
  subscriptions: most => `have ${most} subscriptions open; end some`,
  runs: most => `have ${most} runs open; wait until some have ended, or cancel some`,
  sessions: most => `keep ${most} sessions; delete some`,
}

/** Counts what principals and addresses do, and refuses what is too much. */
export class Quotas {
  readonly #parts: QuotaParts
  readonly #rates: Record<LimitOf, Record<RateName, Buckets>>
  readonly #held: Record<LimitOf, Holdings>
  readonly #shared: SharedUse

  constructor(parts: QuotaParts) {
    this.#parts = parts
    const { limits, perAddress, toldMs, clock = () => performance.now() } = parts
    const rates = (times: number): Record<RateName, Buckets> => ({
      commands: new Buckets(limits.commandsPerSecond * times, limits.commandBurst * times, clock),
      bytes: new Buckets(limits.bytesPerSecond * times, limits.burstBytes * times, clock),
      'new-sessions': new Buckets(
        (limits.sessionsPerHour / HOUR_S) * times,
        limits.sessionsPerHour * times,
        clock,
      ),
    })
    this.#rates = { principal: rates(1), address: rates(perAddress) }
    this.#held = { principal: new Holdings(toldMs, clock), address: new Holdings(toldMs, clock) }
    this.#shared = new SharedUse(parts.journal, {
      ...Object.fromEntries(
        Object.entries(this.#rates.principal).map(([name, use]) => [`principal ${name}`, use]),
      ),
      ...Object.fromEntries(
        Object.entries(this.#rates.address).map(([name, use]) => [`address ${name}`, use]),
      ),
      'principal open': this.#held.principal,
      'address open': this.#held.address,
    })
  }

  /** Uses so much of a rate. @throws TwinrailError `rate-limited`; nothing is used then */
  spend(rate: RateName, who: Who, cost = 1): void {
    const refusal = this.take(rate, who, cost)
    if (refusal) throw refusal
  }

  /** As {@link spend}, but returns the refusal. */
  take(rate: RateName, who: Who, cost = 1): LimitError | undefined {
    const uses = named(who)
    for (const [of, name] of uses) {
      const buckets = this.#rates[of][rate]
      const retryAfterMs = buckets.wait(name, cost)
      if (retryAfterMs === 0) continue
      const most = rate === 'new-sessions' ? buckets.perSecond * HOUR_S : buckets.perSecond
      const everyMs = (cost / buckets.perSecond) * 1000
      return this.#refusal(rate, [of, name], most, retryAfterMs, everyMs)
    }
    for (const [of, name] of uses) {
      this.#rates[of][rate].spend(name, cost)
      this.#shared.start()
    }
    return undefined
  }

  /**
   * Counts something that is open until the returned function is called.
   * @throws TwinrailError `rate-limited` when as many are open as may be
   */
  open(kinds: readonly OpenKind[], who: Who): () => void {
    for (const [of, name] of named(who)) {
      for (const kind of kinds) {
        const most = this.#parts.limits[kind] * (of === 'address' ? this.#parts.perAddress : 1)
        if (this.#held[of].count(name, kind) < most) continue
        this.#held[of].ask(name)
        throw this.#refusal(kind, [of, name], most, OPEN_RETRY_MS)
      }
    }
    return this.force(kinds, who)
  }

  /** As `open`, for what is there whether it may be or not, such as a run that was taken over from another node. */
  force(kinds: readonly OpenKind[], who: Who): () => void {
    const names = named(who)
    if (names.length === 0) return nothing
    const closes = names.map(([of, name]) => this.#held[of].open(name, kinds))
    this.#shared.start()
    return () => {
      for (const close of closes) close()
    }
  }

  /**
   * Counts a session that a principal is about to create.
   * @throws TwinrailError `rate-limited` when it creates too many, or keeps as many as it may
   */
  async newSession(who: Who): Promise<void> {
    const { limits, journal } = this.#parts
    if (who.principal !== undefined && Number.isFinite(limits.sessions)) {
      const kept = await journal.countCreated(who.principal)
      if (kept >= limits.sessions)
        throw this.#refusal('sessions', ['principal', who.principal], limits.sessions, KEPT_RETRY_MS)
    }
    this.spend('new-sessions', who)
  }

  close(): void {
    this.#shared.close()
  }

  #refusal(
    limit: LimitName,
    [of, name]: Named,
    most: number,
    retryAfterMs: number,
    everyMs = retryAfterMs,
  ): LimitError {
    this.#parts.onLimited(limit, of)
    const whoMay = of === 'principal' ? 'this principal may' : 'the clients of this address may together'
    const message = `${whoMay} ${told[limit](Math.round(most * 1000) / 1000)}`
    const options = { details: { limit, of }, retryAfterMs }
    return withoutStack(() => new LimitError(message, options, `${of} ${name}`, everyMs))
  }
}

/** A refusal by a limit. {@link HeldRefusals} may send it later. */
export class LimitError extends TwinrailError {
  /** What is left of it when the refusal is sent. */
  declare retryAfterMs: number
  /** Whose limit it is: refusals of one line leave one after the other. */
  readonly line: string
  /** How often the limit allows one more such use, in ms. */
  readonly everyMs: number

  constructor(
    message: string,
    options: { details: Record<string, unknown>; retryAfterMs: number },
    line: string,
    everyMs: number,
  ) {
    super('rate-limited', message, options)
    this.line = line
    this.everyMs = everyMs
  }
}

/** Makes an error whose stack is empty. Nobody reads that of a refusal, and it would be most of what a refusal costs. */
function withoutStack<E extends Error>(make: () => E): E {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return make()
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

const nothing = () => {}

type Named = [of: LimitOf, name: string]

function named({ principal, address }: Who): Named[] {
  const names: Named[] = []
  if (principal !== undefined) names.push(['principal', principal])
  if (address !== undefined) names.push(['address', address])
  return names
}
