/** Tells a quiet wire from a dead one. */
import { HEARTBEAT_MS } from '../src/protocol/limits.ts'
import { ClientError } from './errors.ts'
import type { Message } from './rail.ts'

/** So many heartbeats without a byte, and the wire is taken for dead. */
const PATIENCE = 2.5

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
   * @throws ClientError `silent` when it takes too long, `connection-lost` when the wire fails.
   */
  async wait<T>(wire: Promise<T>): Promise<T> {
    const ms = PATIENCE * this.#heartbeatMs
    let timer: ReturnType<typeof setTimeout> | undefined
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new ClientError('silent', `Nothing came for ${ms / 1000} s`)), ms)
    })
    try {
      return await Promise.race([wire, silence])
    } catch (error) {
      if (error instanceof ClientError) throw error
      throw new ClientError('connection-lost', reasonOf(error), { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }
}

/** Node's fetch says only "fetch failed"; its cause says why. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error as { cause?: { code?: string; message?: string } }
  return cause?.message || cause?.code || error.message
}
