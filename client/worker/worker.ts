/** A worker: executes runs of its agents for a server, over one WebSocket that is opened again when it is lost. */
import type { Agent } from '../../src/agents/agent.ts'
import type { TwinrailEvent } from '../../src/protocol/index.ts'
import { jsonSchemaOf } from '../../src/protocol/json-schema.ts'
import { WORKER_SLOTS } from '../../src/protocol/limits.ts'
import { type Backoff, backoffMs, sleep } from '../connection/backoff.ts'
import type { Auth, Credentials } from '../connection/credentials.ts'
import { unlessAborted } from '../connection/linked-abort.ts'
import { credentialsOf } from '../connection/load-credentials.ts'
import type { SocketConstructor } from '../connection/socket.ts'
import { endpoint } from '../connection/transport.ts'
import { ClientError, isUnauthorized } from '../errors.ts'
import { type Cancel, type ControlOf, startInterval, startTimer } from '../protocol.ts'
import { WorkerConnection } from './connection.ts'
import { WorkRun } from './work-run.ts'

/** The options of {@link createWorker}. */
export interface WorkerOptions {
  /** The server's address, without `/v1`. */
  url: string
  /** The agents whose runs this worker executes, made by `defineAgent`. Their names must be free on the server. */
  agents: readonly Agent[]
  /** How many runs this worker takes at a time, from 1 to 1000. @default 1 */
  slots?: number | undefined
  /**
   * Returns a token, a token with its expiry, or headers. They need the right `produce`, `work:<agent>` for each agent,
   * and `read` for agents that use `history` or `resume`.
   * @default none
   */
  auth?: Auth | undefined
  /** The WebSocket constructor. @default the global one; Node 20 has none, so pass the one of the package `ws` */
  WebSocket?: SocketConstructor | undefined
  /** The function that sends HTTP requests. @default the global `fetch` */
  fetch?: typeof fetch | undefined
  /** The waits before reconnects. @default see {@link Backoff} */
  backoff?: Partial<Backoff> | undefined
  /**
   * Is called with exceptions of agents, which users do not see, and with each loss of the connection.
   * @default writes them with `console.error`
   */
  onError?: ((error: unknown, about: Record<string, unknown>) => void) | undefined
}

/** A running worker. */
export interface Worker {
  /** Number of runs that it executes now. */
  readonly runs: number
  /** Resolves when the server has taken the agents. Rejects as `done` does. */
  readonly ready: Promise<void>
  /**
   * Resolves when the worker has stopped. Rejects with a ClientError when the server refuses it for good, for example
   * as `forbidden`, or as `conflict` for a name that the server itself uses.
   */
  readonly done: Promise<void>
  /**
   * Takes no more runs, waits for those under way, and closes the connection. Runs that do not end in time fail with the
   * code `restart`; those of agents with `resume` are left to other workers. Call it on SIGTERM.
   * @param options.graceMs how long runs may go on, in ms; default 30 s
   */
  stop(options?: { graceMs?: number }): Promise<void>
}

/** How long the end of a run may take to reach the server when the worker stops, in ms. */
const FAREWELL_MS = 2000

/** Refusals of credentials in a row after which a worker gives up. */
const MAX_UNAUTHORIZED = 3

/**
 * Starts a worker. It connects at once, and again whenever the connection is lost: runs go on where they were.
 *
 * Promises: an event that an agent yields is in the log once and in order, or the run is over for this worker. Once the
 * server has given a run to another worker, nothing of this one is appended to it, and its `signal` aborts when this
 * worker learns of it. `signal`, `ask`, `steering`, `history` and the errors are those of an agent inside the server.
 * @throws TypeError when there is no WebSocket constructor, `url` or `slots` is invalid, or an agent has the functions
 * `inputText` or `fromMessages` without `chat`, which the server can use
 * @example
 * ```ts
 * import { createWorker, defineAgent } from 'twinrail-client/worker'
 * import { z } from 'zod'
 *
 * const echo = defineAgent({
 *   name: 'echo',
 *   description: 'Says it again.',
 *   input: z.object({ query: z.string() }),
 *   async *run({ query }) {
 *     yield { type: 'text.delta', data: { partId: 'answer', delta: query } }
 *   },
 * })
 * const worker = createWorker({ url: 'http://127.0.0.1:8787', agents: [echo], slots: 4 })
 * process.once('SIGTERM', () => worker.stop())
 * ```
 */
