/** A run of the workloads: all cells in interleaved rounds. */
import { execFileSync } from 'node:child_process'
import { loadavg } from 'node:os'
import type { Cell, Findings, LeftOut } from '../guide/findings.ts'
import { checksOf } from '../guide/validity.ts'
import type { PhaseOptions } from '../load/phase.ts'
import type { Progress } from '../progress.ts'
import { seeded, shuffled } from '../random.ts'
import { environment } from '../report.ts'
import { type CellRound, lengths, playCell } from './cell-round.ts'
import { cellOf } from './gather.ts'
import { variantMemory } from './memory.ts'
import { isInstalled } from './nginx.ts'
import { Stages } from './stages.ts'
import { type CellPlan, cellsOf, leftOutOf, memoryVariants } from './variants.ts'
import type { WorkloadName } from './workload.ts'

export interface RunOptions {
  readonly names: readonly WorkloadName[]
  readonly quick: boolean
  readonly rounds: number
  readonly seed: number
  /** A planted fault, which must make the run invalid. */
  readonly plant?: PhaseOptions['plant']
  /** Names of the variants to run. @default all */
  readonly variants?: readonly string[]
}

/** Rounds with a ramp: it takes long and its result is coarse. */
const KNEE_ROUNDS = { full: 3, quick: 1 }

/** Rough durations for the progress display, s: of a cell without its phases, and of one memory measurement. */
const OVERHEAD_S = 1
const MEMORY_S = 9

/** @throws Error when clients cannot connect (other than through an nginx with its defaults) */
export async function runWorkloads(options: RunOptions, progress: Progress): Promise<Findings> {
  const { names, quick, rounds, seed, plant, variants: only } = options
  const size = quick ? 'quick' : 'full'
  const began = {
    ...environment(),
    commit: commit(),
    loadAverage: loadavg().map(load => Number(load.toFixed(2))),
  }
  const leftOut = new Map<CellPlan, Pick<LeftOut, 'why' | 'impossible'>>()
  const wanted = names.flatMap(name => cellsOf(name, quick))
  const plans = wanted.filter(({ variant }) => !only || only.includes(variant.name))
  const nginx = isInstalled()
  for (const plan of plans) {
    if (plan.variant.path !== 'direct' && !nginx)
      leftOut.set(plan, { why: 'nginx is not installed here.', impossible: false })
  }
  const stages = new Stages()
  const found = new Map<CellPlan, CellRound[]>(plans.map(plan => [plan, []]))
  // Memory has nothing to do with planted faults.
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
          if (cell.error !== undefined) progress.note(`${plan.workload}, ${plan.variant.name}: ${cell.error}`)
          found.get(plan)?.push(cell)
        } catch (error) {
          // That nginx with its defaults lets no WebSocket through is a result; anything else is a fault.
          if (plan.variant.path !== 'nginx as it comes') throw error
          leftOut.set(plan, { why: whyOf(error as Error), impossible: true })
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
      memory.push(await variantMemory(variant, quick))
      done += MEMORY_S
    }
    const variants = [...new Map(plans.map(({ variant }) => [variant.name, variant])).values()]
    const settings = { quick, rounds, seed }
    const findings = {
      format: 2 as const,
      environment: began,
      settings,
      variants,
      cells,
      memory,
      leftOut: [
        ...leftOutOf(quick),
        ...[...leftOut].map(([{ workload, variant }, why]) => ({ workload, variant: variant.name, ...why })),
      ],
    }
    const checks = checksOf(findings)
    return { ...findings, checks, valid: checks.every(({ holds }) => holds) }
  } finally {
    await stages.stop()
  }
}

/** Rough duration of a cell in a round, s. */
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

/** The reason for a refused connection, as a sentence. */
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
