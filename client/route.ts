/** The transport that a client's streams are to be on, and how it came to that. */
import type { Choice } from './choice.ts'
import type { Transport } from './rail.ts'

/** How long a verdict about an origin holds: networks change. */
const VERDICT_MS = 10 * 60 * 1000

/** Failures in a row after which a transport that worked must prove itself against the others again. */
const DOUBT = 2

interface Verdict {
  transport: Transport
  because: string
  until: number
}

const verdicts = new Map<string, Verdict>()

/** Forgets what was learned about every origin, as when the network has changed. */
export function forgetVerdicts(): void {
  verdicts.clear()
}

export class Route {
  readonly #origin: string
  readonly #listeners = new Set<() => void>()
  #choice: Choice
  #proved = false

  /** The transport that something on the way was last seen to hold back. */
  #heldBack: Transport | undefined

  /** @param origin what verdicts are kept under */
  constructor(choice: Choice, origin: string) {
    this.#origin = origin
    this.#choice = choice
    const verdict = verdicts.get(origin)
    if (!verdict || verdict.until < Date.now() || !choice.fallback.includes(verdict.transport)) return
    this.#choice = demoted(choice, verdict.transport, [...choice.because, verdict.because])
  }

  get choice(): Choice {
    return this.#choice
  }

  get transport(): Transport {
    return this.#choice.transport
  }

  /** What to try now, in order, after so many failures in a row. */
  rungs(failures: number): Transport[] {
    const { transport, fallback } = this.#choice
    return this.#proved && failures < DOUBT ? [transport] : [transport, ...fallback]
  }

  /** `transport` said its first word; the others that were tried before it did not. */
  opened(transport: Transport): void {
    this.#proved = true
    // One that is held back may say its first word after it was judged.
    if (transport === this.transport || transport === this.#heldBack) return
    this.#settle(transport, `${this.transport} did not get through in time`)
  }

  /** Something on the way holds `transport` back: to the next rung, if there is one. */
  buffers(transport: Transport): void {
    const next = this.#choice.fallback[0]
    if (transport !== this.transport || !next) return
    this.#heldBack = transport
    this.#settle(next, `something on the way holds ${transport} back`)
  }

  /** Takes other needs or another wish into account; streams switch in the middle. */
  change(choice: Choice): void {
    this.#choice = choice
    this.#tell()
  }

  /** Calls `listener` after every change; gives the way to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #settle(transport: Transport, because: string): void {
    verdicts.set(this.#origin, { transport, because, until: Date.now() + VERDICT_MS })
    this.#choice = demoted(this.#choice, transport, [...this.#choice.because, because])
    this.#tell()
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}

/** The same choice with `transport` first and what stood before it last. */
function demoted(choice: Choice, transport: Transport, because: string[]): Choice {
  const order = [choice.transport, ...choice.fallback]
  const at = order.indexOf(transport)
  return { transport, because, fallback: [...order.slice(at + 1), ...order.slice(0, at)] }
}
