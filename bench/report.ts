/** Results of scenarios: as data, as text and as a file. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Spread } from './stats.ts'

/** Where results are kept. */
const RESULTS = fileURLToPath(new URL('results/', import.meta.url))

/** A table of figures. */
export interface Table {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | number)[])[]
}

/** A target for a figure. */
export interface Aim {
  readonly what: string
  readonly limit: number
  /** The limit is a minimum. @default false: it is a maximum */
  readonly atLeast?: boolean
  readonly measured: number
  /** Quartiles of the samples, where there are several. */
  readonly quartiles?: readonly [number, number]
  readonly unit?: string
}

/** A condition of valid results. */
export interface Check {
  readonly what: string
  readonly holds: boolean
  readonly detail?: string
  /** A failure means that the machine is too slow, not that the server is wrong. */
  readonly ofMachine?: true
}

/** The results of a scenario. */
export interface Result {
  readonly scenario: string
  readonly settings: object
  readonly tables: readonly Table[]
  readonly aims: readonly Aim[]
  readonly checks: readonly Check[]
  readonly notes: readonly string[]
}

/** An aim's figures, from all samples. */
export const aimFigures = ({ low, median, high }: Spread): Pick<Aim, 'measured' | 'quartiles'> => ({
  measured: median,
  quartiles: [low, high],
})

/** The quartiles as text, such as `1200–1300`. */
export const quartiles = ({ low, high }: Spread) => `${low.toFixed(0)}–${high.toFixed(0)}`

/** The quartiles with their significant digits, such as `12.1–13.4`: for small figures. */
export const quartileFigures = ({ low, high }: Spread) => `${figure(low)}–${figure(high)}`

export const isReached = ({ measured, limit, atLeast = false }: Aim) =>
  atLeast ? measured >= limit : measured <= limit

/** A number with its significant digits. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (value === 0) return '0'
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 0.1 ? 2 : 3
  return value.toFixed(digits)
}

/** Aligned columns: the first to the left, the others to the right. */
export function printTable({ title, columns, rows }: Table): string {
  const cells = [columns, ...rows].map(row =>
    row.map(cell => (typeof cell === 'number' ? figure(cell) : cell)),
  )
  const widths = columns.map((_, i) => Math.max(...cells.map(row => (row[i] ?? '').length)))
  const lines = cells.map(row =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number)))
      .join('  ')
      .trimEnd(),
  )
  const rule = widths.map(width => '─'.repeat(width)).join('  ')
  return [title, '', lines[0], rule, ...lines.slice(1)].join('\n')
}

function aimsTable(aims: readonly Aim[]): Table {
  return {
    title: 'Aims',
    columns: ['', 'aim', 'measured', 'quartiles', ''],
    rows: aims.map(aim => [
      aim.what,
      `${aim.atLeast ? '≥' : '≤'} ${aim.limit}${aim.unit ?? ''}`,
      aim.measured,
      aim.quartiles ? aim.quartiles.map(figure).join('–') : '',
      isReached(aim) ? 'reached' : 'MISSED',
    ]),
  }
}

/** The complete result as text. */
export function printResult({ tables, aims, checks, notes }: Result): string {
  const parts = tables.map(printTable)
  if (aims.length > 0) parts.push(printTable(aimsTable(aims)))
  parts.push(
    checks
      .map(
        ({ what, holds, detail, ofMachine }) =>
          `${holds ? 'ok    ' : 'FAILED'}  ${what}${detail ? `: ${detail}` : ''}${!holds && ofMachine ? ' (the machine is too slow)' : ''}`,
      )
      .join('\n'),
  )
  if (notes.length > 0) parts.push(notes.map(note => `· ${note}`).join('\n'))
  return `${parts.filter(part => part !== '').join('\n\n')}\n`
}

const packages = [
  'fastify',
  'fastify-sse-v2',
  '@fastify/sse',
  '@fastify/websocket',
  'better-sse',
  'ws',
  'socket.io',
  'lmdb',
  'ioredis',
]

/** The machine and the versions of a run. */
export interface Environment {
  readonly date: string
  readonly cpu: string | undefined
  readonly cores: number
  readonly memoryGiB: number
  readonly kernel: string
  readonly node: string
  readonly packages: Readonly<Record<string, string>>
}

/** A result as it is kept. */
export interface KeptResult extends Result {
  readonly environment: Environment
}

/** The machine and the versions. */
export function environment(): Environment {
  const lock = fileURLToPath(new URL('../package-lock.json', import.meta.url))
  const { packages: installed } = JSON.parse(readFileSync(lock, 'utf8')) as {
    packages: Record<string, { version: string }>
  }
  const version = (name: string) =>
    (installed[`bench/node_modules/${name}`] ?? installed[`node_modules/${name}`])?.version ?? 'not installed'
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model,
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    packages: Object.fromEntries(packages.map(name => [name, version(name)])),
  }
}

/** Writes the result with its environment to `results/`. @returns the file's path */
export function writeResult(result: Result): string {
  mkdirSync(RESULTS, { recursive: true })
  const file = `${RESULTS}${new Date().toISOString().slice(0, 10)}-${result.scenario}.json`
  writeFileSync(file, `${JSON.stringify({ environment: environment(), ...result }, null, 2)}\n`)
  return file
}

/** Reads a scenario's result; undefined when the file has something else. */
export function readResult(file: string): Result | undefined {
  try {
    const result = JSON.parse(readFileSync(file, 'utf8')) as Partial<Result>
    return typeof result.scenario === 'string' && Array.isArray(result.tables)
      ? (result as Result)
      : undefined
  } catch {
    // The caller tries to read findings from it and reports what is wrong.
    return undefined
  }
}

/** The newest kept result of each scenario. */
export function keptResults(): KeptResult[] {
  const newest = new Map<string, KeptResult>()
  // Their names begin with the date.
  for (const name of readdirSync(RESULTS).sort()) {
    const result = readResult(`${RESULTS}${name}`)
    if (result) newest.set(result.scenario, result as KeptResult)
  }
  return [...newest.values()]
}
