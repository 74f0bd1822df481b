/** One phase: plays a stretch of the script on an absolute schedule and counts what arrives. */
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { micros } from '../clock.ts'
import { type Step, sessionId, type Workload } from '../workloads/workload.ts'
import type { Client } from './client.ts'
import { type ConnectedClients, countDeliveries, isComplete, type PhaseCounts } from './count-deliveries.ts'
import { DelayRound, type Percentiles } from './delays.ts'
import type { DeliveryLog } from './delivery-log.ts'
import type { Metronome } from './metronome.ts'
import { reconnectRegularly, storm } from './reconnects.ts'

export interface PhaseOptions {
  readonly ms: number
  /** Factor on the rate of events. @default 1 */
  readonly speed?: number
  /** No client reconnects, not even where the workload has it so. @default false */
  readonly steady?: boolean
  /** Name of the delays; all rounds of a name are merged. @default they are not kept */
  readonly name?: string
  /** When all clients are cut and reconnect at once, ms from the begin. @default never */
  readonly stormAtMs?: number
  /** A planted fault, which the checks must find. @default none */
  readonly plant?: 'late' | 'lost' | 'doubled' | undefined
}

export interface PhaseResult {
  readonly counts: PhaseCounts
  readonly lateP99Ms: number
  /** Part of its time that this process was busy, 0..1. */
  readonly busy: number
  /** Commands sent. */
  readonly commands: number
  readonly deliver?: Percentiles
  readonly deliverFromSend?: Percentiles
  readonly uplink?: Percentiles
  /** ms from the storm until each client was current, rising. */
  readonly currentMs: readonly number[]
  /** Message of the first error. */
  readonly error?: string
}

/** What the server did. */
export interface Appended {
  /** Number of each step's event; 0 where it appended none. */
  readonly seqs: Int32Array
  /** Number of each session's last event in the end. */
  readonly heads: readonly number[]
}

/** From the call of `play` to the begin of the phase, ms. */
const BEGIN_MS = 20

/** What arrives this long after the end still counts as in time, ms. */
const GRACE_MS = 100

/** An event is lost when nothing at all has arrived for this long, ms: a slow machine is late, it does not lose events. */
const SILENCE_MS = 15_000

/** A planted lateness blocks the load for `ms` in one of `every` calls. */
const PLANTED_LATE = { every: 10, ms: 30 }

export class Phase {
  readonly #clients: ConnectedClients
  readonly #options: PhaseOptions
  readonly #steps: readonly Step[]
  readonly #heads: readonly number[]
  /** When each step was due and when it was really sent, µs. */
  readonly #due: Float64Array
  readonly #sent: Float64Array
  /** Numbers of the events that clients' commands have become. */
  readonly #seqs: Int32Array
  readonly #late = new DelayRound()
  readonly #uplink = new DelayRound()
  readonly #commands: Promise<void>[] = []
  readonly #lostBefore: number
  #currentMs: number[] = []
  #error: string | undefined
  #busy = 0
  #begin = 0

  /** @param heads number of each session's last event before the phase */
  constructor(
    clients: ConnectedClients,
    options: PhaseOptions,
    steps: readonly Step[],
    heads: readonly number[],
  ) {
    this.#clients = clients
    this.#options = options
    this.#steps = steps
    this.#heads = heads
    this.#due = new Float64Array(steps.length)
    this.#sent = new Float64Array(steps.length)
    this.#seqs = new Int32Array(steps.length)
    this.#lostBefore = this.#connectionsLost()
    for (const client of clients.all) {
      client.ephemeral = new Map()
      client.doubledEphemeral = 0
    }
    for (const [session, head] of heads.entries()) {
      for (const { deliveries } of clients.followers(session)) deliveries.begin(head)
    }
    const [first] = clients.all
    if (first && options.plant && options.plant !== 'late') first.plant = options.plant
  }

