/** Which plots are drawn of what was measured. */
import type { Table } from '../report.ts'
import { cpu, type Found, isTold, regression } from './cells.ts'
import type { Cell, Delays, Memory } from './findings.ts'
import { escaped, folded, tableHtml } from './html.ts'
import { PEER_COLOURS } from './page-style.ts'
import { type Bar, bars, barText, curves, linear, logarithmic, percentiles, type Series } from './plots.ts'
import { percentile } from './tables.ts'

/** The classes that give a variant its colour: of our transports; the floor; each of the peers. */
export function kindOf({ variants }: Found, name: string): string {
  const variant = variants.find(variant => variant.name === name)
  if (!variant) return 'peer-1'
  if (variant.server === 'twinrail') return variant.rail
  if (variant.server === 'floor') return `floor ${variant.rail === 'websocket' ? 'dashed' : ''}`.trim()
  const peers = [...new Set(variants.map(({ server }) => server))].filter(
    server => server !== 'twinrail' && server !== 'floor',
  )
  return `peer-${(peers.indexOf(variant.server) % PEER_COLOURS) + 1}`
}

/** A plot with its caption, the key of its colours, and the same as a table. */
function plot(title: string, svg: string, keys: readonly Series[], table: Table): string {
  const key = keys.map(({ name, kind }) => `<li class="key ${kind}">${escaped(name)}</li>`).join('')
  const legend = keys.length > 0 ? `<ul class="keys">${key}</ul>` : ''
  return `<figure><figcaption>${escaped(title)}</figcaption>${svg}${legend}${folded('The same as a table', tableHtml(table))}</figure>`
}

/** The curve as far as it means something. */
const toldPart = (delays: Delays) => delays.curve.filter(([percentile]) => isTold(delays, percentile))

const valueAt = (curve: Delays['curve'], percentile: number) =>
  curve.find(([at]) => at >= percentile)?.[1] ?? Number.NaN

/** Delay over percentile, one curve a variant. */
export function latencyPlot(found: Found, cells: readonly Cell[], title: string): string {
  const series = cells.flatMap(({ variant, deliver }) => {
    const points = toldPart(deliver)
    return points.length > 1 ? [{ name: variant, kind: kindOf(found, variant), points }] : []
  })
  if (series.length === 0) return ''
  const values = series.flatMap(({ points }) => points.map(([, ms]) => ms)).filter(ms => ms > 0)
  const furthest = Math.max(...series.flatMap(({ points }) => points.map(([percentile]) => percentile)))
  const x = percentiles('percentile', furthest)
  // The quickest few say nothing and would stretch the axis.
  const typical = Math.min(...series.map(({ points }) => valueAt(points, 10)).filter(ms => ms > 0))
  const y = logarithmic('ms', Number.isFinite(typical) ? typical : Math.min(...values), Math.max(...values))
  return plot(title, curves(`${title}: ms over percentile`, x, y, series), series, {
    title,
    columns: ['', 'p50 ms', 'p90 ms', 'p99 ms', 'p99.9 ms'],
    rows: cells.map(({ variant, deliver }) => [
      variant,
      percentile(deliver, 50, ({ p50 }) => p50),
      percentile(deliver, 90, ({ p90 }) => p90),
      percentile(deliver, 99, ({ p99 }) => p99),
      percentile(deliver, 99.9, ({ p999 }) => p999),
    ]),
  })
}

function barPlot(
  title: string,
  unit: string,
  rows: readonly (Bar & { columns: readonly number[] })[],
  columns: string[],
) {
  if (rows.length === 0) return ''
  return plot(`${title}, ${unit}`, bars(title, rows), [], {
    title: `${title}, ${unit}`,
    columns: ['', ...columns],
    rows: rows.map(({ name, columns }) => [name, ...columns]),
  })
}

/** CPU per delivered event: user, then system. */
export function cpuPlot(found: Found, cells: readonly Cell[]): string {
  const rows = cells.map(cell => {
    const parts = [cell.cpuUserUs.median, cell.cpuSystemUs.median]
    const { median } = cpu(cell)
    const kind = kindOf(found, cell.variant)
    return { name: cell.variant, kind, parts, text: barText(median, 'µs'), columns: [...parts, median] }
  })
  return barPlot('Server CPU per event: user, paler system', 'µs', rows, ['user', 'system', 'together'])
}

export function bytesPlot(found: Found, cells: readonly Cell[]): string {
  const rows = cells.map(({ variant, bytesPerEvent: { median, low, high } }) => ({
    name: variant,
    kind: kindOf(found, variant),
    parts: [median],
    text: barText(median, 'B'),
    columns: [median, low, high],
  }))
  return barPlot('Bytes on the wire per event', 'B', rows, ['median', 'low', 'high'])
}

/** How resident memory grows with the number of connections, with the straight lines through the points. */
export function memoryPlot(found: Found, memory: readonly Memory[], title: string): string {
  const mib = (bytes: number) => bytes / 2 ** 20
  const series: Series[] = memory
    .filter(({ points }) => points.length >= 3)
    .map(one => {
      const least = Math.min(...one.points.map(({ bytes }) => bytes))
      const points = one.points.map(({ connections, bytes }) => [connections, mib(bytes - least)] as const)
      const meanX = points.reduce((sum, [x]) => sum + x, 0) / points.length
      const meanY = points.reduce((sum, [, y]) => sum + y, 0) / points.length
      const perConnection = regression(one).slope / 1024
      const at = (x: number) => [x, meanY + perConnection * (x - meanX)] as const
      const [first, last] = [
        points[0] as readonly [number, number],
        points.at(-1) as readonly [number, number],
      ]
      return {
        name: one.variant,
        kind: kindOf(found, one.variant),
        points,
        fit: [at(first[0]), at(last[0])] as const,
      }
    })
  if (series.length === 0) return ''
  const all = series.flatMap(({ points }) => points)
  const x = linear('connections', Math.max(...all.map(([connections]) => connections)))
  const y = linear('MiB more', Math.max(...all.map(([, mib]) => mib)))
  const counts = [...new Set(all.map(([connections]) => connections))].sort((a, b) => a - b)
  return plot(title, curves(`${title}: MiB more over connections`, x, y, series), series, {
    title: 'MiB more than with the fewest, by connections',
    columns: ['', ...counts.map(String)],
    rows: series.map(({ name, points }) => [
      name,
      ...counts.map(count => points.find(([connections]) => connections === count)?.[1] ?? '–'),
    ]),
  })
}

/** Which part of the clients is current again, over the time since all were cut. */
export function stormPlot(found: Found, cells: readonly Cell[]): string {
  const series = cells.flatMap(({ variant, storm }) => {
    const recovery = storm?.recovery ?? []
    return recovery.length > 1
      ? [
          {
            name: variant,
            kind: kindOf(found, variant),
            points: recovery.map(([ms, part]) => [ms, part * 100] as const),
          },
        ]
      : []
  })
  if (series.length === 0) return ''
  const x = linear(
    'ms since all were cut',
    Math.max(...series.flatMap(({ points }) => points.map(([ms]) => ms))),
  )
  const y = linear('% of clients current', 100)
  const parts = [50, 90, 99, 100]
  return plot(
    'Reconnect storm',
    curves('Reconnect storm: clients current over time', x, y, series, true),
    series,
    {
      title: 'Until so many clients are current, ms',
      columns: ['', ...parts.map(part => `${part} %`)],
      rows: series.map(({ name, points }) => [
        name,
        ...parts.map(part => points.find(([, current]) => current >= part - 1e-9)?.[0] ?? '–'),
      ]),
    },
  )
}
