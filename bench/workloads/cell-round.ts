/** One cell in one round: bytes through the proxy, first events, delays, and the cell's extra measurements. */
import type { CommandsResult } from '../load/autocannon-process.ts'
import type { PhaseCounts } from '../load/count-deliveries.ts'
import type { PhaseOptions, PhaseResult } from '../load/phase.ts'
import { portsOf, type Target, via } from '../load/target.ts'
import { median } from '../stats.ts'
import type { Stage, Stages } from './stages.ts'
import type { CellPlan } from './variants.ts'
import { clientCount, Script, sessionId } from './workload.ts'
import { workloads } from './workloads.ts'

/** Durations, ms. */
export interface Lengths {
  /** Until greetings have arrived and the code is warm. */
  readonly warmUp: number
  readonly bytes: number
  readonly delays: number
  readonly storm: number
  /** Each of three: one to warm up, one without and one with slow readers. */
  readonly slow: number
  /** Each step of the ramp. */
  readonly knee: number
  readonly autocannon: number
  /** Number of clients that connect one after the other to time their first event. */
  readonly probes: number
}

export const lengths = (quick: boolean): Lengths =>
  quick
    ? { warmUp: 550, bytes: 300, delays: 900, storm: 400, slow: 500, knee: 250, autocannon: 1000, probes: 3 }
    : {
        warmUp: 600,
        bytes: 800,
        delays: 2600,
        storm: 1000,
        slow: 2000,
        knee: 400,
        autocannon: 1000,
        probes: 7,
      }

/** The results of one cell in one round. */
export interface CellRound {
  readonly firstEventMs: number
  readonly main: PhaseResult
  readonly cpuUserUs: number
  readonly cpuSystemUs: number
  readonly bytesPerEvent: number
  readonly handshakeBytes: number
  readonly commandBytes?: number
  readonly storm?: PhaseResult
  readonly slow?: { result: PhaseResult; heldMiB: number }
  readonly kneePerSecond?: number
  readonly autocannon?: CommandsResult
  /** Of all phases. */
  readonly counts: readonly PhaseCounts[]
  /** Message of the first error. */
  readonly error?: string
}

/** Speed at which a slow reader's backlog soon outgrows the kernel's buffers. */
const SLOW_SPEED: Partial<Record<CellPlan['workload'], number>> = { chat: 20, binary: 40 }

/** Speed of each step of the ramp. */
const RAMP = [8, 16, 32, 64, 128, 256, 512]

/** The ramp ends where less than this part of the offered events arrives in time. */
const KEPT_UP = 0.9

const MIB = 2 ** 20

export interface RoundOptions {
  readonly seed: number
  readonly round: number
  readonly lengths: Lengths
  readonly plant?: PhaseOptions['plant']
}

