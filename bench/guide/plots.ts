/** Small plots as SVG: curves and bars. Pure; whoever shows them gives the colours by class. */
import { figure } from '../report.ts'
import { escaped } from './html.ts'

export interface Scale {
  readonly label: string
  /** 0 at the beginning of the axis, 1 at its end. */
  place(value: number): number
  readonly ticks: readonly (readonly [value: number, text: string])[]
}

export interface Series {
  readonly name: string
  /** The class that gives its colour. */
  readonly kind: string
  readonly points: readonly (readonly [number, number])[]
  /** The points are drawn as dots, and this straight line instead of one through them. */
  readonly fit?: readonly [readonly [number, number], readonly [number, number]]
}

export interface Bar {
  readonly name: string
  readonly kind: string
  /** One after the other, from the left. */
  readonly parts: readonly number[]
  readonly text: string
}

const WIDTH = 420
const HEIGHT = 260
const PLOT = { left: 52, right: 12, top: 12, bottom: 44 }

const clamp = (part: number) => Math.min(1, Math.max(0, part))
const round = (value: number) => Math.round(value * 10) / 10

/** From 0 to a round number at or above `largest`. */
export function linear(label: string, largest: number): Scale {
  const rough = Math.max(largest, Number.MIN_VALUE) / 4
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 2.5, 5, 10].find(factor => factor * power >= rough * 0.999) as number) * power
  const count = Math.max(1, Math.ceil((largest / step) * 0.999))
  const top = step * count
  return {
    label,
    place: value => value / top,
    ticks: Array.from({ length: count + 1 }, (_, i) => [step * i, tick(step * i)]),
  }
}

/** Powers of ten from at or below `smallest` to at or above `largest`. */
export function logarithmic(label: string, smallest: number, largest: number): Scale {
  const from = Math.floor(Math.log10(Math.max(smallest, 1e-6)))
  const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(largest, 1e-6)) - 1e-9))
  return {
    label,
    place: value => (Math.log10(Math.max(value, 1e-6)) - from) / (to - from),
    ticks: Array.from({ length: to - from + 1 }, (_, i) => [10 ** (from + i), tick(10 ** (from + i))]),
  }
}

/** Percentiles so that each further nine takes the same room: 0, 90, 99, 99.9. */
export function percentiles(label: string, largest: number): Scale {
  const nines = (value: number) => -Math.log10(Math.max(1e-9, 1 - value / 100))
  const end = nines(Math.min(largest, 99.9999))
  const known = [0, 50, 90, 99, 99.9, 99.99, 99.999]
  return {
    label,
    place: value => nines(value) / end,
    ticks: known.filter(value => nines(value) <= end * 1.001).map(value => [value, String(value)]),
  }
}

const tick = (value: number) =>
  value >= 1000 ? `${Number((value / 1000).toPrecision(4))}k` : String(Number(value.toPrecision(4)))

const across = (scale: Scale, value: number) =>
  round(PLOT.left + clamp(scale.place(value)) * (WIDTH - PLOT.left - PLOT.right))
const upwards = (scale: Scale, value: number) =>
  round(HEIGHT - PLOT.bottom - clamp(scale.place(value)) * (HEIGHT - PLOT.top - PLOT.bottom))

function axes(x: Scale, y: Scale): string {
  const [right, bottom] = [WIDTH - PLOT.right, HEIGHT - PLOT.bottom]
  const vertical = x.ticks.map(([value, text]) => {
    const at = across(x, value)
    return `<line class="grid" x1="${at}" x2="${at}" y1="${PLOT.top}" y2="${bottom}"/><text x="${at}" y="${bottom + 16}" text-anchor="middle">${escaped(text)}</text>`
  })
  const horizontal = y.ticks.map(([value, text]) => {
    const at = upwards(y, value)
    return `<line class="grid" x1="${PLOT.left}" x2="${right}" y1="${at}" y2="${at}"/><text x="${PLOT.left - 6}" y="${at + 4}" text-anchor="end">${escaped(text)}</text>`
  })
  const middle = (PLOT.top + bottom) / 2
  return `${vertical.join('')}${horizontal.join('')}
<text class="axis" x="${(PLOT.left + right) / 2}" y="${HEIGHT - 6}" text-anchor="middle">${escaped(x.label)}</text>
<text class="axis" x="12" y="${middle}" text-anchor="middle" transform="rotate(-90 12 ${middle})">${escaped(y.label)}</text>`
}

const svg = (height: number, name: string, content: string) =>
  `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(name)}">${content}</svg>`

const path = (points: readonly (readonly [number, number])[], x: Scale, y: Scale, step: boolean) =>
  points
    .map(([px, py], i) => {
      const [left, top] = [across(x, px), upwards(y, py)]
      if (i === 0) return `M${left} ${top}`
      return step ? `H${left}V${top}` : `L${left} ${top}`
    })
    .join('')

/**
 * Curves in one plot.
 * @param steps each value stays until the next point instead of going there in a straight line
 */
export function curves(name: string, x: Scale, y: Scale, series: readonly Series[], steps = false): string {
  const drawn = series.map(({ name, kind, points, fit }) => {
    const dots = fit
      ? points
          .map(([px, py]) => `<circle class="${kind}" cx="${across(x, px)}" cy="${upwards(y, py)}" r="3.5"/>`)
          .join('')
      : ''
    return `<g><title>${escaped(name)}</title><path class="${kind}" d="${path(fit ?? points, x, y, steps)}"/>${dots}</g>`
  })
  return svg(HEIGHT, name, axes(x, y) + drawn.join(''))
}

const BAR = { height: 18, row: 44 }

/** Bars beneath each other, each under its name; the first part of each is full, the others are paler. */
export function bars(name: string, bars: readonly Bar[]): string {
  const total = (parts: readonly number[]) => parts.reduce((a, b) => a + b, 0)
  const largest = Math.max(...bars.map(({ parts }) => total(parts)), Number.MIN_VALUE)
  const rows = bars.map(({ name, kind, parts, text }, row) => {
    const top = row * BAR.row
    let left = 0
    const pieces = parts.map((value, index) => {
      const width = round(Math.max(0.5, (value / largest) * WIDTH))
      const piece = `<rect class="${kind}${index > 0 ? ' paler' : ''}" x="${round(left)}" y="${top + 18}" width="${width}" height="${BAR.height}"/>`
      left += width
      return piece
    })
    return `<g><title>${escaped(`${name}: ${text}`)}</title><text x="0" y="${top + 13}">${escaped(name)}</text><text class="value" x="${WIDTH}" y="${top + 13}" text-anchor="end">${escaped(text)}</text>${pieces.join('')}</g>`
  })
  return svg(bars.length * BAR.row, name, rows.join(''))
}

/** A number as it stands at a bar. */
export const barText = (value: number, unit: string) => `${figure(value)} ${unit}`
