/** `processes`: what `serve --processes 2` costs over one process, with the same clients and events on one Redis. */
import { setTimeout as sleep } from 'node:timers/promises'
import { micros } from '../clock.ts'
import { Publisher } from '../load/publisher.ts'
import type { handlers as Subscribers } from '../load/subscriber-process.ts'
import { dialTwinrail } from '../peers/dial-twinrail.ts'
import { wires } from '../peers/peer.ts'
import type { Progress } from '../progress.ts'
import { seeded, shuffled } from '../random.ts'
import { noRedis, startRedis } from '../redis.ts'
import { quartileFigures, type Result } from '../report.ts'
import { type Served, startServed } from '../server/served.ts'
import { type Group, ratio, spread } from '../stats.ts'
import { deltas, take } from '../text.ts'
import { startWorker, type Worker } from '../worker.ts'
import { timeDelivery } from './delivery.ts'
import type { Scenario, Settings } from './scenario.ts'

const COUNTS = [1, 2] as const

export interface ProcessesSizes {
  readonly sessions: number
  /** Of each session, half of them by SSE and half by WebSocket. */
  readonly subscribers: number
  /** Events of each session in a round, and their pace. */
  readonly events: number
  readonly perSecond: number
}

const full: ProcessesSizes = { sessions: 8, subscribers: 40, events: 500, perSecond: 20 }
const quickSizes: ProcessesSizes = { ...full, events: 40 }

interface Started {
  readonly count: number
  readonly served: Served
  readonly load: Worker<typeof Subscribers>
  readonly publishers: readonly Publisher[]
}

export const processes: Scenario = (settings, progress) =>
  measureProcesses(settings.quick ? quickSizes : full, settings, progress)

/** The scenario with sizes of its own. */
export async function measureProcesses(
  sizes: ProcessesSizes,
  { quick, rounds = quick ? 2 : 9 }: Settings,
  progress: Progress,
): Promise<Result> {
  await using redis = await startRedis()
  if (!redis) throw new Error(noRedis)
  const started: Started[] = []
  const cpu: Group[] = []
  const p50: Group[] = []
  const p99: Group[] = []
  const complete = new Map<number, boolean>(COUNTS.map(count => [count, true]))
  try {
    for (const count of COUNTS) started.push(await start(count, redis.url, sizes))
    const random = seeded(1)
    // The first round warms up.
    for (let round = 0; round <= rounds; round++) {
      const found = {
        cpu: {} as Record<string, number>,
        p50: {} as Record<string, number>,
        p99: {} as Record<string, number>,
      }
      for (const one of shuffled(started, random)) {
        const name = String(one.count)
        const measured = await play(one, sizes)
        found.cpu[name] = measured.cpuUs
        found.p50[name] = measured.p50Ms
        found.p99[name] = measured.p99Ms
        if (!measured.complete) complete.set(one.count, false)
      }
      progress.at((round + 1) / (rounds + 1))
      if (round === 0) continue
      cpu.push(found.cpu)
      p50.push(found.p50)
      p99.push(found.p99)
    }
  } finally {
    for (const { served, load, publishers } of started) {
      for (const publisher of publishers) publisher.close()
      await load.stop()
      await served.stop()
    }
  }
  const of = (groups: readonly Group[], count: number) => spread(groups.map(group => group[count] as number))
  const cost = ratio(cpu, '2', '1')
  return {
    scenario: 'processes',
    settings: { ...sizes, rounds },
    tables: [
      {
        title: `${sizes.sessions} sessions with ${sizes.subscribers} subscribers and ${sizes.perSecond} events a second each`,
        columns: ['processes', 'CPU µs/event', 'quartiles', ': one process', 'p50 ms', 'p99 ms'],
        rows: COUNTS.map(count => [
          String(count),
          of(cpu, count).median,
          quartileFigures(of(cpu, count)),
          count === 1 ? 1 : cost.median,
          of(p50, count).median,
          of(p99, count).median,
        ]),
      },
    ],
    aims: [],
    checks: [...complete].map(([count, holds]) => ({
      what: `${count} ${count === 1 ? 'process' : 'processes'}: every subscriber got every event once, in order`,
      holds,
    })),
    notes: [
      'CPU: of all processes of the server, the supervisor too, per delivered event, without that of Redis; both servers run all the time and take turns',
      'events are posted on a connection for each session; node:cluster spreads connections over the processes, so most events reach some of their subscribers through Redis',
      'delays: from when an event was due; medians of the sessions and rounds',
    ],
  }
}

async function start(
  count: number,
  redis: string,
  { sessions, subscribers }: ProcessesSizes,
): Promise<Started> {
  // A database of its own: the two are not nodes of one server.
  const served = await startServed(count, `${redis}/${count}`)
  const load = startWorker<typeof Subscribers>('load/subscriber-process')
  const ids = Array.from({ length: sessions }, (_, i) => sessionOf(count, i))
  const publishers = ids.map(() => new Publisher(served.port))
  for (const [i, sessionId] of ids.entries()) {
    publishers[i]?.post('/v1/sessions', [JSON.stringify({ sessionId })])
    await publishers[i]?.answered()
  }
  const dials = ids.flatMap(sessionId =>
    wires.map(wire => dialTwinrail(wire, served.port, { replay: 'none' }, false, sessionId)),
  )
  await load.call.open(dials, subscribers / wires.length, 4)
  await load.call.pongEvery(PONG_MS)
  return { count, served, load, publishers }
}

/** Subscribers are idle while the other server has its turn; the server closes a WebSocket that is silent for 45 s. */
const PONG_MS = 10_000

const sessionOf = (count: number, i: number) => `of-${count}-${i}`

const bodies = deltas(1)
let ids = 0

async function play(
  { count, served, load, publishers }: Started,
  { sessions, subscribers, events, perSecond }: ProcessesSizes,
): Promise<{ cpuUs: number; p50Ms: number; p99Ms: number; complete: boolean }> {
  const before = served.cpuUs()
  const deliveries = await timeDelivery(load, { perTurn: 1, turns: events }, async () => {
    const due = publishers.map(() => new Float64Array(events))
    const begun = micros()
    for (let event = 0; event < events; event++) {
      for (const [i, publisher] of publishers.entries()) {
        // The sessions take turns, so that their events do not come together.
        const at = begun + ((event + i / sessions) * 1e6) / perSecond
        while (micros() < at) await sleep(1)
        ;(due[i] as Float64Array)[event] = at
        const [{ data } = {}] = take(bodies, 1)
        const command = { type: 'publish', id: String(++ids), event: { type: 'x.delta', data } }
        publisher.post(`/v1/sessions/${sessionOf(count, i)}/commands`, [JSON.stringify(command)])
      }
    }
    for (const publisher of publishers) await publisher.answered()
    return due.flatMap(times => wires.map(() => times))
  })
  const percentile = (index: 0 | 1) => spread(deliveries.map(({ delays }) => delays[index])).median
  return {
    cpuUs: (served.cpuUs() - before) / (sessions * subscribers * events),
    p50Ms: percentile(0),
    p99Ms: percentile(1),
    complete: deliveries.every(({ complete }) => complete),
  }
}
