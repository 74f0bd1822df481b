/** The measured process of a comparison: all variants side by side, one turn each in shuffled order. */
import { micros } from '../clock.ts'
import { type PeerName, peers } from '../peers/index.ts'
import type { Dial, Peer } from '../peers/peer.ts'
import { seeded, shuffled } from '../random.ts'
import { serveWorker } from '../serve.ts'
import { deltas, take } from '../text.ts'
import { receipts } from './receipts.ts'

interface Variant {
  readonly name: PeerName
  readonly index: number
  readonly peer: Peer
  readonly bodies: ReturnType<typeof deltas>
}

/** One group of turns. */
export interface TurnsOptions {
  variants: readonly PeerName[]
  perTurn: number
  turns: number
  seed: number
}

/** The cost of one group of turns for each variant. */
export interface TurnsMeasured {
  /** User and system time of this process, µs. */
  readonly cpu: Record<string, number>
  /** From the first append of each turn until every subscriber had all of it, µs. */
  readonly wall: Record<string, number>
  /** When each turn was appended, µs on the machine's clock. */
  readonly appended: Record<string, Float64Array>
}

let all: Variant[] = []
let next: Awaited<ReturnType<typeof receipts>>['next']

export const handlers = {
  /** Starts the variants. @returns how to subscribe to each, and the port for receipts */
  async open(names: readonly PeerName[]): Promise<{ dials: Dial[]; receipts: number }> {
    all = await Promise.all(
      names.map(async (name, index) => ({
        name,
        index,
        peer: await peers[name](),
        bodies: deltas(index + 1),
      })),
    )
    const listening = await receipts()
    next = listening.next
    return { dials: all.map(({ peer }) => peer.dial), receipts: listening.port }
  },

  async turns({ variants, perTurn, turns, seed }: TurnsOptions): Promise<TurnsMeasured> {
    const random = seeded(seed)
    const taking = all.filter(({ name }) => variants.includes(name))
    const zeros = () => Object.fromEntries(taking.map(({ name }) => [name, 0]))
    const cpu = zeros()
    const wall = zeros()
    const appended = Object.fromEntries(taking.map(({ name }) => [name, new Float64Array(turns)]))
    for (let turn = 0; turn < turns; turn++) {
      for (const { name, index, peer, bodies } of shuffled(taking, random)) {
        const events = take(bodies, perTurn)
        const arrived = next(index, name)
        const before = process.cpuUsage()
        const start = micros()
        peer.publish(events)
        await arrived
        const used = process.cpuUsage(before)
        cpu[name]! += used.user + used.system
        wall[name]! += micros() - start
        appended[name]![turn] = start
      }
    }
    return { cpu, wall, appended }
  },
}

serveWorker(handlers)
