/** One phase: a stretch of the script is played on an absolute schedule. */
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { micros } from '../clock.ts'
import { type Step, sessionId, type Workload } from '../workloads/workload.ts'
import type { Audience } from './audience.ts'
import type { Client } from './client.ts'
import { DelayRound, type Percentiles } from './delays.ts'
import type { Metronome } from './metronome.ts'
import { comeAndGo, storm } from './returns.ts'
import { isComplete, type PhaseCounts, tally } from './tally.ts'
import type { Track } from './track.ts'

export interface PhaseAsked {
  readonly ms: number
  /** So many times as much is sent in the same time. @default 1 */
  readonly speed?: number
  /** Nobody comes and goes, also where the workload has it so. @default false */
  readonly steady?: boolean
  /** Names the delays; those of all rounds with a name are merged. @default they are not kept */
  readonly name?: string
  /** All clients are cut off at once then and come back at once, ms from the begin. @default never */
  readonly stormAtMs?: number
  /** A fault that must be found. @default none */
  readonly plant?: 'late' | 'lost' | 'doubled' | undefined
}

export interface PhaseFound {
  readonly counts: PhaseCounts
  readonly lateP99Ms: number
  /** The busy part of this process's time, 0..1. */
  readonly busy: number
  /** How many were sent. */
  readonly commands: number
  readonly deliver?: Percentiles
  readonly deliverFromSend?: Percentiles
  readonly uplink?: Percentiles
  /** ms from the storm until each client was current, rising. */
  readonly currentMs: readonly number[]
  /** The first thing that went wrong, in words. */
  readonly trouble?: string
}

/** What the server did: number of each step's event, 0 where it appended none; and the heads in the end. */
export interface Done {
  readonly seqs: Int32Array
  readonly heads: readonly number[]
}

/** From asking for a phase to its begin, ms. */
const BEGIN_MS = 20

/** What arrives so much after the end still counts as in time, ms. */
const GRACE_MS = 100

/** How long what is on its way may take, ms. */
const ARRIVAL_MS = 15_000

/** The same where an event was dropped on purpose: it never comes. */
const PLANTED_ARRIVAL_MS = 3000

/** How often a planted lateness stops the generator, in calls, and for how long, ms. */
const PLANTED_LATE = { every: 10, ms: 30 }

export class Phase {
  readonly #audience: Audience
  readonly #asked: PhaseAsked
  readonly #steps: readonly Step[]
  readonly #heads: readonly number[]
  /** When each step was due and really begun, µs. */
  readonly #due: Float64Array
  readonly #sent: Float64Array
  /** Numbers of the events that clients' commands became. */
  readonly #seqs: Int32Array
  readonly #late = new DelayRound()
  readonly #uplink = new DelayRound()
  readonly #commands: Promise<void>[] = []
  readonly #lostBefore: number
  #currentMs: number[] = []
  #trouble: string | undefined
  #busy = 0
  #begin = 0

  /** @param heads number of each session's last event before the phase */
  constructor(audience: Audience, asked: PhaseAsked, steps: readonly Step[], heads: readonly number[]) {
    this.#audience = audience
    this.#asked = asked
    this.#steps = steps
    this.#heads = heads
    this.#due = new Float64Array(steps.length)
    this.#sent = new Float64Array(steps.length)
    this.#seqs = new Int32Array(steps.length)
    this.#lostBefore = this.#connectionsLost()
    for (const client of audience.clients) {
      client.ephemeral = new Map()
      client.doubledEphemeral = 0
    }
    for (const [session, head] of heads.entries()) {
      for (const { track } of audience.followers(session)) track.mark(head)
    }
    const [first] = audience.clients
    if (first && asked.plant && asked.plant !== 'late') first.plant = asked.plant
  }

