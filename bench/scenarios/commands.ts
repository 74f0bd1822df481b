/** `commands`: what a small command costs, with its ack and its deliveries, in rooms of a few members. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CommandLoadHandlers, Work } from '../load/command-load-process.ts'
import { hasNchan, noNchan } from '../peers/nchan.ts'
import { seeded, shuffled } from '../random.ts'
import { noRedis, startRedis } from '../redis.ts'
import { type Aim, aimFigures, type Table } from '../report.ts'
import type { CommandServerHandlers } from '../server/command-server-process.ts'
import { type CommandServer, commandServers } from '../server/command-servers.ts'
import { type Group, ratio, spread } from '../stats.ts'
import { startWorker, type Worker } from '../worker.ts'
import { nodeFlags, type Scenario } from './scenario.ts'

/** A measurement: what the members of so many sessions do at the same time. */
interface Part {
  readonly title: string
  readonly work: Work
  readonly sessions: number
  readonly members: number
  readonly pipeline: number
  readonly servers: readonly CommandServer[]
  /** What is counted. */
  readonly unit: string
}

const ours = commandServers.filter(name => name.startsWith('twinrail'))
/** Nchan takes what is published by POST only: on a WebSocket it sends no acks. */
const byWebSocket = commandServers.filter(name => name !== 'nchan')
const SESSIONS = 20
const PIPELINE = 4

const parts: readonly Part[] = [
  ...[1, 4, 20].map(members => ({
    title: `publish by WebSocket, ${members} members`,
    work: 'publish' as const,
    sessions: SESSIONS,
    members,
    pipeline: PIPELINE,
    servers: byWebSocket,
    unit: 'publish',
  })),
  {
    title: 'publish by POST, 4 members',
    work: 'post',
    sessions: SESSIONS,
    members: 4,
    pipeline: PIPELINE,
    servers: [...ours, 'nchan'],
    unit: 'publish',
  },
  ...[1, 3].map(members => ({
    title: `tokens of runs, ${members} ${members === 1 ? 'viewer' : 'viewers'}`,
    work: 'run' as const,
    sessions: SESSIONS,
    members,
    pipeline: 1,
    servers: ['ws' as const, ...ours],
    unit: 'token',
  })),
  {
    title: 'steering, 1 member',
    work: 'steer',
    sessions: SESSIONS,
    members: 1,
    pipeline: PIPELINE,
    servers: ours,
    unit: 'message',
  },
  {
    title: 'questions and answers, 1 member',
    work: 'answer',
    sessions: SESSIONS,
    members: 1,
    pipeline: 1,
    servers: ours,
    unit: 'question',
  },
]

/** Commands of each session in one round; each run has 50 tokens. */
const COMMANDS: Record<Work, number> = { publish: 200, post: 100, run: 10, steer: 100, answer: 50 }

/** What each server did in each round of one part. */
interface Measured {
  /** CPU of the server per command, in µs. */
  readonly cpu: Group[]
  readonly perSecond: Group[]
  readonly p50: Group[]
  readonly p99: Group[]
  faults: number
  missing: number
}

const aimed: readonly { part: string; server: CommandServer; against: CommandServer; limit: number }[] = [
  { part: parts[1]?.title ?? '', server: 'twinrail memory', against: 'socket.io', limit: 0.85 },
  { part: parts[1]?.title ?? '', server: 'twinrail memory', against: 'ws', limit: 1.2 },
  { part: parts[1]?.title ?? '', server: 'twinrail lmdb', against: 'socket.io', limit: 1 },
]

/** CPU of a token with one viewer, over memory, in µs. */
const TOKEN_AIM = 40

