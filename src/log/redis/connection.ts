/** The connections to Redis: deadlines and reconnects. */
import { TwinrailError } from '../../protocol/index.ts'
import { type Cancel, startTimer } from '../../protocol/timers.ts'
import { logFull } from '../refusals.ts'
import type { RedisClient, RedisClientOptions } from './client.ts'

/** `retryAfterMs` of refusals while Redis is unreachable, in ms. */
const RETRY_AFTER_MS = 1000

/** Pause before a reconnect, in ms: doubled from 20 to 1000, with jitter so that nodes do not reconnect together. */
function reconnectDelay(attempt: number): number {
  return Math.min(1000, 20 * 2 ** Math.min(attempt, 6)) * (0.5 + Math.random() / 2)
}

/** Required options of a client: commands are not queued or resent, since a resent append could be stored twice. */
export function clientOptions(deadlineMs: number): RedisClientOptions {
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    commandTimeout: deadlineMs,
    connectTimeout: deadlineMs,
    retryStrategy: reconnectDelay,
  }
}

/** Redis did not run the command, or the connection broke before its answer, so that the outcome is unknown. */
function unavailable(cause: unknown, message = 'the log cannot be reached; try again'): TwinrailError {
  return new TwinrailError('unavailable', message, { cause, retryAfterMs: RETRY_AFTER_MS })
}

/** Redis's error codes for temporary refusals: a later attempt may succeed. */
const FOR_NOW = /^(LOADING|MASTERDOWN|READONLY|CLUSTERDOWN|TRYAGAIN|BUSY|MISCONF|NOREPLICAS|UNKILLABLE)\b/

/** Error codes of a server that is not the master: only a new connection finds the master. */
const NOT_MASTER = /^(LOADING|MASTERDOWN|READONLY)\b/

/** Converts an error of the client library to `unavailable`, or returns it when a retry would not help. */
function refusalOf(error: Error): Error {
  if (error instanceof TwinrailError) return error
  if (error.name !== 'ReplyError') return unavailable(error)
  if (/^OOM\b/.test(error.message)) {
    return logFull('Redis is full: it is above its maxmemory; delete sessions, or raise maxmemory', error)
  }
  const [, code] = FOR_NOW.exec(error.message) ?? []
  return code ? unavailable(error, `Redis takes no commands for the log now (${code}); try again`) : error
}

/** Whether a command got no answer by its deadline. */
export function isTimeout(error: unknown): boolean {
  const { message, cause } = error as Error
  return message === 'Command timed out' || (cause instanceof Error && isTimeout(cause))
}

function wasNotSent(error: unknown): boolean {
  const cause = (error as Error).cause as Error | undefined
  return /^(Stream isn't writeable|Cluster isn't ready)/.test(cause?.message ?? '')
}

/** Minimum time between two disconnects because the server is not the master, in ms. */
const RENEW_MS = 500

export interface ConnectionParts {
  readonly client: RedisClient
  readonly deadlineMs: number
  /** Called after each connect. Waiting commands are sent once it has resolved. */
  onReady(): Promise<void>
  /** Called when the server has answered that it is not the master. */
  onNotMaster(): void
  /** Receives failures that no call reports. */
  onError(error: unknown): void
}

/** A client whose commands wait for the connection, up to a deadline. */
export class Connection {
  readonly client: RedisClient
  readonly #deadlineMs: number
  /** Resolves once commands may be sent; replaced when the connection is lost. */
  #up: Promise<void>
  #open: () => void = () => {}
  #isUp = false
  #isJoining = false
  #isRenewing = false
  #renewedAt = -Infinity
  readonly #onNotMaster: () => void

  constructor({ client, deadlineMs, onReady, onNotMaster, onError }: ConnectionParts) {
    this.client = client
    this.#deadlineMs = deadlineMs
    this.#onNotMaster = onNotMaster
    this.#up = this.#down()
    client.on('error', onError)
    client.on('ready', () => {
      const open = this.#open
      onReady().then(
        () => {
          if (open !== this.#open) return
          this.#isUp = true
          open()
        },
        error => {
          onError(error)
          client.disconnect(true)
        },
      )
    })
    client.on('close', () => {
      this.#isRenewing = false
      if (this.#isUp) this.#up = this.#down()
    })
  }

  get isUp(): boolean {
    return this.#isUp
  }

  /** Connects for the first time. @throws Error when Redis cannot be reached by the deadline */
  async connect(): Promise<void> {
    // A failed first connect rejects with "Connection is closed"; the cause is emitted as an event.
    let cause: unknown
    const note = (error: unknown) => {
      cause = error
    }
    this.client.on('error', note)
    try {
      // A Cluster or Sentinel without nodes would retry without end.
      await this.#byDeadline(this.client.connect())
    } catch (error) {
      throw cause ?? error
    } finally {
      this.client.off('error', note)
    }
  }

  /** Sends a command once the connection is ready. @throws TwinrailError `unavailable` at the deadline */
  async send<T>(command: (client: RedisClient) => Promise<T>): Promise<T> {
    for (;;) {
      if (!this.#isUp) await this.#untilUp()
      this.#joinWrites()
      try {
        return await command(this.client)
      } catch (error) {
        const refusal = this.#failed(error as Error)
        if (!wasNotSent(refusal)) throw refusal
        // The connection is lost, but its `close` event has not been emitted yet.
        if (this.#isUp) this.#up = this.#down()
      }
    }
  }

  /** As {@link send}, for commands of `onConnect`, which are sent before all others. */
  async sendNow<T>(command: (client: RedisClient) => Promise<T>): Promise<T> {
    this.#joinWrites()
    try {
      return await command(this.client)
    } catch (error) {
      throw this.#failed(error as Error)
    }
  }

  /** Called when a command has failed. @returns what its caller is told */
  #failed(error: Error): Error {
    // A server that hangs keeps its connection open; only a new connection shows whether it has recovered.
    if (isTimeout(error)) this.renew()
    if (NOT_MASTER.test(error.message)) this.#onNotMaster()
    return refusalOf(error)
  }

  /** Reconnects, once for all commands that a hanging server has not answered. */
  renew(): void {
    const now = performance.now()
    if (this.#isRenewing || now - this.#renewedAt < RENEW_MS) return
    this.#isRenewing = true
    this.#renewedAt = now
    this.client.disconnect(true)
  }

  async close(): Promise<void> {
    if (this.#isUp) await this.client.quit().catch(() => {})
    this.client.disconnect()
  }

  /** Holds back what is written until the end of this turn's microtasks, so that its commands leave in one write. */
  #joinWrites(): void {
    if (this.#isJoining) return
    this.#isJoining = true
    const { stream } = this.client
    const streams = stream ? [stream] : (this.client.nodes?.('master').map(node => node.stream) ?? [])
    for (const stream of streams) stream?.cork()
    process.nextTick(() => {
      this.#isJoining = false
      for (const stream of streams) stream?.uncork()
    })
  }

  #down(): Promise<void> {
    this.#isUp = false
    return new Promise(resolve => {
      this.#open = resolve
    })
  }

  async #untilUp(): Promise<void> {
    await this.#byDeadline(this.#up).catch(error => {
      throw unavailable(error)
    })
  }

  async #byDeadline(work: Promise<void>): Promise<void> {
    let cancel: Cancel = () => {}
    const late = new Promise<never>((_, reject) => {
      cancel = startTimer(this.#deadlineMs, () =>
        reject(new Error(`not connected within ${this.#deadlineMs} ms`)),
      )
    })
    try {
      await Promise.race([work, late])
    } finally {
      cancel()
    }
  }
}
