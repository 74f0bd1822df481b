/** A producer: batches, exact retries, backpressure, leases and fencing over HTTP ingest. PROTOCOL.md, "Ingest". */
import { newId } from '../command.ts'
import { type Backoff, backoffMs, defaultBackoff, sleep } from '../connection/backoff.ts'
import type { Auth, Credentials } from '../connection/credentials.ts'
import { LinkedAbortController, unlessAborted } from '../connection/linked-abort.ts'
import { credentialsOf } from '../connection/load-credentials.ts'
import { endpoint, expectType } from '../connection/transport.ts'
import { Watchdog } from '../connection/watchdog.ts'
import { ClientError, errorOfResponse } from '../errors.ts'
import { type Cancel, isTerminal, startTimer, type TwinrailEvent } from '../protocol.ts'
import { Outbox, type Unit } from './outbox.ts'

/** An event as a producer gives it. */
export interface EventBody {
  /** Such as `text.delta`, or `x.<name>` for an event of your own. */
  type: TwinrailEvent['type']
  /** The event's data, as JSON; PROTOCOL.md has the shape for each type. */
  data: unknown
  /** The run that it belongs to; `run.started` opens one. @default none */
  runId?: string | undefined
}

/** The options of {@link createProducer}. */
export interface ProducerOptions {
  /** The server's address, without `/v1`. */
  url: string
  /** The session that it appends to. The first append creates it. */
  session: string
  /** As for `createClient`. @default none */
  auth?: Auth | undefined
  /** The function that sends HTTP requests. @default the global `fetch` */
  fetch?: typeof fetch | undefined
  /**
   * The waits while the server is unreachable or refuses for now; after `attempts` failures in a row the producer fails.
   * @default 1 s, doubling up to 30 s, with jitter, without end
   */
  backoff?: Partial<Backoff> | undefined
  /**
   * What this producer is, such as the name of a job: a producer that is created later with the same name, in any
   * process, takes its place, and everything that the older one appends from then on is refused as `fenced`.
   * @default none: several producers may append to the session at the same time
   */
  writer?: string | undefined
  /** Most events of one request. @default 500 */
  batchEvents?: number | undefined
  /** Most bytes of one request, unless a single call has more. The server takes 1 MiB. @default 256 KiB */
  batchBytes?: number | undefined
  /**
   * A request waits this long for more events, in ms, unless a batch is full. 0 collects those of one turn of the event
   * loop, and those that come while an earlier request is on its way.
   * @default 0
   */
  lingerMs?: number | undefined
  /** Bytes of events that may be unacknowledged before {@link Producer.append} refuses more. @default 1 MiB */
  bufferBytes?: number | undefined
  /** While it has open runs and nothing to append, it renews their leases this often, in ms. @default 20000 */
  renewMs?: number | undefined
}

/** How a run that a producer opened ends. */
export type Terminal =
  | { type: 'run.completed'; data?: { finishReason?: string; result?: unknown; usage?: unknown } }
  | { type: 'run.failed'; data: { code: string; message: string; retryable?: boolean } }
  | { type: 'run.cancelled'; data: { reason: string } }

/** Where an event lies. `offset` is absent only where the log had it before, too long ago to know. */
export interface AppendedAt {
  /** The position in the log, `<epoch>-<seq>`. */
  offset: string | undefined
}

/** A run that a producer opened. */
export interface ProducedRun {
  /** The run's id. */
  readonly runId: string
  /** Appends events of the run, as {@link Producer.append} does. */
  append(events: Omit<EventBody, 'runId'> | readonly Omit<EventBody, 'runId'>[]): Promise<AppendedAt>
  /** Appends the run's terminal event. @param terminal @default `run.completed` with the finish reason `stop` */
  end(terminal?: Terminal): Promise<AppendedAt>
}

/** Runs that one request may name. */
const RENEWED_RUNS = 100

/** Deadline of a request. The server holds answers back for up to 30 s while a slow subscriber may hold producers. */
const ANSWER_MS = 45_000

/** A number that tells another writer's epoch, in an answer's details. */
type Details = { writer?: string; epoch?: number; expected?: number }