export const commands: Scenario = async (settings, progress) => {
  const { quick, rounds = quick ? 2 : 9 } = settings
  await using redis = await startRedis()
  const folder = mkdtempSync(join(tmpdir(), 'twinrail-bench-commands-'))
  const isThere = { 'twinrail redis': redis !== undefined, nchan: hasNchan() }
  const names = commandServers.filter(name => isThere[name as keyof typeof isThere] ?? true)
  const servers = new Map<CommandServer, { port: number; worker: Worker<CommandServerHandlers> }>()
  await using load = startWorker<CommandLoadHandlers>('load/command-load-process')
  try {
    for (const name of names) {
      const flags = name === 'twinrail memory' ? nodeFlags(settings) : []
      const worker = startWorker<CommandServerHandlers>('server/command-server-process', flags)
      servers.set(name, { worker, port: await worker.call.start(name, { folder, redis: redis?.url }) })
    }
    const found = new Map<Part, Measured>()
    const random = seeded(1)
    for (const [index, part] of parts.entries()) {
      const measured: Measured = { cpu: [], perSecond: [], p50: [], p99: [], faults: 0, missing: 0 }
      found.set(part, measured)
      const taking = part.servers.filter(name => servers.has(name))
      // The first round warms up.
      for (let round = 0; round <= rounds; round++) {
        progress.at((index + round / (rounds + 1)) / parts.length, `${part.title}, round ${round}`)
        const group = {
          cpu: {} as Record<string, number>,
          perSecond: {} as Record<string, number>,
          p50: {} as Record<string, number>,
          p99: {} as Record<string, number>,
        }
        for (const name of shuffled(taking, random)) {
          const { port, worker } = servers.get(name) as {
            port: number
            worker: Worker<CommandServerHandlers>
          }
          const { sessions, members, work, pipeline } = part
          await load.call.open({ server: name, port, sessions, members })
          const before = await worker.call.cpuUs()
          const commandsEach = quick ? Math.ceil(COMMANDS[work] / 4) : COMMANDS[work]
          const worked = await load.call.work(work, commandsEach, pipeline)
          group.cpu[name] = ((await worker.call.cpuUs()) - before) / worked.count
          await load.call.close()
          group.perSecond[name] = worked.count / worked.seconds
          group.p50[name] = worked.p50Ms
          group.p99[name] = worked.p99Ms
          measured.faults += worked.faults
          measured.missing += worked.count * members - worked.delivered
        }
        if (round === 0) continue
        for (const figure of ['cpu', 'perSecond', 'p50', 'p99'] as const) measured[figure].push(group[figure])
      }
    }
    return {
      scenario: 'commands',
      settings: { rounds, sessions: SESSIONS, pipeline: PIPELINE, perSession: COMMANDS },
      tables: [...found].map(([part, measured]) => tableOf(part, measured, names)),
      aims: quick ? [] : aimsOf(found),
      checks: [...found].map(([{ title }, { faults, missing }]) => ({
        what: `${title}: each member had each event once, in order`,
        holds: faults === 0 && missing === 0,
        ...((faults > 0 || missing > 0) && { detail: `${faults} wrong, ${missing} missing` }),
      })),
      notes: [
        'CPU: user and system time of the server’s process per command, with its ack and its delivery to each member',
        'as many commands at once as the pipeline has, so the delays are those of a busy server; the load is a process of its own',
        'ws and socket.io relay without a log, a cursor, keys and checks; “recovery” is socket.io’s connection state recovery',
        'tokens: runs of 50, one after the other in each session; the agent yields one per turn of the event loop, and the cost of starting and ending the runs is in it',
        ...(redis ? [] : [noRedis]),
        isThere.nchan
          ? 'Nchan keeps the last 1000 events of a channel; CPU of nginx’s worker from /proc'
          : noNchan,
      ],
    }
  } finally {
    for (const { worker } of servers.values()) {
      await worker.call.stop()
      await worker.stop()
    }
    rmSync(folder, { recursive: true, force: true })
  }
}

function tableOf(part: Part, measured: Measured, names: readonly CommandServer[]): Table {
  const of = (groups: readonly Group[], name: CommandServer) =>
    spread(groups.map(group => group[name] as number))
  return {
    title: part.title,
    columns: [
      '',
      `CPU µs/${part.unit}`,
      'quartiles',
      'per delivery',
      `${part.unit}s/s`,
      'ack p50 ms',
      'p99 ms',
    ],
    rows: part.servers
      .filter(name => names.includes(name))
      .map(name => {
        const cpu = of(measured.cpu, name)
        return [
          name,
          cpu.median,
          `${cpu.low.toFixed(1)}–${cpu.high.toFixed(1)}`,
          cpu.median / part.members,
          of(measured.perSecond, name).median,
          of(measured.p50, name).median,
          of(measured.p99, name).median,
        ]
      }),
  }
}

function aimsOf(found: ReadonlyMap<Part, Measured>): Aim[] {
  return [...found].flatMap(([{ title, work, members }, { cpu }]) => [
    ...aimed
      .filter(({ part }) => part === title)
      .map(({ server, against, limit }) => ({
        what: `${server} : ${against}, ${title}`,
        limit,
        ...aimFigures(ratio(cpu, server, against)),
      })),
    ...(work === 'run' && members === 1
      ? [
          {
            what: 'CPU of a token with one viewer, memory',
            limit: TOKEN_AIM,
            unit: ' µs',
            ...aimFigures(spread(cpu.map(group => group['twinrail memory'] as number))),
          },
        ]
      : []),
  ])
}
