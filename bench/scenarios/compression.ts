/** `compression`: bytes and CPU per delivered event, compressed once for all subscribers and compressed for each. */
import { type Compared, compare, completeChecks, meanCpu } from '../compare.ts'
import type { PeerName } from '../peers/index.ts'
import { type Aim, aimFigures, type Table } from '../report.ts'
import { ratio } from '../stats.ts'
import { interrupted } from './compression-interrupted.ts'
import { nodeFlags, type Scenario } from './scenario.ts'

const variants = [
  'twinrail SSE',
  'twinrail WebSocket',
  'gzip per connection',
  'permessage-deflate per connection',
  'twinrail SSE compressed',
  'twinrail WebSocket compressed',
] as const satisfies PeerName[]

/** Our server compressed, with a history that all subscribers share, and uncompressed. */
const ours: readonly (readonly [PeerName, PeerName])[] = [
  ['twinrail SSE compressed', 'twinrail SSE'],
  ['twinrail WebSocket compressed', 'twinrail WebSocket'],
]

/** Targets by events per turn: bytes per event, and CPU relative to uncompressed. */
const limits: { readonly [perTurn: number]: { bytes: number; cpu: number } } = {
  1: { bytes: 40, cpu: 1.3 },
  10: { bytes: 22, cpu: 1.15 },
}

/** Minimum factor between uncompressed and compressed bytes while subscribers join, leave and are pinged. */
const INTERRUPTED_FACTOR = 4

export const compression: Scenario = async (settings, progress) => {
  const { quick, rounds = quick ? 3 : 10 } = settings
  const measured = { subscribers: quick ? 60 : 300, groups: rounds, turns: quick ? 10 : 40 }
  const compressedOnly = ours.map(([compressed]) => compressed)
  const { compared, refused } = await compare(
    { ...measured, variants, perTurn: [1, 10], compressedOnly, flags: nodeFlags(settings) },
    progress,
  )
  const offered = ours.filter(([compressed]) => !refused.includes(compressed))
  const tables = compared.map(part => table(part, refused))
  const aims = compared.flatMap(part => aimsOf(part, offered))
  const checks = completeChecks(compared)
  if (offered.length > 0) {
    progress.at(0.9, 'with joins and pings all the time')
    const found = await interrupted(quick ? 2 : 5)
    tables.push({
      title: `With ${found.joins} joins, and pings`,
      columns: ['', 'bytes/event', 'plain', 'times fewer'],
      rows: found.wires.map(({ wire, bytes, plain }) => [wire, bytes, plain, plain / bytes]),
    })
    for (const { wire, bytes, plain, complete } of found.wires) {
      const what = `${wire}: bytes with joins and pings : plain`
      aims.push({ what, limit: 1 / INTERRUPTED_FACTOR, measured: bytes / plain })
      checks.push({ what: `${wire}, joins and pings: every event once, in order`, holds: complete })
    }
  }
  return {
    scenario: 'compression',
    settings: measured,
    tables,
    aims,
    checks,
    notes: [
      'CPU: of the server process per delivered event, zlib’s threads included; the same words everywhere',
      'every subscriber inflates all that it gets',
      ...refused.map(name => `${name}: not offered by this server`),
    ],
  }
}

function table(compared: Compared, refused: readonly PeerName[]): Table {
  const plainOf = (name: PeerName) =>
    (name.includes('SSE') || name.startsWith('gzip') ? ours[0] : ours[1])![1]
  const rows = compared.figures.map(({ variant, bytesPerEvent, p50Ms }) => [
    variant,
    bytesPerEvent,
    meanCpu(compared, variant),
    ratio(compared.groups, variant, plainOf(variant)).median,
    p50Ms,
  ])
  return {
    title: `Compression, ${compared.perTurn} per turn`,
    columns: ['', 'bytes/event', 'CPU µs/event', 'against plain', 'p50 ms'],
    rows: [...rows, ...refused.map(name => [name, 'not offered', '', '', ''])],
  }
}

function aimsOf({ perTurn, groups, figures }: Compared, offered: typeof ours): Aim[] {
  const limit = limits[perTurn]!
  return offered.flatMap(([compressed, plain]) => {
    const { bytesPerEvent } = figures.find(({ variant }) => variant === compressed)!
    const name = `${compressed}, ${perTurn} per turn`
    return [
      { what: `${name}: bytes per event`, limit: limit.bytes, measured: bytesPerEvent },
      { what: `${name}: CPU : plain`, limit: limit.cpu, ...aimFigures(ratio(groups, compressed, plain)) },
    ]
  })
}
