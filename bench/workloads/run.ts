/** A run of workloads: all their cells in interleaved rounds, and what was found. */
import { execFileSync } from 'node:child_process'
import { loadavg } from 'node:os'
import type { Cell, Findings, LeftOut } from '../guide/findings.ts'
import { checksOf } from '../guide/validity.ts'
import type { PhaseAsked } from '../load/phase.ts'
import type { Progress } from '../progress.ts'
import { seeded, shuffled } from '../random.ts'
import { environment } from '../report.ts'
import { type CellRound, lengths, playCell } from './cell-round.ts'
import { readCertificate } from './certificate.ts'
import { cellOf } from './gather.ts'
import { idleMemory } from './memory.ts'
import { isInstalled } from './nginx.ts'
import { Stages } from './stages.ts'
import { type CellPlan, cellsOf, leftOutOf, memoryVariants } from './variants.ts'
import type { WorkloadName } from './workload.ts'

export interface RunAsked {
  readonly names: readonly WorkloadName[]
  readonly quick: boolean
  readonly rounds: number
  readonly seed: number
  /** A fault that the run must be found invalid for. */
  readonly plant?: PhaseAsked['plant']
  /** Leaves out what is not in this list of variants' names. @default all */
  readonly variants?: readonly string[]
}

/** The ramp takes long and its result is coarse: so many rounds are enough. */
const KNEE_ROUNDS = { full: 3, quick: 1 }

/** How long one takes beside its phases, roughly, s: to know how far the run is. */
const OVERHEAD_S = 1
const MEMORY_S = 9

/** Where a run came to nothing through no fault of the server, and why. */
class LeftOutCells {
  readonly all: LeftOut[] = []

  add({ workload, variant }: CellPlan, why: string, impossible: boolean): void {
    if (!this.has({ workload, variant })) this.all.push({ workload, variant: variant.name, why, impossible })
  }

  has({ workload, variant }: Pick<CellPlan, 'workload' | 'variant'>): boolean {
    return this.all.some(cell => cell.workload === workload && cell.variant === variant.name)
  }
}

/** @throws Error when a cell comes to nothing that should not */
export async function runWorkloads(asked: RunAsked, progress: Progress): Promise<Findings> {
  const { names, quick, rounds, seed, plant, variants: only } = asked
  const size = quick ? 'quick' : 'full'
  const began = {
    ...environment(),
    commit: commit(),
    loadAverage: loadavg().map(load => Number(load.toFixed(2))),
  }
  const leftOut = new LeftOutCells()
  const wanted = names.flatMap(name => cellsOf(name, quick))
  const plans = wanted.filter(({ variant }) => !only || only.includes(variant.name))
  leftOut.all.push(...leftOutOf(quick))
  const nginx = isInstalled()
  for (const plan of plans) {
    if (plan.variant.path !== 'direct' && !nginx) leftOut.add(plan, 'nginx is not installed here.', false)
  }
  const certificate = readCertificate()
  const stages = new Stages(certificate)
  const found = new Map<CellPlan, CellRound[]>(plans.map(plan => [plan, []]))
  // A planted fault has nothing to do with memory.
  const idle = memoryVariants(quick).filter(
    ({ name }) => !plant && plans.some(({ variant }) => variant.name === name),
  )
  const cost = (plan: CellPlan) => secondsOf(plan, quick)
  const whole = rounds * plans.reduce((sum, plan) => sum + cost(plan), 0) + MEMORY_S * idle.length
  let done = 0
  try {
    for (let round = 0; round < rounds; round++) {
      for (const plan of shuffled(plans, seeded(seed + round))) {
        progress.at(done / whole, `round ${round + 1} of ${rounds}: ${plan.workload}, ${plan.variant.name}`)
        done += cost(plan)
        if (leftOut.has(plan)) continue
        const now = { ...plan, knee: plan.knee === true && round < KNEE_ROUNDS[size] }
        try {
          const stage = await stages.of(plan.variant)
          const cell = await playCell(stages, stage, now, { seed, round, lengths: lengths(quick), plant })
          if (cell.trouble !== undefined)
            progress.note(`${plan.workload}, ${plan.variant.name}: ${cell.trouble}`)
          found.get(plan)?.push(cell)
        } catch (error) {
          // What nginx does to who does not configure it is a finding; anything else is a fault.
          if (plan.variant.path !== 'nginx as it comes') throw error
          leftOut.add(plan, whyOf(error as Error), true)
        }
      }
    }
    const cells: Cell[] = []
    for (const [plan, cellRounds] of found) {
      if (cellRounds.length > 0) cells.push(await cellOf(plan, cellRounds, stages.load.call.curve))
    }
    await stages.stop()
    const memory = []
    for (const variant of idle) {
      progress.at(done / whole, `memory of connections, ${variant.name}`)
      memory.push(await idleMemory(variant, certificate, quick))
      done += MEMORY_S
    }
    const variants = [...new Map(plans.map(({ variant }) => [variant.name, variant])).values()]
    const settings = { quick, rounds, seed }
    const findings = {
      format: 1 as const,
      environment: began,
      settings,
      variants,
      cells,
      memory,
      leftOut: leftOut.all,
    }
    const checks = checksOf(findings)
    return { ...findings, checks, valid: checks.every(({ holds }) => holds) }
  } finally {
    await stages.stop()
  }
}

/** About how long a cell takes in a round, s. */
function secondsOf(plan: CellPlan, quick: boolean): number {
  const { warmUp, bytes, delays, storm, slow, knee, autocannon } = lengths(quick)
  const ms =
    warmUp +
    bytes +
    delays +
    (plan.storm ? storm : 0) +
    (plan.slow ? 3 * slow : 0) +
    (plan.knee ? 6 * knee : 0) +
    (plan.autocannon ? autocannon : 0)
  return OVERHEAD_S + ms / 1000
}

/** What an error says of a connection that was not to be had, as a sentence. */
function whyOf({ message }: Error): string {
  const status = /HTTP\/1\.[01] (\d+ [^\r\n]*)/.exec(message)?.[1]
  return status === undefined
    ? `Clients could not connect: ${message.split('\n')[0]}`
    : `Clients could not connect: the answer was ${status}.`
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown'
  }
}
