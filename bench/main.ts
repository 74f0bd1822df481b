/**
 * The benchmark. `npm run bench -- fanout slow replay compression`, or without a name all of them.
 *
 *   --quick         less of everything, under a minute each; results are not kept
 *   --rounds <n>    how often each measurement is repeated
 *   --json          the results as JSON on stdout
 *   --profile <dir> leaves CPU profiles of the measured processes there
 */
import { parseArgs } from 'node:util'
import { Progress } from './progress.ts'
import { environment, printResult, type Result, writeResult } from './report.ts'
import { compression } from './scenarios/compression.ts'
import { fanout } from './scenarios/fanout.ts'
import { log } from './scenarios/log.ts'
import { replay } from './scenarios/replay.ts'
import type { Scenario } from './scenarios/scenario.ts'
import { slow } from './scenarios/slow.ts'

const scenarios: Record<string, Scenario> = { fanout, slow, replay, compression, log }

const usage = `usage: npm run bench -- [${Object.keys(scenarios).join('] [')}] [--quick] [--rounds <n>] [--json] [--profile <dir>]`

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
        json: { type: 'boolean', default: false },
        profile: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    return fail((error as Error).message)
  }
}

const { values, positionals } = parse()
if (values.help) {
  process.stdout.write(`${usage}\n`)
  process.exit(0)
}
const rounds = values.rounds === undefined ? undefined : Number(values.rounds)
if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0))
  fail('--rounds: expected a whole number from 1 on')
const unknown = positionals.find(name => !(name in scenarios))
if (unknown !== undefined) fail(`there is no scenario ${unknown}`)

async function measure(name: string): Promise<Result> {
  const progress = new Progress(name)
  try {
    const { quick, profile } = values
    return await (scenarios[name] as Scenario)({ quick, rounds, profile }, progress)
  } catch (error) {
    progress.end()
    process.stderr.write(`${name} came to nothing: ${(error as Error).message}\n`)
    process.exit(1)
  } finally {
    progress.end()
  }
}

const results: Result[] = []
for (const name of positionals.length > 0 ? positionals : Object.keys(scenarios)) {
  const result = await measure(name)
  results.push(result)
  if (!values.json) process.stdout.write(`\n${printResult(result)}\n`)
  if (!values.quick) process.stderr.write(`written to ${writeResult(result)}\n`)
}
if (values.json) process.stdout.write(`${JSON.stringify({ environment: environment(), results }, null, 2)}\n`)
process.exitCode = results.some(({ checks }) => checks.some(({ holds }) => !holds)) ? 1 : 0