/** Plays the cell. @throws Error when clients cannot connect */
export async function playCell(
  { load, proxy, commands }: Stages,
  stage: Stage,
  plan: CellPlan,
  { seed, round, lengths, plant }: RoundOptions,
): Promise<CellRound> {
  const workload = workloads[plan.workload]
  const prefix = `${plan.workload}-${round}`
  const name = `${plan.workload}|${plan.variant.name}`
  const { server } = stage
  const all: PhaseResult[] = []
  const play = async (options: PhaseOptions): Promise<PhaseResult> => {
    const heads = await server.call.prepare(options.ms, options.speed)
    await load.call.play(options, heads)
    const result = await load.call.finish(await server.call.settled())
    all.push(result)
    return result
  }
  const dials = await server.call.begin(plan.workload, seed, prefix)
  const target: Target = dials ? { ...stage.target, dials } : stage.target
  await load.call.begin({ workload: plan.workload, seed, prefix, orders: stage.orders })
  try {
    const bytes = await countBytes()
    const firstEventMs = median(await load.call.probe(target, lengths.probes))
    await load.call.open(target)
    const before = await server.call.cpu()
    const main = await play({ ms: lengths.delays, name, plant })
    const after = await server.call.cpu()
    const delivered = Math.max(1, main.counts.delivered)
    const storm = plan.storm
      ? await play({ ms: lengths.storm, stormAtMs: lengths.storm / 4, name: `${name}|storm` })
      : undefined
    const kneePerSecond = plan.knee ? await ramp() : undefined
    const slow = plan.slow ? await withSlowReaders() : undefined
    await load.call.close()
    const autocannon = plan.autocannon ? await secondOpinion() : undefined
    const error = all.find(result => result.error !== undefined)?.error
    return {
      firstEventMs,
      main,
      cpuUserUs: (after.user - before.user) / delivered,
      cpuSystemUs: (after.system - before.system) / delivered,
      ...bytes,
      ...(storm && { storm }),
      ...(slow && { slow }),
      ...(kneePerSecond !== undefined && { kneePerSecond }),
      ...(autocannon && { autocannon }),
      counts: all.map(({ counts }) => counts),
      ...(error !== undefined && { error }),
    }
  } finally {
    await load.call.close()
    await load.call.end()
    await server.call.end()
    await proxy.call.close()
  }

  /** Through the proxy. This also warms the server up. */
  async function countBytes() {
    const proxied = await proxy.call.open(portsOf(target))
    const start = await proxy.call.counted()
    await load.call.open(via(target, proxied))
    const open = await proxy.call.counted()
    await play({ ms: lengths.warmUp, steady: true })
    const warm = await proxy.call.counted()
    const { counts, commands: sent } = await play({ ms: lengths.bytes, steady: true })
    const end = await proxy.call.counted()
    await load.call.close()
    await proxy.call.close()
    return {
      bytesPerEvent: (end.down - warm.down) / Math.max(1, counts.delivered),
      handshakeBytes: (open.up + open.down - start.up - start.down) / clientCount(workload),
      ...(sent > 0 && { commandBytes: (end.up - warm.up) / sent }),
    }
  }

  async function ramp(): Promise<number> {
    let best = 0
    // One hiccup of the machine is not the limit, so each step may be repeated once.
    for (let step = 0, missed = 0; step < RAMP.length && missed < 2; ) {
      const { counts } = await play({ ms: lengths.knee, speed: RAMP[step] as number })
      best = Math.max(best, counts.achievedPerSecond)
      const keptUp = counts.achievedPerSecond >= KEPT_UP * counts.offeredPerSecond
      if (keptUp) step++
      missed = keptUp ? 0 : missed + 1
    }
    return best
  }

  async function withSlowReaders() {
    const phase = { ms: lengths.slow, speed: SLOW_SPEED[plan.workload] ?? 1 }
    // New connections each time, since old ones hold more memory.
    const afterwards = async (slowly: boolean) => {
      await load.call.close()
      await load.call.open(target, slowly)
      const result = await play(slowly ? { ...phase, name: `${name}|slow` } : phase)
      return { result, held: (await server.call.memory()).held }
    }
    // The first fills the server's cache of each session.
    const [full, healthy, slow] = [await afterwards(false), await afterwards(false), await afterwards(true)]
    // The log grows by the same amount each time.
    const grown = healthy.held - full.held
    return { result: slow.result, heldMiB: (slow.held - healthy.held - grown) / MIB }
  }

  async function secondOpinion(): Promise<CommandsResult> {
    const seconds = lengths.autocannon / 1000
    const sent = new Script(workload, seed).next(lengths.autocannon).filter(step => step.sender !== undefined)
    const [first] = sent
    const { type, data } = (first as (typeof sent)[number]).cue
    return commands.call.run({
      url: `http://127.0.0.1:${target.port}/v1/sessions/${sessionId(prefix, 0)}/commands`,
      body: JSON.stringify({ type: 'publish', id: 'autocannon', event: { type, data } }),
      perSecond: Math.round(sent.length / seconds),
      seconds,
    })
  }
}
