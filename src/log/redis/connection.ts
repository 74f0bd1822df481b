/** The connections to Redis: deadlines, reconnects, and what a Redis must be for a log. */
import { TwinrailError } from '../../protocol/index.ts'
import { type Cancel, startTimer } from '../../protocol/timers.ts'
import type { RedisClient, RedisClientOptions } from './client.ts'

/** A Redis that no log can live in; the message says what to change. */
export class RedisUnfit extends Error {
  override readonly name = 'RedisUnfit'
}

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
export function unavailable(cause: unknown): TwinrailError {
  return new TwinrailError('unavailable', 'the log cannot be reached; try again', {
    cause,
    retryAfterMs: RETRY_AFTER_MS,
  })
}

/** Whether Redis itself refused: trying again would not help. */
const refusedByRedis = (error: unknown) => (error as Error).name === 'ReplyError'

function wasNotSent(error: unknown): boolean {
  const cause = (error as Error).cause as Error | undefined
  return /^(Stream isn't writeable|Cluster isn't ready)/.test(cause?.message ?? '')
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

  /**
   * @param onReady called after each connect, before waiting commands go out; they go when it has resolved
   * @param onError what nobody waits for
   */
  constructor(
    client: RedisClient,
    deadlineMs: number,
    onReady: () => Promise<void>,
    onError: (error: unknown) => void,
  ) {
    this.client = client
    this.#deadlineMs = deadlineMs
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
      if (error instanceof TwinrailError) throw error
      // A server that hangs keeps its connection; only a new one tells whether it is back.
      if ((error as Error).message === 'Command timed out') this.#renew()
      if (
        refusedByRedis(error) &&
        !/^(LOADING|MASTERDOWN|READONLY|CLUSTERDOWN|TRYAGAIN|BUSY|MISCONF|OOM|NOREPLICAS)/.test(
          (error as Error).message,
        )
      ) {
        throw error
      }
      throw unavailable(error)
    }
  }

  /** Once for all commands that a hanging server has left unanswered. */
  #renew(): void {
    if (this.#isRenewing) return
    this.#isRenewing = true
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

/**
 * Refuses a Redis that would lose events on its own, and warns of one that may lose the last of them in a crash.
 * Hosted servers that hide their settings are taken at their word.
 * @throws RedisUnfit
 */
export async function mustFit(client: RedisClient, warn: (message: string) => void): Promise<void> {
  const version = /redis_version:(\d+)\.(\d+)/.exec(await client.info('server'))
  if (version && Number(version[1]) < 7) {
    throw new RedisUnfit(`the log needs Redis or Valkey 7 or later, this one is ${version[1]}.${version[2]}`)
  }
  let settings: Record<string, string>
  try {
    settings = await settingsOf(client)
  } catch {
    warn(
      'this Redis hides its settings: see to it that it never evicts, and that it writes every append to disk',
    )
    return
  }
  const policy = settings['maxmemory-policy']
  if (policy !== undefined && policy !== 'noeviction') {
    throw new RedisUnfit(
      `Redis may evict sessions (maxmemory-policy ${policy}); set maxmemory-policy noeviction, or use another Redis`,
    )
  }
  if (settings['appendonly'] !== 'yes' || settings['appendfsync'] !== 'always') {
    warn(
      'a crash of this Redis may take back the last events: sessions then begin a new epoch and clients get reset. Set appendonly yes and appendfsync always to keep every accepted event',
    )
  }
}

async function settingsOf(client: RedisClient): Promise<Record<string, string>> {
  const settings: Record<string, string> = {}
  for (const name of ['maxmemory-policy', 'appendonly', 'appendfsync']) {
    const [key, value] = (await client.config('GET', name)) as string[]
    if (key !== undefined && value !== undefined) settings[key] = value
  }
  return settings
}