/**
 * Creates a producer. It sends no request before the first append. End it, or its open runs end as `producer-lost` when
 * their leases run out.
 * @throws TypeError when `url` is not a valid address; RangeError when a limit is not a positive number
 * @example
 * ```ts
 * import { createProducer } from 'twinrail-client/producer'
 *
 * const producer = createProducer({ url: 'http://127.0.0.1:8787', session: 'demo', writer: 'nightly-report' })
 * const run = producer.run('report', { month: '2026-11' })
 * await run.append({ type: 'text.delta', data: { partId: 'p', delta: 'All is well.' } })
 * await run.end({ type: 'run.completed', data: { result: { pages: 3 } } })
 * await producer.end()
 * ```
 */
export function createProducer(options: ProducerOptions): Producer {
  return new Producer(options)
}

/**
 * Appends events to one session, in the order of the calls and each once: a request whose answer was lost is sent again
 * with the same numbers, and the server knows what it has.
 */
export class Producer {
  /** The id of the session that it appends to. */
  readonly session: string
  readonly #options: ProducerOptions
  readonly #outbox: Outbox
  readonly #credentials: () => Promise<Credentials>
  readonly #stop = new AbortController()
  readonly #openRuns = new Set<string>()
  readonly #lingerMs: number
  readonly #renewMs: number
  /** Random: two producers never have the same numbers. */
  readonly #id = newId()
  /** Number of the next event that is not in the log yet. */
  #seq = 1
  #epoch = 1
  /** Whether the epoch is known to be its own. */
  #isWriter = false
  #sending: Promise<void> | undefined
  #linger: { cancel: Cancel; end: () => void } | undefined
  #renewal: Cancel | undefined
  #flushes = 0
  #ended: Promise<void> | undefined
  #failure: unknown

  constructor(options: ProducerOptions) {
    const { batchEvents = 500, batchBytes = 256 * 1024, bufferBytes = 1024 * 1024 } = options
    const { lingerMs = 0, renewMs = 20_000 } = options
    endpoint(options.url, '')
    for (const [name, value] of Object.entries({ batchEvents, batchBytes, bufferBytes, renewMs })) {
      if (!(value > 0)) throw new RangeError(`${name} is ${value}, expected a number above 0`)
    }
    this.session = options.session
    this.#options = options
    this.#outbox = new Outbox({ batchEvents, batchBytes, bufferBytes })
    this.#credentials = credentialsOf(options.auth)
    this.#lingerMs = lingerMs
    this.#renewMs = renewMs
  }

