/**
 * The benchmark: workloads, which run together without a name, and scenarios, each about one question, which run only by name.
 * `usage` says how to call it.
 */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { fanoutPicture } from './fanout-picture.ts'
import type { Findings } from './guide/findings.ts'
import { summaryTables } from './guide/tables.ts'
import { validityLine } from './guide/validity.ts'
import { writeNetworks, writeReport } from './guide/write.ts'
import { performancePage } from './performance-page.ts'
import { Progress } from './progress.ts'
import { environment, keptResults, printResult, type Result, readResult, writeResult } from './report.ts'
import { agents } from './scenarios/agents.ts'
import { client } from './scenarios/client.ts'
import { cluster } from './scenarios/cluster.ts'
import { commands } from './scenarios/commands.ts'
import { compression } from './scenarios/compression.ts'
import { connections } from './scenarios/connections.ts'
import { dialects } from './scenarios/dialects.ts'
import { fanout } from './scenarios/fanout.ts'
import { indexing } from './scenarios/indexing.ts'
import { log } from './scenarios/log.ts'
import { networks } from './scenarios/networks.ts'
import { processes } from './scenarios/processes.ts'
import { replay } from './scenarios/replay.ts'
import type { Scenario } from './scenarios/scenario.ts'
import { slow } from './scenarios/slow.ts'
import { tracing } from './scenarios/tracing.ts'
import { runWorkloads } from './workloads/run.ts'
import { workloadNames } from './workloads/workload.ts'

const scenarios: Record<string, Scenario> = {
  fanout,
  slow,
  replay,
  compression,
  log,
  indexing,
  agents,
  commands,
  connections,
  processes,
  cluster,
  client,
  dialects,
  networks,
  tracing,
}

const faults = ['late', 'lost', 'doubled'] as const

const ROUNDS = { full: 5, quick: 2 }

const usage = `usage: npm run bench -- [<workload> …] [--quick] [--rounds <n>] [--seed <n>] [--json] [--plant ${faults.join('|')}]
       npm run bench -- <scenario> … [--quick] [--rounds <n>] [--json] [--profile <dir>]
       npm run bench -- report <results.json>   writes the report of a run again
workloads (all without a name): ${workloadNames.join(', ')}
scenarios: ${Object.keys(scenarios).join(', ')}
--quick          shorter and with fewer rounds; results are not kept
--rounds <n>     repetitions of each measurement
--seed <n>       for all random choices of the workloads
--json           the results as JSON on stdout
--plant <fault>  plants this fault in the workloads, which must make the run invalid
--profile <dir>  writes CPU profiles of the scenarios' measured processes to this folder`

function fail(message: string): never {
  process.stderr.write(`${message}\n${usage}\n`)
  process.exit(2)
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        quick: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        seed: { type: 'string', default: '1' },
        json: { type: 'boolean', default: false },
        profile: { type: 'string' },
        plant: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    return fail((error as Error).message)
  }
}

/** npm runs a workspace's script in its folder: paths are relative to where npm was called. */
const callersPath = (path: string) => resolve(process.env['INIT_CWD'] ?? '', path)

const { values, positionals } = parse()
if (values.help) {
  process.stdout.write(`${usage}\n`)
  process.exit(0)
}
const rounds = values.rounds === undefined ? undefined : Number(values.rounds)
if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0))
  fail('--rounds: expected a whole number from 1 on')
const seed = Number(values.seed)
if (!Number.isInteger(seed)) fail('--seed: expected a whole number')
const plant = faults.find(fault => fault === values.plant)
if (values.plant !== undefined && !plant) fail(`--plant: expected one of ${faults.join(', ')}`)

/** Ends the process when a measurement fails. */
async function measure<T>(name: string, part: (progress: Progress) => Promise<T>): Promise<T> {
  const progress = new Progress(name)
  try {
    return await part(progress)
  } catch (error) {
    progress.end()
    process.stderr.write(`${name} failed: ${(error as Error).message}\n`)
    process.exit(1)
  } finally {
    progress.end()
  }
}

