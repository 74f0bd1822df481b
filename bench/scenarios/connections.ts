/** `connections`: many idle clients of one process: memory, CPU at rest, and their arrival, first and after a restart. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { micros } from '../clock.ts'
import { type IdleWire, idleWires } from '../load/idle-client.ts'
import type { IdleLoadHandlers } from '../load/idle-process.ts'
import { freePort } from '../peers/peer.ts'
import type { Progress } from '../progress.ts'
import { seeded, shuffled } from '../random.ts'
import { type Aim, aimFigures, type Check, quartileFigures, type Result, type Table } from '../report.ts'
import type { IdleServerHandlers } from '../server/idle-process.ts'
import { heartbeatsMs, type IdleServer } from '../server/idle-servers.ts'
import { median, quantile, type Spread, slope, spread } from '../stats.ts'
import { startWorker, type Worker } from '../worker.ts'
import { nodeFlags, type Scenario, type Settings } from './scenario.ts'

const serverOf = (variant: IdleWire): IdleServer =>
  variant.startsWith('twinrail') ? 'twinrail' : (variant as IdleServer)

/** How much is measured. */
export interface ConnectionSizes {
  readonly connections: number
  readonly sessions: number
  /** Processes of clients, each with a source address of its own: one has about 28,000 ports. */
  readonly loads: number
  /** How long CPU at rest is measured, in ms. */
  readonly restMs: number
  /** Of all servers, in ms. @default that of each */
  readonly heartbeatMs?: number
  /** Rest before memory and CPU are read, in ms: greetings are sent and the timers of connections have ended. */
  readonly settleMs: number
  /** Time over which clients return, in ms; 5 s is our default. */
  readonly spreadMs: number
}

const SHARED = { sessions: 100, settleMs: 1500, spreadMs: 5000 }

const full: ConnectionSizes = { ...SHARED, connections: 20_000, loads: 4, restMs: 60_000 }
const quickSizes: ConnectionSizes = {
  ...SHARED,
  connections: 2000,
  loads: 2,
  restMs: 4000,
  heartbeatMs: 4000,
}

/** Files besides connections that a server has open. */
const OTHER_FILES = 100

/** Memory is read at so many counts of connections. */
const COUNTS = 5

/** Events that each session gets while the server is away. */
const MISSED = 5

const AIMS: Partial<Record<IdleWire, { kib: number; percent: number }>> = {
  'twinrail SSE': { kib: 11, percent: 3 },
  'twinrail WebSocket': { kib: 8, percent: 3 },
}

/** What one server did in one round. */
interface Found {
  readonly connections: number
  readonly kib: number
  /** Share of a core at rest. */
  readonly percent: number
  /** CPU of a connection and heartbeat, in µs. */
  readonly pingUs: number
  /** Until all were accepted and current, and CPU of one of them. */
  readonly acceptedSeconds: number
  readonly acceptedUs: number
  /** From the stop until half, 99 % and all were current again. */
  readonly backSeconds: readonly [number, number, number]
  /** From a client's return until it was current: p99. */
  readonly returnP99Ms: number
  /** CPU of one return in the new process. */
  readonly backUs: number
  readonly complete: boolean
  /** What the clients of each process had, for the check. */
  readonly seen: string
}

export const connections: Scenario = async (settings, progress) => {
  const sizes = settings.quick ? quickSizes : full
  return measureConnections(sizes, settings, progress)
}

