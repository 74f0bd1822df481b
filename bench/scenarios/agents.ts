/** `agents`: what an event costs and how long it takes when a worker executes the run, compared with an agent inside. */
import { aimFigures } from '../report.ts'
import type { AgentWorkerHandlers } from '../server/agent-worker-process.ts'
import type { AgentsHandlers } from '../server/agents-process.ts'
import { median, quantile, ratio, spread } from '../stats.ts'
import { startWorker } from '../worker.ts'
import { nodeFlags, type Scenario } from './scenario.ts'

/** Events of one run as fast as possible, and at a pace. */
const BURST = 20_000
const PACED = 400
const EVERY_MS = 8

/** Aims: CPU of an event through a worker, in those of an event inside, and the median time that it adds, in ms. */
const MAX_RATIO = 2
const MAX_ADDED_MS = 2

const places = ['inside', 'worker'] as const

export const agents: Scenario = async (settings, progress) => {
  const { quick, rounds = quick ? 2 : 7 } = settings
  const burst = quick ? BURST / 10 : BURST
  await using server = startWorker<AgentsHandlers>('server/agents-process', nodeFlags(settings))
  await using worker = startWorker<AgentWorkerHandlers>('server/agent-worker-process')
  await worker.call.connect(await server.call.url())
  for (const place of places) await server.call.burst(place, burst)
  const cpu: Record<(typeof places)[number], number>[] = []
  const parts: { server: number; worker: number }[] = []
  const delays: Record<(typeof places)[number], number[]> = { inside: [], worker: [] }
  const added: number[] = []
  for (let round = 0; round < rounds; round++) {
    progress.at(round / rounds, `round ${round + 1}`)
    const group = { inside: 0, worker: 0 }
    const medians = { inside: 0, worker: 0 }
    for (const place of round % 2 ? places : places.toReversed()) {
      const part = await server.call.burst(place, burst)
      group[place] = part.server + part.worker
      if (place === 'worker') parts.push(part)
      const times = await server.call.paced(place, quick ? PACED / 4 : PACED, EVERY_MS)
      medians[place] = median(times)
      delays[place].push(...times)
    }
    cpu.push(group)
    added.push(medians.worker - medians.inside)
  }
  const row = (place: (typeof places)[number]) => [
    place,
    median(cpu.map(group => group[place])),
    place === 'worker' ? median(parts.map(part => part.worker)) : 0,
    quantile(delays[place], 0.5),
    quantile(delays[place], 0.95),
  ]
  return {
    scenario: 'agents',
    settings: { burst, paced: PACED, everyMs: EVERY_MS, rounds },
    tables: [
      {
        title: `an event of an agent, medians of ${rounds} rounds`,
        columns: ['', 'CPU µs', 'of it the worker', 'delay p50 ms', 'delay p95 ms'],
        rows: places.map(row),
      },
    ],
    aims: quick
      ? []
      : [
          {
            what: 'CPU of an event through a worker ÷ inside',
            limit: MAX_RATIO,
            unit: '',
            ...aimFigures(ratio(cpu, 'worker', 'inside')),
          },
          {
            what: 'median delay that a worker adds',
            limit: MAX_ADDED_MS,
            unit: 'ms',
            ...aimFigures(spread(added)),
          },
        ],
    checks: [],
    notes: [
      'CPU: user and system, of the server’s process and the worker’s together, for deltas in bursts of 50',
      'delay: from the agent’s yield to the delivery in the server, one event every 8 ms',
    ],
  }
}