  /** Plays it. @param order makes the server publish these steps */
  async play(metronome: Metronome, order: (steps: readonly number[]) => void): Promise<void> {
    this.#begin = micros() + BEGIN_MS * 1000
    this.#due.set(this.#steps.map(({ atMs }) => this.#begin + atMs * 1000))
    const before = performance.eventLoopUtilization()
    const reconnects = this.#reconnects()
    let calls = 0
    await metronome.run(this.#due, (from, to) => {
      if (this.#options.plant === 'late' && ++calls % PLANTED_LATE.every === 0) stall(PLANTED_LATE.ms)
      this.#fire(from, to, order)
    })
    await sleep(Math.max(0, (this.#end - micros()) / 1000))
    this.#busy = performance.eventLoopUtilization(before).utilization
    await Promise.all([...this.#commands, reconnects])
  }

  /** Waits for the events that are still on their way and counts. */
  async finish({ seqs, heads: after }: Appended): Promise<PhaseResult> {
    const clients = this.#clients
    const steps = this.#steps
    const begun = micros()
    const lastArrival = () =>
      clients.all.reduce((last, { lastBytesAt }) => Math.max(last, lastBytesAt), begun)
    while (!isComplete(clients, { steps, after }) && micros() - lastArrival() < SILENCE_MS * 1000)
      await sleep(5)
    const { counts, deliver, deliverFromSend } = countDeliveries(clients, {
      steps,
      due: this.#due,
      sent: this.#sent,
      seqs: seqs.map((seq, step) => seq || (this.#seqs[step] as number)),
      before: this.#heads,
      after,
      ms: this.#options.ms,
      until: this.#end + GRACE_MS * 1000,
    })
    const closed = (delays: DelayRound, what: 'deliver' | 'deliverFromSend' | 'uplink') => {
      const { name } = this.#options
      const percentiles = name === undefined ? undefined : delays.close(`${name}|${what}`)
      return percentiles && { [what]: percentiles }
    }
    return {
      counts: { ...counts, failedConnections: this.#connectionsLost() - this.#lostBefore },
      lateP99Ms: this.#late.percentile(99),
      busy: this.#busy,
      commands: this.#commands.length,
      ...closed(deliver, 'deliver'),
      ...closed(deliverFromSend, 'deliverFromSend'),
      ...closed(this.#uplink, 'uplink'),
      currentMs: this.#currentMs,
      ...(this.#error !== undefined && { error: this.#error }),
    }
  }

  get #end(): number {
    return this.#begin + this.#options.ms * 1000
  }

  #fire(from: number, to: number, order: (steps: readonly number[]) => void): void {
    const now = micros()
    const orders: number[] = []
    for (let step = from; step < to; step++) {
      this.#late.record(now - (this.#due[step] as number))
      this.#sent[step] = now
      if ((this.#steps[step] as Step).sender === undefined) orders.push(step)
      else this.#commands.push(this.#send(step))
    }
    if (orders.length > 0) order(orders)
  }

  async #send(index: number): Promise<void> {
    const { workload, prefix, all } = this.#clients
    const { session, sender, number, cue } = this.#steps[index] as Step
    const client = all[sender as number] as Client
    if (workload.agent) await this.#until(client.deliveries[0] as DeliveryLog, number, index)
    try {
      const offset = await client.command(sessionId(prefix, session), commandOf(workload, cue, index))
      this.#uplink.record(micros() - (this.#due[index] as number))
      if (offset !== undefined) this.#seqs[index] = Number(offset.slice(offset.indexOf('-') + 1))
    } catch (error) {
      this.#onError(error as Error)
    }
  }

  /** Waits until a client has the event that it answers: the answer is due only then. */
  async #until(deliveries: DeliveryLog, seq: number, step: number): Promise<void> {
    const late = micros() + SILENCE_MS * 1000
    while (deliveries.seq < seq && micros() < late) await sleep(1)
    const now = micros()
    this.#sent[step] = now
    this.#due[step] = Math.max(this.#due[step] as number, now)
  }

  async #reconnects(): Promise<void> {
    const { all, workload } = this.#clients
    const { ms, stormAtMs, steady } = this.#options
    const onError = (error: Error) => this.#onError(error)
    await sleep(BEGIN_MS + (stormAtMs ?? 0))
    if (stormAtMs !== undefined) this.#currentMs = await storm(all, onError)
    else if (workload.reconnectsEveryMs !== undefined && !steady)
      // Every client is back before the end.
      await reconnectRegularly(all, workload.reconnectsEveryMs, ms - 2 * GRACE_MS, onError)
  }

  #onError(error: Error): void {
    this.#error ??= error.message
  }

  #connectionsLost(): number {
    return this.#clients.all.reduce((sum, { lost }) => sum + lost, 0)
  }
}

function commandOf(workload: Workload, cue: Step['cue'], index: number): object {
  if (workload.command) return workload.command(cue)
  const { type, data, ephemeral } = cue
  // Receivers identify it by this number, since it has no offset.
  const event = { type, data: ephemeral ? { n: index, ...data } : data }
  return { type: 'publish', event, ...(ephemeral && { ephemeral }) }
}

/** Blocks this process. */
function stall(ms: number): void {
  const end = micros() + ms * 1000
  while (micros() < end);
}
