/** One phase: a stretch of the script is played on an absolute schedule, and what every client got of it is counted. */

import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { micros } from '../clock.ts'
import { type Step, sessionId, type Workload } from '../workloads/workload.ts'
import type { Client } from './client.ts'
import { DelayRound, type Percentiles } from './delays.ts'
import type { Metronome } from './metronome.ts'
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

/** What was delivered, summed over clients. */
export interface PhaseCounts {
  expected: number
  delivered: number
  lost: number
  doubled: number
  outOfOrder: number
  failedConnections: number
  offeredPerSecond: number
  achievedPerSecond: number
}

export interface PhaseFound {
  readonly counts: PhaseCounts
  readonly lateP99Ms: number
  /** The busy part of this process's time, 0..1. */
  readonly busy: number
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

/** How often a planted lateness stops the generator, in calls, and for how long, ms. */
const PLANTED_LATE = { every: 10, ms: 30 }

/** Who is connected. */
export interface Audience {
  readonly workload: Workload
  /** Begins the names of its sessions. */
  readonly prefix: string
  readonly clients: readonly Client[]
  /** Those who read at full speed; only what they get is counted. */
  readonly healthy: readonly Client[]
  /** The healthy ones of a session. */
  followers(session: number): readonly { client: Client; track: Track }[]
  /** Whether ephemeral events reach its clients: they reach live streams only. */
  readonly hearsEphemeral: boolean
}

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
  readonly #currentMs: number[] = []
  readonly #lostBefore: number
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
    for (let session = 0; session < heads.length; session++) {
      for (const { track } of audience.followers(session)) track.mark(heads[session] as number)
    }
    const [first] = audience.clients
    if (first && asked.plant && asked.plant !== 'late') first.plant = asked.plant
  }

  /** Plays it. @param order has the server publish these steps */
  async play(metronome: Metronome, order: (steps: readonly number[]) => void): Promise<void> {
    this.#begin = micros() + BEGIN_MS * 1000
    this.#due.set(this.#steps.map(({ atMs }) => this.#begin + atMs * 1000))
    const before = performance.eventLoopUtilization()
    const others = [this.#storm(), this.#comeAndGo()]
    let calls = 0
    await metronome.run(this.#due, (from, to) => {
      if (this.#asked.plant === 'late' && ++calls % PLANTED_LATE.every === 0) stall(PLANTED_LATE.ms)
      this.#fire(from, to, order)
    })
    await sleep(Math.max(0, (this.#end - micros()) / 1000))
    this.#busy = performance.eventLoopUtilization(before).utilization
    await Promise.all([...this.#commands, ...others])
  }

  /** Waits for what is on its way and counts. */
  async finish({ seqs, heads }: Done): Promise<PhaseFound> {
    const { hearsEphemeral, followers, healthy } = this.#audience
    const late = micros() + ARRIVAL_MS * 1000
    while (micros() < late && !this.#isComplete(heads)) await sleep(5)
    const deliver = new DelayRound()
    const deliverFromSend = new DelayRound()
    let [expected, delivered, inTime, surplus] = [0, 0, 0, 0]
    const book = (at: number | undefined, step: number) => {
      expected++
      if (!at) return
      delivered++
      if (at <= this.#end + GRACE_MS * 1000) inTime++
      deliver.record(at - (this.#due[step] as number))
      deliverFromSend.record(at - (this.#sent[step] as number))
    }
    const planned = heads.map(() => 0)
    for (const [index, { session, cue }] of this.#steps.entries()) {
      if (cue.ephemeral) {
        if (hearsEphemeral)
          for (const { client } of followers(session)) book(client.ephemeral.get(index), index)
        continue
      }
      planned[session]!++
      const seq = seqs[index] || (this.#seqs[index] as number)
      for (const { track } of followers(session)) book(seq === 0 ? undefined : track.at(seq), index)
    }
    for (const [session, head] of heads.entries()) {
      const more = head - (this.#heads[session] as number) - (planned[session] as number)
      if (more > 0) surplus += more * followers(session).length
    }
    const tracks = healthy.flatMap(client => client.tracks)
    const seconds = this.#asked.ms / 1000
    const name = this.#asked.name
    const closed = (delays: DelayRound, what: string) => {
      const percentiles = name === undefined ? undefined : delays.close(`${name}|${what}`)
      return percentiles && { [what]: percentiles }
    }
    return {
      counts: {
        expected,
        delivered,
        lost: expected - delivered,
        doubled:
          surplus +
          sum(tracks, ({ doubled }) => doubled) +
          sum(healthy, ({ doubledEphemeral }) => doubledEphemeral),
        outOfOrder: sum(tracks, ({ outOfOrder }) => outOfOrder),
        failedConnections: this.#connectionsLost() - this.#lostBefore,
        offeredPerSecond: expected / seconds,
        achievedPerSecond: inTime / seconds,
      },
      lateP99Ms: this.#late.percentile(99),
      busy: this.#busy,
      commands: this.#commands.length,
      ...closed(deliver, 'deliver'),
      ...closed(deliverFromSend, 'deliverFromSend'),
      ...closed(this.#uplink, 'uplink'),
      currentMs: this.#currentMs.sort((a, b) => a - b),
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
    if (workload.agent) {
      // It is due once its user can have read what it is about.
      const [track] = client.tracks as [Track]
      const late = micros() + ARRIVAL_MS * 1000
      while (track.seq < number && micros() < late) await sleep(1)
      this.#sent[index] = micros()
      this.#due[index] = Math.max(this.#due[index] as number, this.#sent[index] as number)
    }
    try {
      const offset = await client.command(sessionId(prefix, session), commandOf(workload, cue, index))
      this.#uplink.record(micros() - (this.#due[index] as number))
      if (offset !== undefined) this.#seqs[index] = Number(offset.slice(offset.indexOf('-') + 1))
    } catch (error) {
      this.#trouble ??= (error as Error).message
    }
  }

  async #storm(): Promise<void> {
    const { stormAtMs } = this.#asked
    if (stormAtMs === undefined) return
    await sleep(BEGIN_MS + stormAtMs)
    const cut = micros()
    const { clients } = this.#audience
    for (const client of clients) client.cut()
    await Promise.all(
      clients.map(async client => {
        await this.#reopen(client)
        this.#currentMs.push((micros() - cut) / 1000)
      }),
    )
  }

  /** Clients that lose their line now and then, one after the other. */
  async #comeAndGo(): Promise<void> {
    const { workload, clients } = this.#audience
    const { returnsEveryMs } = workload
    const { steady, stormAtMs } = this.#asked
    if (returnsEveryMs === undefined || steady || stormAtMs !== undefined) return
    const last = BEGIN_MS + this.#asked.ms - 2 * GRACE_MS
    await Promise.all(
      clients.map(async (client, index) => {
        const first = BEGIN_MS + ((index + 0.5) / clients.length) * returnsEveryMs
        let slept = 0
        for (let at = first; at < last; at += returnsEveryMs) {
          await sleep(at - slept)
          slept = at
          client.cut()
          await this.#reopen(client)
        }
      }),
    )
  }

  async #reopen(client: Client): Promise<void> {
    try {
      await client.open()
    } catch (error) {
      this.#trouble ??= (error as Error).message
    }
  }

  #isComplete(heads: readonly number[]): boolean {
    const { followers, hearsEphemeral, healthy } = this.#audience
    if (!heads.every((head, session) => followers(session).every(({ track }) => track.seq >= head)))
      return false
    if (!hearsEphemeral) return true
    const told = this.#steps.filter(({ cue }) => cue.ephemeral)
    const expected = sum(told, ({ session }) => followers(session).length)
    return sum(healthy, ({ ephemeral }) => ephemeral.size) >= expected
  }

  #connectionsLost(): number {
    return sum(this.#audience.clients, ({ lost }) => lost)
  }
}

const sum = <T>(items: readonly T[], of: (item: T) => number) =>
  items.reduce((total, item) => total + of(item), 0)

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
