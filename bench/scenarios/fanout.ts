/** `fanout`: one session, many subscribers: the cost of a delivered event, compared with other servers. */
import { type Compared, compare, completeChecks, meanCpu } from '../compare.ts'
import type { PeerName } from '../peers/index.ts'
import { hasNchan, noNchan } from '../peers/nchan.ts'
import { type Aim, aimFigures, type Table } from '../report.ts'
import { ratio } from '../stats.ts'
import { bytesPerConnection, idleMemory } from '../workloads/memory.ts'
import { comparePaced } from './fanout-paced.ts'
import { nodeFlags, type Scenario } from './scenario.ts'

const variants = [
  'floor SSE',
  'floor WebSocket',
  'fastify-sse-v2',
  '@fastify/sse',
  'better-sse',
  'ws',
  'socket.io',
  'twinrail SSE',
  'twinrail WebSocket',
] as const satisfies PeerName[]

/** A variant, the server that it is compared with, and the target ratio by events per turn. */
const ratios: readonly [PeerName, PeerName, { readonly [perTurn: number]: number }][] = [
  ['twinrail SSE', 'fastify-sse-v2', { 1: 0.55, 10: 0.2 }],
  ['twinrail WebSocket', 'ws', { 1: 0.82, 10: 0.11 }],
  ['twinrail SSE', 'socket.io', { 1: 0.75, 10: 0.12 }],
  ['twinrail WebSocket', 'socket.io', { 1: 0.75, 10: 0.12 }],
  ['twinrail SSE', 'floor SSE', { 1: 1.2, 10: 1.2 }],
  ['twinrail WebSocket', 'floor WebSocket', { 1: 1.2, 10: 1.2 }],
]

/** Target of resident memory per idle connection, KiB. */
const idleAims: Partial<Record<PeerName, number>> = { 'twinrail SSE': 13, 'twinrail WebSocket': 9 }

export const fanout: Scenario = async (settings, progress) => {
  const { quick, rounds = quick ? 4 : 12 } = settings
  const measured = {
    subscribers: quick ? 100 : 300,
    groups: rounds,
    turns: quick ? 12 : 45,
    idleCounts: quick ? [200, 400, 600] : [1000, 2000, 3000, 4000, 5000],
  }
  const { compared } = await compare(
    { ...measured, variants, perTurn: [1, 10], flags: nodeFlags(settings) },
    progress,
  )
  const idle = new Map<PeerName, number>()
  const idled = quick ? (['twinrail SSE', 'twinrail WebSocket'] as const) : variants
  for (const [index, variant] of idled.entries()) {
    progress.at(index / idled.length, `memory of idle connections, ${variant}`)
    const target = { transport: 'sse', http: '1.1', tls: false, compressed: false, rechunked: false } as const
    idle.set(
      variant,
      bytesPerConnection(await idleMemory({ peer: variant }, target, measured.idleCounts)) / 1024,
    )
  }
  const paced = hasNchan()
    ? await comparePaced(pacedSizes(quick, measured.subscribers, rounds), part =>
        progress.at(part, 'beside Nchan'),
      )
    : undefined
  return {
    scenario: 'fanout',
    settings: measured,
    tables: [...compared.map(part => table(part, idle)), floorTable(compared), ...(paced?.tables ?? [])],
    aims: [...compared.flatMap(aims), ...idleAim(idle)],
    checks: [...completeChecks(compared), ...(paced?.checks ?? [])],
    notes: [
      'CPU: user and system time of the server process per delivered event; all variants in one process, one turn each in shuffled order',
      'ratios: of each group of turns, 10 % at each end left out, median and quartiles',
      'deliveries/s: from append until the load process has everything, so the load bounds it too',
      'delays: one turn at a time on an idle server, one of ten subscribers timed',
      paced
        ? 'beside Nchan: each server in a process of its own, events posted over one connection at a pace, which is in the figures; CPU of nginx’s worker from /proc'
        : noNchan,
    ],
  }
}

/** Of the part beside Nchan. */
export const pacedSizes = (quick: boolean, subscribers: number, rounds: number) => ({
  subscribers,
  rounds: quick ? 1 : rounds,
  turns: quick ? 20 : 200,
  turnsPerSecond: 20,
})

function table(compared: Compared, idle: ReadonlyMap<PeerName, number>): Table {
  return {
    title: `Fan-out, ${compared.perTurn} per turn`,
    columns: ['', 'CPU µs/event', 'deliveries/s', 'p50 ms', 'p99 ms', 'bytes/event', 'idle KiB'],
    rows: compared.figures.map(({ variant, deliveriesPerSecond, bytesPerEvent, p50Ms, p99Ms }) => [
      variant,
      meanCpu(compared, variant),
      deliveriesPerSecond,
      p50Ms,
      p99Ms,
      bytesPerEvent,
      idle.get(variant) ?? '',
    ]),
  }
}

/** The floor compared with the other servers: no server in Node can be below it. */
function floorTable(compared: readonly Compared[]): Table {
  return {
    title: 'The floor against the same peers',
    columns: ['', ...compared.map(({ perTurn }) => `${perTurn} per turn`)],
    rows: ratios.flatMap(([variant, against]) => {
      const floor: PeerName = variant === 'twinrail SSE' ? 'floor SSE' : 'floor WebSocket'
      if (against === floor) return []
      return [
        [`${floor} : ${against}`, ...compared.map(({ groups }) => ratio(groups, floor, against).median)],
      ]
    }),
  }
}

function aims({ perTurn, groups }: Compared): Aim[] {
  return ratios.map(([variant, against, limits]) => ({
    what: `${variant} : ${against}, ${perTurn} per turn`,
    limit: limits[perTurn] as number,
    ...aimFigures(ratio(groups, variant, against)),
  }))
}

function idleAim(idle: ReadonlyMap<PeerName, number>): Aim[] {
  return [...idle].flatMap(([variant, measured]) => {
    const limit = idleAims[variant]
    return limit === undefined ? [] : [{ what: `${variant}, idle connection`, limit, measured, unit: ' KiB' }]
  })
}