/** The scenario with sizes of its own. */
export async function measureConnections(
  sizes: ConnectionSizes,
  settings: Settings,
  progress: Progress,
): Promise<Result> {
  const { quick, rounds = quick ? 1 : 3 } = settings
  const random = seeded(1)
  const found = new Map<IdleWire, Found[]>(idleWires.map(variant => [variant, []]))
  for (let round = 0; round < rounds; round++) {
    for (const [index, variant] of shuffled(idleWires, random).entries()) {
      const show = (what: string) =>
        progress.at((round + index / idleWires.length) / rounds, `${variant}, ${what}`)
      found.get(variant)?.push(await measureOne(variant, sizes, settings, show))
    }
  }
  const counts = [...found.values()].flat().map(({ connections }) => connections)
  const count = Math.min(...counts)
  return {
    scenario: 'connections',
    settings: { ...sizes, connections: count, rounds, heartbeatsMs },
    tables: [restTable(found, sizes, count), arrivalTable(found, sizes, count)],
    aims: quick ? [] : aimsOf(found),
    checks: checksOf(found),
    notes: [
      'each server in a process of its own; it and the clients have one session in a hundred, and all follow one',
      'memory: slope of resident memory over five counts of connections, after garbage collection, without what the kernel holds; clients send a browser’s headers',
      'at rest: user and system time of the server’s process with the heartbeat that each has by default, that of ws as in its README; clients answer each ping',
      'a restart: the server tells its clients, ends, and a new process starts on its port, with the time of its start in the figures. Ours spreads their return over 5 s and sends each the events that it missed; the clients of ws and socket.io do the same by themselves, and miss what was sent. A client that finds no server tries again after up to 5 s',
      ...(count < sizes.connections
        ? [
            `${count} and not ${sizes.connections} connections: the limit of open files of a process is ${count + OTHER_FILES} here, and raising it takes CAP_SYS_RESOURCE (ulimit -Hn)`,
          ]
        : []),
    ],
  }
}