export function createWorker(options: WorkerOptions): Worker {
  return new RunningWorker(options)
}

class RunningWorker implements Worker {
  readonly #options: WorkerOptions
  readonly #make: SocketConstructor
  readonly #address: URL
  readonly #agents: ReadonlyMap<string, Agent>
  readonly #slots: number
  readonly #works = new Map<string, WorkRun>()
  readonly #abort = new AbortController()
  readonly #onError: (error: unknown, about: Record<string, unknown>) => void
  #connection: WorkerConnection | undefined
  #isStopping = false
  #stopped: Promise<void> | undefined
  #onIdle: (() => void) | undefined
  #onReady: () => void = () => {}
  readonly ready: Promise<void>
  readonly done: Promise<void>

  constructor(options: WorkerOptions) {
    const { url, agents, slots = 1 } = options
    const make = options.WebSocket ?? (globalThis.WebSocket as SocketConstructor | undefined)
    if (!make) throw new TypeError('There is no global WebSocket: pass that of the package ws')
    if (!Number.isInteger(slots) || slots < 1 || slots > WORKER_SLOTS)
      throw new TypeError(`slots: expected a whole number from 1 to ${WORKER_SLOTS}`)
    for (const agent of agents) mustBeSendable(agent)
    this.#options = options
    this.#make = make
    this.#slots = slots
    this.#agents = new Map(agents.map(agent => [agent.name, agent]))
    this.#onError = options.onError ?? ((error, about) => console.error(error, about))
    this.#address = endpoint(url, 'ws')
    this.#address.protocol = this.#address.protocol.replace('http', 'ws')
    const registered = new Promise<void>(resolve => {
      this.#onReady = resolve
    })
    this.done = this.#work()
    this.ready = Promise.race([registered, this.done])
    this.ready.catch(() => {})
  }

  get runs(): number {
    return this.#works.size
  }

  stop({ graceMs = 30_000 } = {}): Promise<void> {
    this.#stopped ??= this.#stop(graceMs)
    return this.#stopped
  }

  async #stop(graceMs: number): Promise<void> {
    this.#isStopping = true
    this.#tell(this.#connection)?.catch(() => {})
    await within(
      graceMs,
      new Promise<void>(resolve => {
        this.#onIdle = resolve
        if (this.#works.size === 0) resolve()
      }),
    )
    const rest = [...this.#works.values()]
    await within(FAREWELL_MS, Promise.all(rest.map(run => run.giveUp())))
    for (const run of rest) run.over('the worker was stopped')
    this.#abort.abort(new ClientError('closed', 'The worker has stopped'))
    this.#connection?.close()
    await this.done.catch(() => {})
  }

  /** Connects again and again until the worker is stopped. @throws ClientError a refusal for good */
  async #work(): Promise<void> {
    const { backoff } = this.#options
    const { signal } = this.#abort
    let failures = 0
    let unauthorized = 0
    // Errors of `createWorker` come first.
    await Promise.resolve()
    while (!signal.aborted) {
      try {
        const credentials = await credentialsOf(this.#options.auth)()
        await this.#connect(credentials, () => {
          failures = 0
          unauthorized = 0
        })
      } catch (error) {
        if (signal.aborted) return
        const isTemporary = error instanceof ClientError && error.retryable
        const mayRenew = isUnauthorized(error) && this.#options.auth && ++unauthorized < MAX_UNAUTHORIZED
        if (!isTemporary && !mayRenew) {
          for (const run of this.#works.values()) run.over('the server refuses the worker')
          this.#abort.abort(error)
          throw error
        }
        this.#onError(error, { what: 'connection' })
        const { retryAfterMs = 0 } = error as ClientError
        await sleep(backoffMs(failures++, retryAfterMs, backoff), signal).catch(() => {})
      }
    }
  }

