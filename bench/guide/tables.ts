/** The report's tables. Pure. */
import { measureName, type Range, type Transport } from '../package/guide.ts'
import { figure, type Table } from '../report.ts'
import {
  cellOf,
  cpu,
  type Found,
  isPlain,
  isShown,
  variantOf as plainVariant,
  regression,
  transportNames,
  transports,
  workloadsOf,
} from './cells.ts'
import type { Cell, Delays, Figure, Findings, Variant } from './findings.ts'
import { type Comparison, ownMeasures, type Verdict } from './verdict.ts'

/** The median with its quartiles: `0.91 (0.88–0.95)`; without them when they are equal. */
export function ranged(range: Range | undefined): string {
  if (!range || !Number.isFinite(range.median)) return '–'
  const [median, low, high] = [range.median, range.low, range.high].map(figure)
  return low === high ? `${median}` : `${median} (${low}–${high})`
}

/** A percentile with its quartiles, where enough delays lie beyond it. */
export const percentile = (delays: Delays | undefined, at: number, value: (delays: Delays) => Figure) =>
  delays && isShown(delays, at) ? ranged(value(delays)) : '–'

const nameOf = (transport: Transport | 'neither') =>
  transport === 'neither' ? 'neither' : transportNames[transport]

/** One line for each scenario. */
export function verdictTable(verdicts: readonly Verdict[]): Table {
  return {
    title: 'Each scenario in a line',
    columns: ['scenario', 'tutorial', 'guide', 'the figures favour', 'agree'],
    rows: verdicts.map(verdict => [
      verdict.scenario.title,
      verdict.scenario.teaching ? nameOf(verdict.scenario.teaching.transport) : '–',
      nameOf(verdict.guide),
      verdict.notJudged !== undefined
        ? '–'
        : verdict.wasMeasured
          ? nameOf(verdict.speaksFor)
          : 'not measured',
      agreement(verdict),
    ]),
  }
}

/** Whether guide and tutorial agree with the figures, in words. */
export function agreement({ wasMeasured, notJudged, guideAgrees, tutorialAgrees }: Verdict): string {
  if (!wasMeasured || notJudged !== undefined) return '–'
  if (guideAgrees && tutorialAgrees !== false) return 'yes'
  if (!guideAgrees && tutorialAgrees !== true) return 'no'
  return guideAgrees ? 'the tutorial does not' : 'the guide does not'
}

const labelOf = ({ measure, unit, connections }: Comparison) =>
  `${measureName(measure)}${connections === undefined ? '' : ` (${connections} connections against one WebSocket)`}, ${unit}`

/** The measures of one scenario, its own first and marked. */
export function comparisonTable({ comparisons, scenario }: Verdict): Table {
  return {
    title: 'SSE and WebSocket',
    columns: ['measure', ...transports.map(transport => transportNames[transport]), 'difference'],
    rows: comparisons.map(comparison => [
      `${labelOf(comparison)}${ownMeasures(scenario).includes(comparison.measure) ? ' *' : ''}`,
      ...transports.map(transport => ranged(comparison.ranges[transport])),
      comparison.text,
    ]),
  }
}

const named = ({ variants }: Found, name: string) => variants.find(variant => variant.name === name)

/** Removes empty columns. */
function withoutEmpty({ title, columns, rows }: Table): Table {
  const filled = columns.map((_, i) => i === 0 || rows.some(row => row[i] !== '–'))
  const keep = <T>(cells: readonly T[]) => cells.filter((_, i) => filled[i])
  return { title, columns: keep(columns), rows: rows.map(keep) }
}

/** The cells of a workload on the wanted variants. */
export function cellTable(found: Found, workload: string, wanted: (variant: Variant) => boolean): Table {
  const cells = found.cells.filter(cell => {
    const variant = named(found, cell.variant)
    return cell.workload === workload && variant !== undefined && wanted(variant)
  })
  return withoutEmpty({
    title: workload,
    columns: [
      '',
      'first event ms',
      'p50 ms',
      'p99 ms',
      'p99.9 ms',
      'CPU µs',
      'bytes',
      'handshake B',
      'knee/s',
    ],
    rows: cells.map(cell => [
      cell.variant,
      ranged(cell.firstEventMs),
      percentile(cell.deliver, 50, ({ p50 }) => p50),
      percentile(cell.deliver, 99, ({ p99 }) => p99),
      percentile(cell.deliver, 99.9, ({ p999 }) => p999),
      ranged(cpu(cell)),
      ranged(cell.bytesPerEvent),
      ranged(cell.handshakeBytes),
      ranged(cell.kneePerSecond),
    ]),
  })
}

/** The floor, other servers and our plain transports, in each workload that has them. */
export const peerTables = (found: Found): Table[] =>
  workloadsOf(found).flatMap(workload => {
    const isOther = (variant: Variant) => variant.server !== 'twinrail'
    if (cellTable(found, workload, isOther).rows.length === 0) return []
    return [cellTable(found, workload, variant => isOther(variant) || isPlain(variant))]
  })

/** The workload with the most variants: it has those with compression, TLS and HTTP/2. */
export function widestWorkload(found: Found): string | undefined {
  const count = (workload: string) => found.cells.filter(cell => cell.workload === workload).length
  return workloadsOf(found).reduce<string | undefined>(
    (widest, workload) => (widest === undefined || count(workload) > count(widest) ? workload : widest),
    undefined,
  )
}

