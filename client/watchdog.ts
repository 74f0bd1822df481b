/** Tells a quiet wire from a dead one. */
import { HEARTBEAT_MS } from '../src/protocol/limits.ts'
import { type Cancel, startTimer } from '../src/protocol/timers.ts'
import { ClientError } from './errors.ts'
import type { Message } from './rail.ts'
import { onWake } from './wake.ts'

/** So many heartbeats without a byte, and the wire is taken for dead. */
export const PATIENCE = 2.5

/** The same when the page wakes up: a phone that slept missed what a heartbeat would have told. */
const PATIENCE_ON_WAKE = 1.2

/** A request that is answered at once when all is well is given up after so many ms. */
export const ANSWER_MS = 10_000

/**
 * Bounds each wait for the wire by two and a half heartbeats. Only waiting counts: a consumer that takes its time
 * is no sign of a dead wire.
 */
export class Watchdog {
  readonly #asked: number
  #heartbeatMs: number

  /** @param asked the heartbeat that the client asked for, in ms; without it the server's own counts. */
  constructor(asked: number | undefined) {
    this.#asked = asked ?? 0
    this.#heartbeatMs = asked ?? HEARTBEAT_MS
  }

  /** Learns the heartbeat from `hello`; the slower of it and the one asked for counts. */
  heard(message: Message): void {
    if (message.kind !== 'control' || message.control.type !== 'hello') return
    this.#heartbeatMs = Math.max(message.control.heartbeatMs, this.#asked)
  }

  /**
   * Waits for what the wire brings.
   * @param longestMs default two and a half heartbeats
   * @throws ClientError `silent` when it takes too long, `connection-lost` when the wire fails.
   */
  async wait<T>(wire: Promise<T>, longestMs = PATIENCE * this.#heartbeatMs): Promise<T> {
    const began = Date.now()
    let cancel: Cancel | undefined
    let stop: (() => void) | undefined
    const silence = new Promise<never>((_, reject) => {
      const give = () => reject(silent(Date.now() - began))
      cancel = startTimer(longestMs, give)
      stop = onWake(() => {
        if (Date.now() - began > PATIENCE_ON_WAKE * this.#heartbeatMs) give()
      })
    })
    try {
      return await Promise.race([wire, silence])
    } catch (error) {
      if (error instanceof ClientError) throw error
      throw new ClientError('connection-lost', reasonOf(error), { cause: error })
    } finally {
      cancel?.()
      stop?.()
    }
  }
}

/** The error of a wire that said nothing for `ms`. */
export function silent(ms: number): ClientError {
  return new ClientError('silent', `Nothing came for ${Math.round(ms) / 1000} s`)
}

/** Node's fetch says only "fetch failed"; its cause says why. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error as { cause?: { code?: string; message?: string } }
  return cause?.message || cause?.code || error.message
}
