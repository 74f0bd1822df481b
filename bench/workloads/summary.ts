/** What a run of workloads found, as tables for a terminal; the page and the selection guide say more. */
import type { Cell, Delays, Findings } from '../guide/findings.ts'
import { figure, type Result, type Table } from '../report.ts'

const NONE = '–'

const p50 = (delays: Delays | undefined) => (delays ? delays.p50.median : NONE)
const p99 = (delays: Delays | undefined) => (delays ? delays.p99.median : NONE)

function delaysTable(cells: readonly Cell[]): Table {
  return {
    title: 'Delays, CPU and bytes (medians of the rounds)',
    columns: [
      'workload, variant',
      'first event ms',
      'p50 ms',
      'p99 ms',
      'uplink p50',
      'p99 ms',
      'CPU µs/event',
      'bytes/event',
      'late p99 ms',
      'busy %',
    ],
    rows: cells.map(cell => [
      `${cell.workload}, ${cell.variant}`,
      cell.firstEventMs.median,
      p50(cell.deliver),
      p99(cell.deliver),
      p50(cell.uplink),
      p99(cell.uplink),
      cell.cpuUserUs.median + cell.cpuSystemUs.median,
      cell.bytesPerEvent.median,
      cell.generator.lateP99Ms.median,
      cell.generator.busy.median * 100,
    ]),
  }
}

function extrasTable(cells: readonly Cell[]): Table {
  return {
    title: 'What else was looked for',
    columns: [
      'workload, variant',
      'knee events/s',
      'storm: all current ms',
      'slow: held MiB',
      'slow: p99 ms of the others',
      'autocannon p50 ms',
      'bytes/command',
    ],
    rows: cells
      .filter(cell => cell.kneePerSecond ?? cell.storm ?? cell.slow ?? cell.autocannon ?? cell.commandBytes)
      .map(({ workload, variant, kneePerSecond, storm, slow, autocannon, commandBytes }) => [
        `${workload}, ${variant}`,
        kneePerSecond?.median ?? NONE,
        storm?.currentMs.median ?? NONE,
        slow?.heldMiB.median ?? NONE,
        p99(slow?.healthy),
        autocannon?.p50Ms.median ?? NONE,
        commandBytes?.median ?? NONE,
      ]),
  }
}

export function summaryOf(findings: Findings): Result {
  const { cells, memory, leftOut, checks, settings } = findings
  const extras = extrasTable(cells)
  const delivered = cells.reduce((sum, { counts }) => sum + counts.delivered, 0)
  return {
    scenario: 'workloads',
    settings,
    tables: [
      delaysTable(cells),
      ...(extras.rows.length > 0 ? [extras] : []),
      {
        title: 'Memory of idle connections',
        columns: ['variant', 'KiB/connection'],
        rows: memory.map(({ variant, kibPerConnection }) => [variant, kibPerConnection]),
      },
    ],
    aims: [],
    checks,
    notes: [
      `${figure(delivered)} events were delivered and checked; seed ${settings.seed}, ${settings.rounds} rounds`,
      ...leftOut.map(({ workload, variant, why }) => `not there: ${workload}, ${variant}. ${why}`),
    ],
  }
}
