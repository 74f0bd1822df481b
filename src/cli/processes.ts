/**
 * `twinrail serve --processes N`: several processes share the port, so that a server uses more than one core. Each is a node
 * of its own on one Redis, as if it ran on another machine; this process only starts, replaces and stops them.
 */
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import { AggregatorRegistry, type Registry } from 'prom-client'
import { writeOutput } from '../process-output.ts'
import { sleep, startTimer } from '../protocol/timers.ts'
import { type ServeSettings, SettingsError } from './config.ts'

/** Pause before a process that ended by itself is replaced, in ms. */
const REPLACE_MS = 500

/** Processes that end by themselves within {@link SOON_MS}, one after the other, before all are stopped. */
const MAX_FAILURES = 5
const SOON_MS = 10_000

/** How long a process that has given up the port serves on: requests on its newest connections are still to come. */
const SETTLE_MS = 250

/** How long the metrics of a process are awaited, in ms; those of one that does not answer are left out. */
const METRICS_MS = 2000

type MetricsJson = Awaited<ReturnType<Registry['getMetricsAsJSON']>>

/** What processes and their supervisor tell each other. */
type Message =
  /** A process is to give up the port; the others get its connections from now on. */
  | { readonly type: 'leave' }
  | { readonly type: 'left' }
  /** All connections that were on their way to the process have come: it stops now. */
  | { readonly type: 'stop' }
  /** A process asks for the metrics of all. */
  | { readonly type: 'metrics'; readonly id: number }
  | { readonly type: 'metrics-text'; readonly id: number; readonly text: string }
  /** The supervisor asks a process for its own. */
  | { readonly type: 'measure'; readonly id: number }
  | { readonly type: 'measured'; readonly id: number; readonly metrics: readonly MetricsJson[] }

function say(message: string): void {
  writeOutput(process.stderr, `twinrail: ${message}\n`)
}

/**
 * Starts the processes and keeps as many running until SIGTERM, SIGINT or SIGHUP, which stops all of them gracefully. SIGUSR2
 * replaces one after the other: the new one serves before the old one stops. Resolves when all have ended.
 * @returns the exit code
 * @throws SettingsError when the log cannot be shared by processes
 */
export async function superviseProcesses({ processes, log: place }: ServeSettings): Promise<number> {
  if (!place.startsWith('redis')) {
    throw new SettingsError(
      `--processes ${processes}: processes can share only a Redis. Give --log redis://host:port, or leave --processes out: one process serves with --log ${place}`,
    )
  }
  const supervisor = new Supervisor(processes)
  return supervisor.run()
}

/** The processes that have not ended. */
const alive = () => Object.values(cluster.workers ?? {}) as Worker[]

class Supervisor {
  readonly #count: number
  /** Those that listen. */
  readonly #serving = new Set<Worker>()
  #questions = 0
  readonly #ended: Promise<number>
  #end: (code: number) => void = () => {}
  /** Those that are being replaced: they end as they were told. */
  readonly #leaving = new Set<Worker>()
  #stopping = false
  #restarting = false
  #failures = 0
  /** The exit code: that of a process that did not end as it should. */
  #code = 0