/** The results of the workloads for a terminal. */
function printFindings(findings: Findings): string {
  const { cells, checks, leftOut, settings } = findings
  const delivered = cells.reduce((sum, { counts }) => sum + counts.delivered, 0)
  return printResult({
    scenario: 'workloads',
    settings,
    tables: summaryTables(findings),
    aims: [],
    checks,
    notes: [
      `${delivered} events were delivered and checked; seed ${settings.seed}, ${settings.rounds} rounds`,
      ...leftOut.map(({ workload, variant, why }) => `not measured: ${workload}, ${variant}. ${why}`),
    ],
  })
}

/** Keeps the results of a complete run in `results/`, and others in a temporary folder. */
function keep(findings: Findings): void {
  const isWhole = !findings.settings.quick && !plant && chosen.length === workloadNames.length
  const folder = isWhole
    ? fileURLToPath(new URL('results/', import.meta.url))
    : mkdtempSync(join(tmpdir(), 'twinrail-bench-'))
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${new Date().toISOString().slice(0, 10)}.json`)
  writeFileSync(file, `${JSON.stringify(findings)}\n`)
  for (const path of [file, ...writeReport(file)]) process.stderr.write(`written to ${path}\n`)
}

/** Writes what the documentation shows of a scenario's result. @returns the files that were written */
function illustrate(result: Result): string[] {
  const page = fileURLToPath(new URL('../docs/performance.md', import.meta.url))
  writeFileSync(page, performancePage(keptResults()))
  if (result.scenario === 'networks') return [page, ...writeNetworks()]
  if (result.scenario !== 'fanout') return [page]
  const picture = fileURLToPath(new URL('../docs/images/fanout.svg', import.meta.url))
  mkdirSync(dirname(picture), { recursive: true })
  writeFileSync(picture, fanoutPicture(result))
  return [page, picture]
}

if (positionals[0] === 'report') {
  const [, file] = positionals
  if (file === undefined || positionals.length > 2) fail('report: expected the path of one results file')
  try {
    const result = readResult(callersPath(file))
    const written = result ? illustrate(result) : writeReport(callersPath(file))
    for (const path of written) process.stdout.write(`written to ${path}\n`)
  } catch (error) {
    fail((error as Error).message)
  }
  process.exit(0)
}

const unknown = positionals.find(name => !(name in scenarios) && !workloadNames.some(known => known === name))
if (unknown !== undefined) fail(`there is no workload and no scenario ${unknown}`)
const chosen = workloadNames.filter(name => positionals.length === 0 || positionals.includes(name))
const { quick, json } = values
const profile = values.profile === undefined ? undefined : callersPath(values.profile)

let findings: Findings | undefined
if (chosen.length > 0) {
  const options = { names: chosen, quick, seed, plant, rounds: rounds ?? ROUNDS[quick ? 'quick' : 'full'] }
  findings = await measure('workloads', progress => runWorkloads(options, progress))
  if (!json) process.stdout.write(`\n${printFindings(findings)}\n`)
  process.stderr.write(`${validityLine(findings.checks)}\n`)
  keep(findings)
}
const results: Result[] = []
for (const name of positionals.filter(name => name in scenarios)) {
  const scenario = scenarios[name] as Scenario
  const result = await measure(name, progress => scenario({ quick, rounds, profile }, progress))
  results.push(result)
  if (!json) process.stdout.write(`\n${printResult(result)}\n`)
  if (quick) continue
  for (const path of [writeResult(result), ...illustrate(result)])
    process.stderr.write(`written to ${path}\n`)
}
if (json) {
  const all = findings && results.length === 0 ? findings : { environment: environment(), findings, results }
  process.stdout.write(`${JSON.stringify(all, null, 2)}\n`)
}
const failed = results.some(({ checks }) => checks.some(({ holds }) => !holds))
process.exitCode = failed || findings?.valid === false ? 1 : 0