  /** Plays it. @param order has the server publish these steps */
  async play(metronome: Metronome, order: (steps: readonly number[]) => void): Promise<void> {
    this.#begin = micros() + BEGIN_MS * 1000
    this.#due.set(this.#steps.map(({ atMs }) => this.#begin + atMs * 1000))
    const before = performance.eventLoopUtilization()
    const returns = this.#returns()
    let calls = 0
    await metronome.run(this.#due, (from, to) => {
      if (this.#asked.plant === 'late' && ++calls % PLANTED_LATE.every === 0) stall(PLANTED_LATE.ms)
      this.#fire(from, to, order)
    })
    await sleep(Math.max(0, (this.#end - micros()) / 1000))
    this.#busy = performance.eventLoopUtilization(before).utilization
    await Promise.all([...this.#commands, returns])
  }

  /** Waits for what is on its way and counts. */
  async finish({ seqs, heads: after }: Done): Promise<PhaseFound> {
    const audience = this.#audience
    const steps = this.#steps
    const late = micros() + (this.#asked.plant ? PLANTED_ARRIVAL_MS : ARRIVAL_MS) * 1000
    while (micros() < late && !isComplete(audience, { steps, after })) await sleep(5)
    const { counts, deliver, deliverFromSend } = tally(audience, {
      steps,
      due: this.#due,
      sent: this.#sent,
      seqs: seqs.map((seq, step) => seq || (this.#seqs[step] as number)),
      before: this.#heads,
      after,
      ms: this.#asked.ms,
      until: this.#end + GRACE_MS * 1000,
    })
    const closed = (delays: DelayRound, what: 'deliver' | 'deliverFromSend' | 'uplink') => {
      const { name } = this.#asked
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
      ...(this.#trouble !== undefined && { trouble: this.#trouble }),
    }
  }

  get #end(): number {
    return this.#begin + this.#asked.ms * 1000
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
    const { workload, prefix, clients } = this.#audience
    const { session, sender, number, cue } = this.#steps[index] as Step
    const client = clients[sender as number] as Client
    if (workload.agent) await this.#until(client.tracks[0] as Track, number, index)
    try {
      const offset = await client.command(sessionId(prefix, session), commandOf(workload, cue, index))
      this.#uplink.record(micros() - (this.#due[index] as number))
      if (offset !== undefined) this.#seqs[index] = Number(offset.slice(offset.indexOf('-') + 1))
    } catch (error) {
      this.#onTrouble(error as Error)
    }
  }

  /** Waits until a client has what it answers: before that nothing is due. */
  async #until(track: Track, seq: number, step: number): Promise<void> {
    const late = micros() + ARRIVAL_MS * 1000
    while (track.seq < seq && micros() < late) await sleep(1)
    const now = micros()
    this.#sent[step] = now
    this.#due[step] = Math.max(this.#due[step] as number, now)
  }

  async #returns(): Promise<void> {
    const { clients, workload } = this.#audience
    const { ms, stormAtMs, steady } = this.#asked
    const onTrouble = (error: Error) => this.#onTrouble(error)
    await sleep(BEGIN_MS + (stormAtMs ?? 0))
    if (stormAtMs !== undefined) this.#currentMs = await storm(clients, onTrouble)
    else if (workload.returnsEveryMs !== undefined && !steady)
      // Everybody is back before the end.
      await comeAndGo(clients, workload.returnsEveryMs, ms - 2 * GRACE_MS, onTrouble)
  }

  #onTrouble(error: Error): void {
    this.#trouble ??= error.message
  }

  #connectionsLost(): number {
    return this.#audience.clients.reduce((sum, { lost }) => sum + lost, 0)
  }
}

function commandOf(workload: Workload, cue: Step['cue'], index: number): object {
  if (workload.command) return workload.command(cue)
  const { type, data, ephemeral } = cue
  // The number is how its receivers tell it: it has no offset.
  const event = { type, data: ephemeral ? { n: index, ...data } : data }
  return { type: 'publish', event, ...(ephemeral && { ephemeral }) }
}

/** Keeps this process busy. */
function stall(ms: number): void {
  const end = micros() + ms * 1000
  while (micros() < end);
}
