/** Makes the guide's figures: `src/guide/measured.ts`, which the server, the command line and the docs cite. */
import {
  type EvidenceId,
  type Measure,
  type Measured,
  measures,
  type Range,
  scenarioNames,
  type Transport,
} from '../package/guide.ts'
import { type Found, measured, transports, units } from './cells.ts'

/** Four significant digits. */
const digits = (value: number) => Number(value.toPrecision(4))

const short = ({ median, low, high }: Range): Range => ({
  median: digits(median),
  low: digits(low),
  high: digits(high),
})

/** Processor, cores, system and runtime, in a line. */
export function machineOf({ environment }: Found): string {
  const { cpu = 'unknown processor', cores = '?', kernel = '?', node = process.version } = environment
  return `${cpu}, ${cores} cores, Linux ${kernel}, Node ${node}`
}

/** The day of the run, `YYYY-MM-DD`. */
export const dateOf = ({ environment }: Found) => String(environment['date'] ?? '').slice(0, 10)

/** The measurements in the guide's terms; what was not measured is missing. */
export function measuredOf(found: Found): Measured {
  const figures: Record<string, { unit: string } & { [T in Transport]?: Range }> = {}
  for (const scenario of scenarioNames) {
    for (const measure of Object.keys(measures) as Measure[]) {
      const ranges = transports.flatMap(transport => {
        const range = measured(found, scenario, transport, measure)
        return range ? [[transport, short(range)] as const] : []
      })
      const id: EvidenceId = `${scenario}/${measure}`
      if (ranges.length > 0) figures[id] = { unit: units[measure], ...Object.fromEntries(ranges) }
    }
  }
  return { date: dateOf(found), machine: machineOf(found), figures }
}

const text = (value: string) => `'${value.replace(/[\\']/g, '\\$&').replace(/\s+/g, ' ')}'`

/** The source of `src/guide/measured.ts`, as the formatter would leave it. */
export function measuredSource({ date, machine, figures }: Measured): string {
  const entries = Object.entries(figures).map(([id, figure]) => {
    const { unit, ...ranges } = figure as { unit: string } & Record<string, Range>
    const lines = Object.entries(ranges).map(
      ([transport, { median, low, high }]) =>
        `      ${/^\w+$/.test(transport) ? transport : text(transport)}: { median: ${median}, low: ${low}, high: ${high} },\n`,
    )
    return `    ${text(id)}: {\n      unit: ${text(unit)},\n${lines.join('')}    },\n`
  })
  return `/** What the benchmark measured last: made by \`npm run bench\`, not by hand. */
import type { Measured } from './evidence.ts'

export const measured: Measured = {
  date: ${text(date)},
  machine: ${text(machine)},
  figures: {
${entries.join('')}  },
}
`
}
