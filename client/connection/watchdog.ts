/** Detects dead connections: by silence, and when the page wakes up. */
import { ClientError } from '../errors.ts'
import { type Cancel, HEARTBEAT_MS, startTimer } from '../protocol.ts'
import type { Message } from './transport.ts'

/** A connection is dead after this many heartbeats without a byte. */
export const PATIENCE = 2.5

/** The same limit when the page wakes up: a phone received no heartbeat while it slept. */
const PATIENCE_ON_WAKE = 1.2

/** Deadline for a request that the server normally answers at once, in ms. */
export const ANSWER_MS = 10_000

/**
 * Bounds each wait for the network by two and a half heartbeats. Only waiting counts: a slow consumer does not make a
 * connection dead.
 */
export class Watchdog {
  readonly #requestedMs: number
  #heartbeatMs: number

  /** @param requestedMs the heartbeat interval that the client asked for; without it the server's own applies */
  constructor(requestedMs: number | undefined) {
    this.#requestedMs = requestedMs ?? 0
    this.#heartbeatMs = requestedMs ?? HEARTBEAT_MS
  }

  /** Takes the heartbeat interval from `hello`; the longer of it and the requested one applies. */
  learn(message: Message): void {
    if (message.kind !== 'control' || message.control.type !== 'hello') return
    this.#heartbeatMs = Math.max(message.control.heartbeatMs, this.#requestedMs)
  }

  /**
   * Awaits `network`.
   * @param longestMs default two and a half heartbeats
   * @throws ClientError `silent` after `longestMs`, `connection-lost` when `network` rejects
   */
  async wait<T>(network: Promise<T>, longestMs = PATIENCE * this.#heartbeatMs): Promise<T> {
    const began = Date.now()
    let cancel: Cancel | undefined
    let stop: (() => void) | undefined
    const silence = new Promise<never>((_, reject) => {
      const giveUp = () => reject(silent(Date.now() - began))
      cancel = startTimer(longestMs, giveUp)
      stop = onWake(() => {
        if (Date.now() - began > PATIENCE_ON_WAKE * this.#heartbeatMs) giveUp()
      })
    })
    try {
      return await Promise.race([network, silence])
    } catch (error) {
      if (error instanceof ClientError) throw error
      throw new ClientError('connection-lost', reasonOf(error), { cause: error })
    } finally {
      cancel?.()
      stop?.()
    }
  }
}

/** The error of a connection that received nothing for `ms`. */
export function silent(ms: number): ClientError {
  return new ClientError('silent', `Nothing was received for ${Math.round(ms) / 1000} s`)
}

/** The message of Node's fetch is only "fetch failed"; its cause has the reason. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error as { cause?: { code?: string; message?: string } }
  return cause?.message || cause?.code || error.message
}

/** The globals of a page that Node lacks. */
type PageGlobals = typeof globalThis &
  Partial<EventTarget> & { document?: EventTarget & { visibilityState: string } }

/**
 * Calls `listener` when the page goes online, becomes visible or leaves the back-forward cache: a reconnect may succeed
 * now. Returns the function that removes it. In Node, which has no such events, it is never called.
 */
export function onWake(listener: () => void): () => void {
  const { document } = globalThis as PageGlobals
  const wake = () => {
    if (document?.visibilityState !== 'hidden') listener()
  }
  const targets = [
    [globalThis as PageGlobals, 'online'],
    [globalThis as PageGlobals, 'pageshow'],
    [document, 'visibilitychange'],
  ] as const
  for (const [target, type] of targets) target?.addEventListener?.(type, wake)
  return () => {
    for (const [target, type] of targets) target?.removeEventListener?.(type, wake)
  }
}