  constructor(count: number) {
    this.#count = count
    this.#ended = new Promise(resolve => {
      this.#end = resolve
    })
  }

  async run(): Promise<number> {
    cluster.on('message', (worker, message: Message) => {
      if (message.type === 'metrics') void this.#tellMetrics(worker, message.id)
      // Messages keep their order, so a connection that was handed over before the process left is there before it stops.
      if (message.type === 'left' && worker.isConnected()) worker.send({ type: 'stop' } satisfies Message)
    })
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
      process.on(signal, () => this.#stop(signal))
    process.on('SIGUSR2', () => void this.#restart())
    // The first alone: what keeps it from starting would keep all of them from it.
    const first = await this.#start({ isFirst: true })
    if (first) await Promise.all(Array.from({ length: this.#count - 1 }, () => this.#start()))
    return this.#ended
  }

  /** Resolves with the process once it listens; with nothing when it has ended before, or when all are being stopped. */
  async #start({ isFirst = false } = {}): Promise<Worker | undefined> {
    // Nobody would stop one that starts now.
    if (this.#stopping) return undefined
    const began = Date.now()
    const worker = cluster.fork()
    let listens = false
    worker.once('listening', () => this.#serving.add(worker))
    worker.once('exit', (code, signal) => {
      this.#serving.delete(worker)
      if (!listens && isFirst) this.#stopping = true
      if (this.#stopping) {
        // SIGTERM ends a process that has only begun to start, and has no handler for it yet.
        if (code !== 0 && signal !== 'SIGTERM') this.#code = code || 1
        if (alive().length === 0) this.#end(this.#code)
        return
      }
      if (this.#leaving.delete(worker)) return
      say(`process ${worker.process.pid} ended by itself (${signal ?? `exit code ${code}`})`)
      void this.#replace(Date.now() - began < SOON_MS)
    })
    await Promise.race([once(worker, 'listening').then(() => (listens = true)), once(worker, 'exit')])
    return listens ? worker : undefined
  }

  async #replace(soon: boolean): Promise<void> {
    // One that was to replace another did not start, or the other had gone before.
    if (alive().length >= this.#count) return
    this.#failures = soon ? this.#failures + 1 : 0
    if (this.#failures >= MAX_FAILURES) {
      say(`${MAX_FAILURES} processes ended soon after their start; stopping. The messages above say why`)
      this.#code = 1
      return this.#stop('SIGTERM')
    }
    await sleep(REPLACE_MS)
    if (alive().length < this.#count) await this.#start()
  }

  /** Replaces one process after the other, so that the port is served all the time. */
  async #restart(): Promise<void> {
    if (this.#restarting || this.#stopping) return
    this.#restarting = true
    try {
      const old = alive()
      say(`SIGUSR2: replacing ${old.length} processes one after the other`)
      for (const worker of old) {
        const fresh = await this.#start()
        if (this.#stopping) return
        if (!fresh) {
          say('the new process did not start; the others serve on')
          return
        }
        if (worker.isDead()) continue
        this.#leaving.add(worker)
        const ended = once(worker, 'exit')
        if (worker.isConnected()) worker.send({ type: 'leave' } satisfies Message)
        await ended
      }
      say(`all ${old.length} processes are replaced`)
    } finally {
      this.#restarting = false
    }
  }

  #stop(signal: NodeJS.Signals): void {
    const isAgain = this.#stopping
    this.#stopping = true
    const workers = alive()
    if (workers.length === 0) return this.#end(this.#code)
    // A terminal that closes sends SIGHUP more than once.
    if (isAgain && signal === 'SIGHUP') return
    for (const worker of workers) worker.process.kill('SIGTERM')
  }

  /** Gives a process the metrics of all, with sums of what is counted. */
  async #tellMetrics(worker: Worker, id: number): Promise<void> {
    const all = await Promise.all([...this.#serving].map(each => this.#measure(each)))
    const text = await AggregatorRegistry.aggregate(all.flat()).metrics()
    if (worker.isConnected()) worker.send({ type: 'metrics-text', id, text } satisfies Message)
  }

  /** The metrics of one process; none when it does not answer. */
  #measure(worker: Worker): Promise<readonly MetricsJson[]> {
    const id = ++this.#questions
    return new Promise(resolve => {
      const finish = (metrics: readonly MetricsJson[]) => {
        cancel()
        worker.off('message', take).off('exit', leave)
        resolve(metrics)
      }
      const take = (message: Message) => {
        if (message.type === 'measured' && message.id === id) finish(message.metrics)
      }
      const leave = () => finish([])
      const cancel = startTimer(METRICS_MS, leave)
      worker.on('message', take).on('exit', leave)
      if (worker.isConnected()) worker.send({ type: 'measure', id } satisfies Message)
      else leave()
    })
  }
}

/**
 * In one of the processes: gives up the port and stops when the supervisor replaces it.
 * @param leavePort takes no more connections
 */
export function leaveWhenReplaced(leavePort: () => void, stop: () => void): void {
  process.on('message', ({ type }: Message) => {
    if (type === 'stop') startTimer(SETTLE_MS, stop)
    if (type !== 'leave') return
    leavePort()
    process.send?.({ type: 'left' } satisfies Message)
  })
}

/**
 * In one of the processes: its server tells the metrics of all from now on. @param own gives its own registries
 * @returns asks the supervisor for the metrics of all
 */
export function shareMetrics(own: () => readonly Registry[]): () => Promise<string> {
  const waiting = new Map<number, (text: string) => void>()
  let asked = 0
  process.on('message', async (message: Message) => {
    if (message.type === 'metrics-text') {
      waiting.get(message.id)?.(message.text)
      waiting.delete(message.id)
    } else if (message.type === 'measure') {
      const metrics = await Promise.all(own().map(registry => registry.getMetricsAsJSON()))
      process.send?.({ type: 'measured', id: message.id, metrics } satisfies Message)
    }
  })
  return () =>
    new Promise(resolve => {
      const id = ++asked
      waiting.set(id, resolve)
      process.send?.({ type: 'metrics', id } satisfies Message)
    })
}
