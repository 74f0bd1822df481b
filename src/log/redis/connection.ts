/** The connections to Redis: deadlines and reconnects. */
import { TwinrailError } from '../../protocol/index.ts'
import { type Cancel, startTimer } from '../../protocol/timers.ts'
import { logFull } from '../refusals.ts'
import type { RedisClient, RedisClientOptions } from './client.ts'

/** How clients are told to come back while Redis is away, in ms. */
const RETRY_AFTER_MS = 1000

/** Pause before a reconnect, in ms: doubled from 20 to 1000, with jitter so that nodes do not come in step. */
function reconnectDelay(attempt: number): number {
  return Math.min(1000, 20 * 2 ** Math.min(attempt, 6)) * (0.5 + Math.random() / 2)
}

/** What a client must be made with: nothing is queued or sent twice, since an append that is sent twice is two. */
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

/** Redis did not do it, or did not say so: after a connection broke under a command nobody knows which. */
function unavailable(cause: unknown, message = 'the log cannot be reached; try again'): TwinrailError {
  return new TwinrailError('unavailable', message, { cause, retryAfterMs: RETRY_AFTER_MS })
}

/** What Redis answers while it takes no writes, or nothing at all, though it is there: trying again later may help. */
const FOR_NOW = /^(LOADING|MASTERDOWN|READONLY|CLUSTERDOWN|TRYAGAIN|BUSY|MISCONF|NOREPLICAS|UNKILLABLE)\b/

/** What a server answers that is not the master, or not yet: only a new connection finds the one that is. */
const NOT_MASTER = /^(LOADING|MASTERDOWN|READONLY)\b/

/** The refusal that an error of the client library comes to; the error itself where trying again would not help. */
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

/** A connection is dropped at most so often because the server behind it is not the master, in ms. */
const RENEW_MS = 500

export interface ConnectionParts {
  readonly client: RedisClient
  readonly deadlineMs: number
  /** Called after each connect, before waiting commands go out; they go when it has resolved. */
  onReady(): Promise<void>
  /** The server has said that it is not the master. */
  onNotMaster(): void
  /** What nobody waits for. */
  onError(error: unknown): void
}

/** One client that waits for its connection, up to a deadline. */
export class Connection {
  readonly client: RedisClient
  readonly #deadlineMs: number
  /** Resolves once commands may be sent; there is a new one while the connection is away. */
  #up: Promise<void>
  #open: () => void = () => {}
  #isUp = false
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
    // A failed first connect says only that the connection is closed; the cause comes as an event.
    let cause: unknown
    const note = (error: unknown) => {
      cause = error
    }
    this.client.on('error', note)
    try {
      // A Cluster or a Sentinel that knows no node is asked again without end.
      await this.#byDeadline(this.client.connect())
    } catch (error) {
      throw cause ?? error
    } finally {
      this.client.off('error', note)
    }
  }

  /** Sends at once when connected, else when connected again. @throws TwinrailError `unavailable` at the deadline */
  async send<T>(command: (client: RedisClient) => Promise<T>): Promise<T> {
    for (;;) {
      if (!this.#isUp) await this.#untilUp()
      try {
        return await this.sendNow(command)
      } catch (error) {
        if (!wasNotSent(error)) throw error
        // The connection is gone, though nobody has told yet.
        if (this.#isUp) this.#up = this.#down()
      }
    }
  }

  /** As {@link send}, for the repairs that go out before everything else. */
  async sendNow<T>(command: (client: RedisClient) => Promise<T>): Promise<T> {
    try {
      return await command(this.client)
    } catch (error) {
      // A server that hangs keeps its connection; only a new one tells whether it is back.
      if (isTimeout(error)) this.renew()
      if (NOT_MASTER.test((error as Error).message)) this.#onNotMaster()
      throw refusalOf(error as Error)
    }
  }

  /** Drops the connection and connects anew: once for all commands that a hanging server has left unanswered. */
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