  /**
   * Resolves with the offset of the first event once the log has all events of this call; they are appended together.
   * Awaiting it slows the caller to the server's pace. To keep more under way, await {@link ready} instead; a call while
   * more than `bufferBytes` are unacknowledged is refused.
   *
   * Rejects with a ClientError: the server's refusal of these events, such as `bad-request`, `run-ended` or `too-large`,
   * after which other events go on; `buffer-full`, at once; `ended` after {@link end}; and, for all that is pending and
   * all later calls, what ends the producer: `fenced` when another producer took its place, `out-of-step` when the log
   * no longer has what it appended (the session was deleted), `unauthorized`, or the last failure of
   * `backoff.attempts`.
   */
  append(events: EventBody | readonly EventBody[]): Promise<AppendedAt> {
    return new Promise((resolve, reject) => {
      if (this.#failure) throw this.#failure
      if (this.#ended) throw new ClientError('ended', 'The producer has ended')
      this.#add(Array.isArray(events) ? events : [events as EventBody], resolve, reject)
    })
  }

  /** Resolves when {@link append} takes events: at once, or when the buffer has room again. Rejects as `append` does. */
  get ready(): Promise<void> {
    return this.#outbox.room().then(() => {
      if (this.#failure) throw this.#failure
    })
  }

  /**
   * Opens a run that belongs to this producer. Its lease is renewed until it ends. When the server refuses the start, all
   * appends to the run reject.
   * @param options `runId`: default a new one of 128 random bits; `messageId`: the id of the message that it answers
   */
  run(
    agent: string,
    input: unknown,
    { runId = newId(), ...data }: { runId?: string; messageId?: string } = {},
  ): ProducedRun {
    const start = this.append({ type: 'run.started', runId, data: { agent, input, ...data } })
    start.catch(() => {}) // the run's own appends report it
    const append = async (events: Parameters<ProducedRun['append']>[0]) => {
      const list = (Array.isArray(events) ? events : [events]) as EventBody[]
      const appended = this.append(list.map(event => ({ ...event, runId })))
      appended.catch(() => {}) // the refusal of the start comes first
      await start
      return appended
    }
    return {
      runId,
      append,
      end: (terminal = { type: 'run.completed' }) => {
        const { type, data } = terminal
        const defaults = { 'run.completed': { finishReason: 'stop' }, 'run.failed': { retryable: false } }
        return append({ type, data: { ...defaults[type as keyof typeof defaults], ...data } })
      },
    }
  }

  /** Resolves when all that was appended so far is settled, be it acknowledged or refused. */
  async flush(): Promise<void> {
    this.#flushes += 1
    this.#linger?.end()
    try {
      while (!this.#outbox.isEmpty && !this.#failure) {
        await this.#sending
        this.#send()
      }
    } finally {
      this.#flushes -= 1
    }
  }

  /**
   * Ends the producer: what is buffered is appended, and runs that are still open end as `run.failed` with the code
   * `producer-ended`. Rejects when the producer has failed, or fails meanwhile.
   */
  end(): Promise<void> {
    this.#ended ??= this.#end()
    return this.#ended
  }

  /**
   * Stops at once, without appending what is buffered: pending appends reject with the code `closed`, though the log may
   * have their events. Open runs end as `producer-lost` when their leases run out.
   */
  close(): void {
    this.#fail(new ClientError('closed', 'The producer was closed'))
  }

  async #end(): Promise<void> {
    await this.flush()
    const data = { code: 'producer-ended', message: 'The producer has ended before the run', retryable: true }
    for (const runId of [...this.#openRuns]) {
      await this.#outbox.room()
      // It may have been cancelled meanwhile.
      const settled = () => {}
      this.#add([{ type: 'run.failed', runId, data }], settled, settled)
    }
    await this.flush()
    if (this.#failure) throw this.#failure
    this.#fail(new ClientError('ended', 'The producer has ended'))
  }

  #add(events: readonly EventBody[], resolve: Unit['resolve'], reject: Unit['reject']): void {
    if (this.#outbox.isFull) {
      throw new ClientError('buffer-full', 'Too much is unacknowledged: await append or ready', {
        retryable: true,
      })
    }
    if (events.length === 0) return resolve({ offset: undefined })
    // What the caller changes afterwards has no effect, and what is no JSON throws here.
    const texts = events.map(event => JSON.stringify(event))
    const bytes = texts.reduce((sum, text) => sum + new TextEncoder().encode(text).length + 1, 0)
    this.#outbox.add({
      events: events.map(({ type, runId }) => ({ type, runId })),
      texts,
      bytes,
      resolve,
      reject,
    })
    this.#send()
    if (this.#outbox.hasFullBatch) this.#linger?.end()
  }

