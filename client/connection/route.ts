/** The transport that a client's streams use, and the verdicts that led to it. */
import type { Choice, Transport } from '../guide.ts'

/** A verdict about an origin expires after this time, since networks change. */
const VERDICT_MS = 10 * 60 * 1000

/** Consecutive failures after which a transport that worked races its fallbacks again. */
const DOUBT = 2

interface Verdict {
  transport: Transport
  because: string
  until: number
}

const verdicts = new Map<string, Verdict>()

/**
 * Forgets which transports failed for which origin. Call it when the network has changed; otherwise verdicts last 10
 * minutes.
 */
export function forgetVerdicts(): void {
  verdicts.clear()
}

/**
 * The choice of a transport for one client. It changes when the application or a verdict about the network changes it.
 */
export class Route {
  readonly #origin: string
  readonly #listeners = new Set<() => void>()
  #choice: Choice
  #proved = false

  /** The transport that a proxy was last seen to buffer. */
  #heldBack: Transport | undefined

  /** @param origin the key under which verdicts are kept */
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

  /** The transports to try now, in order, after `failures` consecutive failures. */
  candidates(failures: number): Transport[] {
    const { transport, fallback } = this.#choice
    return this.#proved && failures < DOUBT ? [transport] : [transport, ...fallback]
  }

  /**
   * Records that `transport` opened, and that the candidates before it did not.
   * @param preferred the first of the candidates; when another one is preferred meanwhile, they say nothing about it
   */
  opened(transport: Transport, preferred = this.transport): void {
    if (preferred !== this.transport) return
    this.#proved = true
    // The first message of a buffered transport may arrive after the verdict.
    if (transport === this.transport || transport === this.#heldBack) return
    this.#decide(transport, `${this.transport} did not get through in time`)
  }

  /** Records that a proxy buffers `transport`: streams move to the first fallback, if there is one. */
  buffers(transport: Transport): void {
    const next = this.#choice.fallback[0]
    if (transport !== this.transport || !next) return
    this.#heldBack = transport
    this.#decide(next, `a proxy buffers ${transport}`)
  }

  /** Replaces the choice. Open streams switch without losing an event. */
  change(choice: Choice): void {
    this.#choice = choice
    this.#notify()
  }

  /** Calls `listener` after every change. Returns the function that removes it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #decide(transport: Transport, because: string): void {
    verdicts.set(this.#origin, { transport, because, until: Date.now() + VERDICT_MS })
    this.#choice = demoted(this.#choice, transport, [...this.#choice.because, because])
    this.#notify()
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}

/** The same choice with `transport` first and everything before it moved to the end. */
function demoted(choice: Choice, transport: Transport, because: string[]): Choice {
  const order = [choice.transport, ...choice.fallback]
  const at = order.indexOf(transport)
  return { transport, because, fallback: [...order.slice(at + 1), ...order.slice(0, at)] }
}