  /** One connection. @throws ClientError why it was lost */
  async #connect(credentials: Credentials, onReady: () => void): Promise<void> {
    const { url, fetch = globalThis.fetch } = this.#options
    const { signal } = this.#abort
    const credential = await credentials.get(signal)
    const { headers } = credential
    const address = new URL(this.#address)
    const socket =
      credentials.socket(this.#make, address, { url, fetch, credential }) ??
      new this.#make(address.href, ['twinrail.v1'], { headers })
    const reader = { url, fetch: ((input, init) => fetch(input, init)) as typeof fetch, credentials }
    let greet: () => void = () => {}
    const greeted = new Promise<void>(resolve => {
      greet = resolve
    })
    let lose: (error: ClientError) => void = () => {}
    const lost = new Promise<never>((_, reject) => {
      lose = reject
    })
    lost.catch(() => {})
    const connection: WorkerConnection = new WorkerConnection(socket, {
      credential,
      credentials,
      onGreeted: greet,
      onWork: control => this.#take(control, connection, reader),
      onLost: lose,
    })
    let stopRenewing: Cancel = () => {}
    try {
      await unlessAborted(Promise.race([greeted, lost]), signal)
      const before = [...this.#works.values()]
      const { renewMs = 5000 } = await Promise.race([this.#register(connection, before), lost])
      this.#connection = connection
      for (const run of before) run.connect(fields => connection.append(fields))
      onReady()
      this.#onReady()
      stopRenewing = this.#renewEvery(renewMs, connection)
      // It may have been told to stop meanwhile.
      if (this.#isStopping) await this.#tell(connection)
      await lost
    } catch (error) {
      connection.fail(
        error instanceof ClientError ? error : new ClientError('connection-lost', String(error)),
      )
      throw error
    } finally {
      stopRenewing()
      this.#connection = undefined
      for (const run of this.#works.values()) run.connect(undefined)
    }
  }

  #register(connection: WorkerConnection, works: readonly WorkRun[]): Promise<ControlOf<'ack'>> {
    const agents = [...this.#agents.values()].map(({ name, description, input, resume, chat }) => ({
      name,
      description,
      input: jsonSchemaOf(input),
      resume: resume !== undefined,
      ...(chat && { chat }),
    }))
    const slots = this.#isStopping ? 0 : this.#slots
    const fields = { type: 'worker', slots, agents, works: works.map(({ state }) => state) }
    return connection.command(JSON.stringify(fields).slice(1, -1))
  }

  /** Renews the leases, and says how many runs it takes. */
  #tell(connection: WorkerConnection | undefined): Promise<unknown> | undefined {
    return connection?.command(`"type":"worker","slots":${this.#isStopping ? 0 : this.#slots}`)
  }

  #renewEvery(renewMs: number, connection: WorkerConnection): Cancel {
    let isWaiting = false
    return startInterval(renewMs, () => {
      if (isWaiting) return
      isWaiting = true
      this.#tell(connection)
        ?.catch(error => {
          // A log that is away is so for a while; the leases may outlast it.
          if (error instanceof ClientError && !error.retryable) connection.fail(error)
        })
        .finally(() => {
          isWaiting = false
        })
    })
  }

  #take(
    control: ControlOf<'work' | 'work-input' | 'work-over'>,
    connection: WorkerConnection,
    reader: ConstructorParameters<typeof WorkRun>[0]['reader'],
  ): void {
    const { workId } = control
    const known = this.#works.get(workId)
    if (control.type === 'work-over') return known?.over(control.reason)
    if (control.type === 'work-input') return known?.input(control.event as TwinrailEvent)
    const agent = this.#agents.get(control.agent)
    if (!agent || known) return
    const run = new WorkRun({ agent, work: control, reader, onError: this.#onError })
    this.#works.set(workId, run)
    run.connect(fields => connection.append(fields))
    void run.done.then(() => {
      this.#works.delete(workId)
      if (this.#works.size === 0) this.#onIdle?.()
    })
  }
}

/** Resolves with the promise, at the latest after `ms`. */
async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  let cancel: Cancel = () => {}
  const over = new Promise<void>(resolve => {
    cancel = startTimer(ms, resolve)
  })
  await Promise.race([promise, over])
  cancel()
}

/** Functions stay here; only `chat` reaches the server. @throws TypeError */
function mustBeSendable({ name, chat, inputText, fromMessages }: Agent): void {
  if (chat || (!inputText && !fromMessages)) return
  throw new TypeError(
    `agent ${name}: inputText and fromMessages are functions, which a worker cannot send to the server; declare the fields in chat, such as chat: { text: 'query' }`,
  )
}