  #send(): void {
    if (this.#sending || this.#outbox.isEmpty || this.#failure) return
    this.#renewal?.()
    this.#sending = this.#sendAll()
      .catch(error => this.#fail(error))
      .finally(() => {
        this.#sending = undefined
        this.#send() // what was added while the last answer was taken
        if (!this.#sending) this.#armRenewal()
      })
  }

  async #sendAll(): Promise<void> {
    let single = 0
    while (!this.#outbox.isEmpty) {
      if (single === 0) await this.#collect()
      const batch = this.#outbox.batch().slice(0, single > 0 ? 1 : undefined)
      single = Math.max(0, single - 1)
      try {
        const first = await this.#persist(batch.flatMap(({ texts }) => texts))
        this.#settle(batch, first)
      } catch (error) {
        if (!isRefusalOfEvents(error)) throw error
        // One of them is refused: each is sent by itself, so that the others go on.
        if (batch.length > 1) single = batch.length
        else {
          this.#outbox.shift()
          batch[0]!.reject(error)
          const { runId } = ((error as ClientError).details ?? {}) as { runId?: string }
          if ((error as ClientError).code === 'run-ended' && runId) this.#openRuns.delete(runId)
        }
      }
    }
  }

  /** Waits until the batch is full, or until it has waited long enough. */
  #collect(): Promise<void> {
    return new Promise(resolve => {
      if (this.#outbox.hasFullBatch || this.#flushes > 0) return resolve()
      const end = () => {
        cancel()
        this.#linger = undefined
        resolve()
      }
      const cancel = startTimer(this.#lingerMs, end)
      this.#linger = { cancel, end }
    })
  }

  #settle(batch: readonly Unit[], first: string | undefined): void {
    let before = 0
    for (const unit of batch) {
      this.#outbox.shift()
      for (const { type, runId } of unit.events) {
        if (runId === undefined) continue
        if (type === 'run.started') this.#openRuns.add(runId)
        else if (isTerminal(type)) this.#openRuns.delete(runId)
      }
      unit.resolve({ offset: first === undefined ? undefined : plus(first, before) })
      before += unit.events.length
    }
    this.#seq += before
  }

  /** Appends numbered events, and sends them again until the server has answered. @throws ClientError the refusal */
  async #persist(texts: readonly string[]): Promise<string | undefined> {
    const { writer } = this.#options
    const backoff = { ...defaultBackoff, ...this.#options.backoff }
    const body = `[${texts.join()}]`
    for (let failures = 0; ; ) {
      try {
        const query = { producer: this.#id, seq: this.#seq, writer, epoch: writer && this.#epoch }
        const { first } = await this.#post(body, query)
        this.#isWriter = true
        return first
      } catch (error) {
        this.#stop.signal.throwIfAborted()
        if (!(error instanceof ClientError)) throw error
        const { epoch, expected } = (error.details ?? {}) as Details
        if (error.code === 'conflict' && epoch !== undefined) {
          if (this.#isWriter) {
            const message = `Another producer of the writer ${writer} has taken over, with the epoch ${epoch}`
            throw new ClientError('fenced', message, { details: error.details })
          }
          this.#epoch = epoch + 1
          continue
        }
        if (error.code === 'conflict' && expected !== undefined) {
          throw new ClientError('out-of-step', `The log expects number ${expected}, not ${this.#seq}`, {
            retryable: false,
            details: error.details,
          })
        }
        if (!error.retryable || failures >= backoff.attempts) throw error
        await sleep(backoffMs(failures, error.retryAfterMs ?? 0, backoff), this.#stop.signal)
        failures += 1
      }
    }
  }

  async #post(body: string, query: Record<string, unknown>): Promise<{ first?: string }> {
    const { url, fetch = globalThis.fetch } = this.#options
    const credentials = await this.#credentials()
    const address = endpoint(url, `sessions/${encodeURIComponent(this.session)}/events`, query)
    return credentials.use(async ({ headers }) => {
      const connection = new LinkedAbortController(this.#stop.signal)
      const { signal } = connection
      const watchdog = new Watchdog(undefined)
      try {
        const init = {
          method: 'POST',
          headers: { ...headers, 'content-type': 'application/json', accept: 'application/json' },
          body,
          signal,
        }
        const response = await unlessAborted(watchdog.wait(fetch(address, init), ANSWER_MS), signal)
        if (!response.ok) throw await watchdog.wait(errorOfResponse(response))
        expectType(response, 'application/json')
        return (await watchdog.wait(response.json())) as { first?: string }
      } finally {
        connection.abort()
      }
    }, this.#stop.signal)
  }

  /** Renews the leases of the open runs when nothing was appended for a while. */
  #armRenewal(): void {
    this.#renewal?.()
    if (this.#openRuns.size === 0 || this.#failure) return
    this.#renewal = startTimer(this.#renewMs, () => {
      // Another renewal follows. A run that is lost is told by the next append to it.
      void Promise.allSettled(this.#renewals()).then(() => {
        if (!this.#sending) this.#armRenewal()
      })
    })
  }

  /** Only its own runs: those of another producer of the same principal may have to end. */
  #renewals(): Promise<unknown>[] {
    const runs = [...this.#openRuns]
    const requests: Promise<unknown>[] = []
    for (let at = 0; at < runs.length; at += RENEWED_RUNS) {
      requests.push(this.#post('[]', { runs: runs.slice(at, at + RENEWED_RUNS).join() }))
    }
    return requests
  }

  #fail(error: unknown): void {
    this.#failure ??= error
    this.#renewal?.()
    this.#linger?.end()
    this.#stop.abort(this.#failure)
    this.#outbox.fail(this.#failure)
  }
}

/** Whether the server refuses these events, and may take others. */
function isRefusalOfEvents(error: unknown): boolean {
  if (!(error instanceof ClientError) || error.retryable) return false
  return ![
    'fenced',
    'out-of-step',
    'unauthorized',
    'protocol-error',
    'not-found',
    'auth-failed',
    'closed',
    'ended',
  ].includes(error.code)
}

/** The offset `count` events later in the same log. */
function plus(offset: string, count: number): string {
  const [epoch, seq] = offset.split('-')
  return `${epoch}-${Number(seq) + count}`
}
