/** Compares servers side by side in one process: each gets one turn, in shuffled order. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { handlers as Load } from './load/subscriber-process.ts'
import type { PeerName } from './peers/index.ts'
import type { Progress } from './progress.ts'
import type { Check } from './report.ts'
import type { handlers as Server } from './server/side-by-side.ts'
import { type Group, sum } from './stats.ts'
import { startWorker, type Worker } from './worker.ts'

export interface Comparison {
  variants: readonly PeerName[]
  subscribers: number
  /** Events per turn; each number is measured by itself. */
  perTurn: readonly number[]
  groups: number
  turns: number
  /** Of these variants, the ones whose server does not compress are left out. @default none */
  compressedOnly?: readonly PeerName[]
  /** Node flags of the measured process. */
  flags: readonly string[]
}

/** Results of one variant at one number of events per turn. */
export interface Figures {
  variant: PeerName
  /** Deliveries per second, from append until every subscriber has everything. */
  deliveriesPerSecond: number
  bytesPerEvent: number
  p50Ms: number
  p99Ms: number
  /** Every subscriber got every event once, in order. */
  complete: boolean
}

export interface Compared {
  perTurn: number
  /** CPU of the server's process per delivered event, µs, of each group. */
  groups: Group[]
  figures: Figures[]
}

/** Every how many subscribers one is timed. */
const TIMED_EVERY = 10

/** Subscribers of one variant that connect before it is the next variant's turn. */
const OPENING = 20

/** Time for the servers' greetings after the last subscriber, in ms. */
const GREETING_MS = 1000

/** Turns that are not counted: code is compiled and buffers grow. */
const WARM_UP = 20

/** @returns the measurements by events per turn, and the variants that were left out */
export async function compare(
  comparison: Comparison,
  progress: Progress,
): Promise<{ compared: Compared[]; refused: PeerName[] }> {
  await using server = startWorker<typeof Server>('server/side-by-side', comparison.flags)
  await using load = startWorker<typeof Load>('load/subscriber-process')
  const { dials, receipts } = await server.call.open(comparison.variants)
  await load.call.open(dials, 0, TIMED_EVERY, receipts)
  progress.at(0, 'subscribing')
  const refused: PeerName[] = []
  // A few of each in turn: connections that are made first lie differently in memory, which makes 5 %.
  for (let count = OPENING; count < comparison.subscribers + OPENING; count += OPENING) {
    for (const [index, name] of comparison.variants.entries()) {
      const compresses = await load.call.grow(index, Math.min(count, comparison.subscribers))
      if (comparison.compressedOnly?.includes(name) && !compresses && !refused.includes(name))
        refused.push(name)
    }
  }
  await sleep(GREETING_MS)
  const variants = comparison.variants.filter(name => !refused.includes(name))
  const compared: Compared[] = []
  for (const [index, perTurn] of comparison.perTurn.entries()) {
    const show = (part: number) =>
      progress.at((index + part) / comparison.perTurn.length, `${perTurn} per turn`)
    compared.push(
      await measure({ ...comparison, variants }, perTurn, comparison.variants, server, load, show),
    )
  }
  return { compared, refused }
}

async function measure(
  { variants, subscribers, groups: count, turns }: Comparison,
  perTurn: number,
  opened: readonly PeerName[],
  server: Worker<typeof Server>,
  load: Worker<typeof Load>,
  show: (part: number) => void,
): Promise<Compared> {
  const groups: Group[] = []
  const wall = new Map(variants.map(name => [name, 0]))
  const bytes = new Map(variants.map(name => [name, 0]))
  const incomplete = new Set<PeerName>()
  const deliveries = subscribers * turns * perTurn
  for (let group = -1; group < count; group++) {
    const options = { variants, perTurn, turns: group < 0 ? WARM_UP : turns, seed: perTurn * 1000 + group }
    await load.call.expect(options)
    const measured = await server.call.turns(options)
    const seen = await load.call.seen()
    for (const [index, name] of opened.entries()) {
      if (!variants.includes(name)) continue
      const { faults, complete } = seen[index]!
      if (faults > 0 || complete < options.turns) incomplete.add(name)
      if (group < 0) continue
      bytes.set(name, bytes.get(name)! + seen[index]!.bytes)
      wall.set(name, wall.get(name)! + measured.wall[name]!)
    }
    show((group + 1) / count)
    if (group < 0) {
      await load.call.forgetDelays()
      continue
    }
    await load.call.recordDelays(opened.map(name => measured.appended[name]))
    groups.push(Object.fromEntries(variants.map(name => [name, measured.cpu[name]! / deliveries])))
  }
  const delays = await load.call.delays([50, 99])
  const figures = variants.map((variant): Figures => {
    const [p50Ms, p99Ms] = delays[opened.indexOf(variant)] as [number, number]
    return {
      variant,
      deliveriesPerSecond: (deliveries * count * 1e6) / wall.get(variant)!,
      bytesPerEvent: bytes.get(variant)! / (deliveries * count),
      p50Ms,
      p99Ms,
      complete: !incomplete.has(variant),
    }
  })
  return { perTurn, groups, figures }
}

/** The mean of a variant's CPU per delivered event over all groups, µs. */
export const meanCpu = ({ groups }: Compared, variant: PeerName) =>
  sum(groups.map(group => group[variant]!)) / groups.length

/** The checks that every subscriber got everything. */
export const completeChecks = (compared: readonly Compared[]): Check[] =>
  compared.flatMap(({ perTurn, figures }) =>
    figures.map(({ variant, complete }) => ({
      what: `${variant}, ${perTurn} per turn: every subscriber got every event once, in order`,
      holds: complete,
    })),
  )