/** Delays of all workloads from when an event was due, and from when it was really sent. */
export function latencyTable(found: Found, verdicts: readonly Verdict[]): Table {
  const fromSend = (workload: string, transport: Transport) => {
    const variant = plainVariant(found, workload, transport)
    const cell = variant && cellOf(found, workload, variant.name)
    return percentile(cell?.deliverFromSend, 50, ({ p50 }) => p50)
  }
  return {
    title: 'Publish → receive in all workloads, p50',
    columns: [
      'workload',
      'SSE ms',
      'WebSocket ms',
      'difference',
      'SSE ms, from sending',
      'WebSocket ms, from sending',
    ],
    rows: verdicts.flatMap(({ name, comparisons }) => {
      const deliver = comparisons.find(({ measure }) => measure === 'deliver')
      if (!deliver) return []
      const { sse, websocket } = deliver.ranges
      return [
        [
          name,
          ranged(sse),
          ranged(websocket),
          deliver.text,
          fromSend(name, 'sse'),
          fromSend(name, 'websocket'),
        ],
      ]
    }),
  }
}

/** A row for each cell for which `figures` has any. */
const rowsOf = (found: Found, figures: (cell: Cell) => (string | number)[] | undefined) =>
  found.cells.flatMap(cell => {
    const row = figures(cell)
    return row ? [[`${cell.workload}, ${cell.variant}`, ...row]] : []
  })

/** Commands: round trip, bytes, and autocannon's figures. */
export const uplinkTable = (found: Found): Table =>
  withoutEmpty({
    title: 'Commands (bytes of long-poll include the polls meanwhile)',
    columns: [
      'workload, transport',
      'p50 ms',
      'p99 ms',
      'bytes each',
      'autocannon p50 ms',
      'autocannon p99 ms',
    ],
    rows: rowsOf(
      found,
      ({ uplink, commandBytes, autocannon }) =>
        uplink && [
          percentile(uplink, 50, ({ p50 }) => p50),
          percentile(uplink, 99, ({ p99 }) => p99),
          ranged(commandBytes),
          ranged(autocannon?.p50Ms),
          ranged(autocannon?.p99Ms),
        ],
    ),
  })

/** The cost of slow readers for the other clients and for the server. */
export const slowTable = (found: Found): Table => ({
  title: 'Slow readers',
  columns: [
    'workload, transport',
    'p99 of the others, ms',
    'p99 without slow readers, ms',
    'memory beyond that, MiB',
  ],
  rows: rowsOf(
    found,
    ({ slow, deliver }) =>
      slow && [
        percentile(slow.healthy, 99, ({ p99 }) => p99),
        percentile(deliver, 99, ({ p99 }) => p99),
        ranged(slow.heldMiB),
      ],
  ),
})

/** Recovery after all connections were cut at once. */
export const stormTable = (found: Found): Table => ({
  title: 'Reconnect storm',
  columns: ['workload, transport', 'until all are current, ms', 'until half are, ms', 'until 99 % are, ms'],
  rows: rowsOf(found, ({ storm }) => {
    const timeOf = (part: number) => storm?.recovery.find(([, current]) => current >= part)?.[0] ?? '–'
    return storm && [ranged(storm.currentMs), timeOf(0.5), timeOf(0.99)]
  }),
})

export function memoryTable({ memory }: Found): Table {
  return {
    title: 'Memory per idle connection',
    columns: ['', 'KiB a connection', 'standard error', 'counts', 'explained by the line, %'],
    rows: memory.map(one => {
      const { slope, error, explained } = regression(one)
      return [one.variant, slope, error, String(one.points.length), explained * 100]
    }),
  }
}

export function checksTable({ checks }: Findings): Table {
  return {
    title: 'Checks',
    columns: ['what must hold', '', 'got'],
    rows: checks.map(({ what, holds, detail = '' }) => [what, holds ? 'holds' : 'FAILED', detail]),
  }
}

export function leftOutTable({ leftOut }: Found): Table {
  return {
    title: 'What was not measured',
    columns: ['workload, variant', '', 'why'],
    rows: leftOut.map(({ workload, variant, why, impossible }) => [
      `${workload}, ${variant}`,
      impossible ? 'does not work' : 'left out',
      why,
    ]),
  }
}

const plainly = (value: unknown): string =>
  value !== null && typeof value === 'object'
    ? Object.entries(value)
        .map(([name, one]) => (Array.isArray(value) ? plainly(one) : `${name} ${plainly(one)}`))
        .join(', ')
    : String(value)

export function environmentTable({ environment, settings }: Found): Table {
  return {
    title: 'Environment',
    columns: ['', ''],
    rows: Object.entries({ ...environment, ...settings }).map(([name, value]) => [name, plainly(value)]),
  }
}

/** What a terminal shows of a run. */
export const summaryTables = (found: Found): Table[] =>
  [
    ...workloadsOf(found).map(workload => cellTable(found, workload, () => true)),
    uplinkTable(found),
    slowTable(found),
    stormTable(found),
    memoryTable(found),
  ].filter(({ rows }) => rows.length > 0)