async function measureOne(
  variant: IdleWire,
  sizes: ConnectionSizes,
  settings: Settings,
  show: (what: string) => void,
): Promise<Found> {
  const { sessions, loads, restMs, settleMs, spreadMs } = sizes
  const name = serverOf(variant)
  const flags = name === 'twinrail' ? nodeFlags(settings, '--expose-gc') : ['--expose-gc']
  const folder = mkdtempSync(join(tmpdir(), 'twinrail-bench-connections-'))
  const ids = Array.from({ length: sessions }, (_, i) => `idle-${i}`)
  const heartbeatMs = sizes.heartbeatMs ?? heartbeatsMs[name]
  const clients = Array.from({ length: loads }, () => startWorker<IdleLoadHandlers>('load/idle-process'))
  let server = startWorker<IdleServerHandlers>('server/idle-process', flags)
  try {
    const options = { port: await freePort(), folder, heartbeatMs, spreadMs, sessions: ids }
    const files = await server.call.openFiles(sizes.connections + OTHER_FILES)
    const connections = Math.min(sizes.connections, files - OTHER_FILES)
    const port = await server.call.start(name, { ...options, events: 0 })
    for (const [index, { call }] of clients.entries()) {
      const localAddress = `127.0.0.${index + 2}`
      await call.begin({ wire: variant, port, localAddress, spreadMs, heartbeatMs }, ids)
    }
    const { kib, seconds, cpuUs } = await accept(server, clients, connections, settleMs, show)
    show('at rest')
    const before = await server.call.cpuUs()
    const began = micros()
    await sleep(restMs)
    const restCpuUs = (await server.call.cpuUs()) - before
    const restUs = micros() - began

    show('restart')
    const returned = Promise.all(clients.map(({ call }) => call.returned()))
    // Awaited below: a failure in the meantime is not one of its own.
    returned.catch(() => {})
    const stopped = micros()
    await server.call.stop()
    await server.stop()
    server = startWorker<IdleServerHandlers>('server/idle-process', flags)
    await server.call.openFiles(files)
    await server.call.start(name, { ...options, port, events: MISSED })
    const startCpuUs = await server.call.cpuUs()
    const times = await returned
    const backCpuUs = (await server.call.cpuUs()) - startCpuUs
    const seen = await Promise.all(clients.map(({ call }) => call.seen()))
    const back = times.flatMap(({ currentAt }) => [...currentAt].map(at => (at - stopped) / 1e6))
    const waits = times.flatMap(({ currentAt, returnedAt }) =>
      [...currentAt].map((at, i) => (at - (returnedAt[i] as number)) / 1000),
    )
    const due = name === 'twinrail' ? MISSED : 0
    return {
      connections,
      kib,
      percent: (100 * restCpuUs) / restUs,
      pingUs: (restCpuUs * heartbeatMs * 1000) / restUs / connections,
      acceptedSeconds: seconds,
      acceptedUs: cpuUs / connections,
      backSeconds: [quantile(back, 0.5), quantile(back, 0.99), Math.max(...back)],
      returnP99Ms: quantile(waits, 0.99),
      backUs: backCpuUs / connections,
      complete: seen.every(({ faults, events }) => faults === 0 && events.every(count => count === due)),
      seen: seen
        .map(({ faults, events }) => `${faults} faults, ${events.join('–')} of ${due} events`)
        .join('; '),
    }
  } finally {
    await Promise.all([server.stop(), ...clients.map(client => client.stop())])
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Opens all connections in steps; the time between them, in which memory is read, does not count. */
async function accept(
  server: Worker<IdleServerHandlers>,
  clients: readonly Worker<IdleLoadHandlers>[],
  connections: number,
  settleMs: number,
  show: (what: string) => void,
): Promise<{ kib: number; seconds: number; cpuUs: number }> {
  const points: { x: number; y: number }[] = []
  let seconds = 0
  let cpuUs = 0
  for (let step = 1; step <= COUNTS; step++) {
    const count = Math.round((connections * step) / COUNTS)
    show(`${count} connections`)
    const before = await server.call.cpuUs()
    const began = micros()
    await Promise.all(
      clients.map(({ call }, i) =>
        call.grow(Math.floor((count * (i + 1)) / clients.length) - Math.floor((count * i) / clients.length)),
      ),
    )
    seconds += (micros() - began) / 1e6
    cpuUs += (await server.call.cpuUs()) - before
    await sleep(settleMs)
    points.push({ x: count, y: await server.call.resident() })
  }
  return { kib: slope(points) / 1024, seconds, cpuUs }
}

const over = (all: readonly Found[] | undefined, figure: (found: Found) => number): Spread =>
  spread((all ?? []).map(figure))

function restTable(found: ReadonlyMap<IdleWire, Found[]>, sizes: ConnectionSizes, count: number): Table {
  return {
    title: `${count} idle connections`,
    columns: ['', 'KiB each', 'at rest, % of a core', 'heartbeat s', 'CPU µs/heartbeat'],
    rows: [...found].map(([variant, all]) => [
      variant,
      over(all, ({ kib }) => kib).median,
      over(all, ({ percent }) => percent).median,
      (sizes.heartbeatMs ?? heartbeatsMs[serverOf(variant)]) / 1000,
      over(all, ({ pingUs }) => pingUs).median,
    ]),
  }
}

function arrivalTable(found: ReadonlyMap<IdleWire, Found[]>, sizes: ConnectionSizes, count: number): Table {
  return {
    title: `${count} clients come, and come back after a restart, over ${sizes.spreadMs / 1000} s`,
    columns: [
      '',
      'all accepted s',
      'quartiles',
      'CPU µs each',
      'back: half s',
      '99 % s',
      'all s',
      'of each, p99 ms',
      'CPU µs each',
    ],
    rows: [...found].map(([variant, all]) => [
      variant,
      over(all, ({ acceptedSeconds }) => acceptedSeconds).median,
      quartileFigures(over(all, ({ acceptedSeconds }) => acceptedSeconds)),
      over(all, ({ acceptedUs }) => acceptedUs).median,
      ...([0, 1, 2] as const).map(i => median(all.map(({ backSeconds }) => backSeconds[i]))),
      over(all, ({ returnP99Ms }) => returnP99Ms).median,
      over(all, ({ backUs }) => backUs).median,
    ]),
  }
}

/** CPU at rest is that of the heartbeats, so that of a few connections less is that of all in proportion. */
function aimsOf(found: ReadonlyMap<IdleWire, Found[]>): Aim[] {
  return [...found].flatMap(([variant, all]) => {
    const aims = AIMS[variant]
    if (!aims) return []
    return [
      {
        what: `${variant}, an idle connection`,
        limit: aims.kib,
        unit: ' KiB',
        ...aimFigures(over(all, ({ kib }) => kib)),
      },
      {
        what: `${variant}, ${full.connections} at rest`,
        limit: aims.percent,
        unit: ' % of a core',
        ...aimFigures(over(all, ({ percent, connections }) => (percent * full.connections) / connections)),
      },
    ]
  })
}

const checksOf = (found: ReadonlyMap<IdleWire, Found[]>): Check[] =>
  [...found].map(([variant, all]) => ({
    what: `${variant}: every client came back${variant.startsWith('twinrail') ? ' and had each event that it had missed once, in order' : ''}`,
    holds: all.every(({ complete }) => complete),
    ...(all.some(({ complete }) => !complete) && { detail: all.map(({ seen }) => seen).join('; ') }),
  }))
