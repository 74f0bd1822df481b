/**
 * Mutation tests: `npm run mutants -- src/bus`, or single files. Stryker changes the code in one place at a time and
 * runs the tests that reach this place. A change that no test notices survives: it is listed at the end, and so is the
 * share of the changes that were noticed.
 *
 * A folder has a thousand mutants and more, each of which takes seconds. `--sample 0.1` takes a tenth of the folder's
 * functions, chosen at random, and says how sure the score is. The seed is printed; `--seed` takes the same ones again.
 */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { delimiter, dirname, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Stryker } from '@stryker-mutator/core'
import { sampleOf, scoreOf, unitsOf } from './test/mutants/sample.mjs'

/** The test files `test/<folder>/<name>`, long or not; `*` stands for all of the folder that are not long. */
const tests = (folder, names) =>
  names.split(' ').flatMap(name => {
    const [short, long] = ['', '.long'].map(kind => `test/${folder}/${name}${kind}.test.ts`)
    if (name !== '*') return existsSync(short) ? short : long
    return readdirSync(`test/${folder}`)
      .filter(file => file.endsWith('.test.ts') && !file.endsWith('.long.test.ts'))
      .map(file => `test/${folder}/${file}`)
  })

/**
 * Which tests belong to a file or a folder. They run in this order, and a mutant's run ends with the first failure: so
 * quick tests of one part precede slow ones of the whole. Each file costs a process, and a mutant that survives costs
 * all files that reach it.
 */
const testsOf = {
  'src/bus': tests('bus', 'subscription catch-up live-group topic * compression.long'),
  'src/log/conditions.ts': tests('log', 'conditions memory'),
  'src/sessions': [
    ...tests('sessions', 'parts state schemas states copies agent-labels run-log fencing reaper producers *'),
    ...tests('wire', 'commands runs inputs steering questions sessions ingest given-up.long'),
    ...tests('workers', 'agents worker wire'),
    ...tests('sessions', 'leases archive schemas.long states.long retention takeover nodes.long'),
    ...tests('workers', 'nodes restart'),
  ],
  'src/transports': [
    ...tests('transports', '*'),
    ...tests('wire', 'lost bad-events bad-websocket window long-poll compression closing *'),
    ...tests('workers', 'worker wire'),
    ...tests('wire', 'inspect'),
    ...tests('wire', 'resume.long metrics.long disconnect.long flood.long policies.long folding.long'),
  ],
  'client/connection': tests(
    'client',
    'cursor backoff attempt watchdog route shared-socket queue protocol command follow *',
  ),
}

/** Tests of the size of the code, which holds all mutants at once. */
const NOT_WITH_MUTANTS = ['test/client/bundle.test.ts']

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { sample: { type: 'string' }, seed: { type: 'string' } },
})
const paths = positionals.map(path => path.replace(/\/$/, ''))
const places = Object.keys(testsOf).filter(place => paths.some(path => `${path}/`.startsWith(`${place}/`)))
const unknown = paths.filter(path => !places.some(place => `${path}/`.startsWith(`${place}/`)))
if (paths.length === 0 || unknown.length > 0) {
  const given = unknown.length > 0 ? `Got ${unknown.join(', ')}. ` : ''
  refuse(`${given}Name one or more of these, or a file in them: ${Object.keys(testsOf).join(', ')}`)
}
const share = values.sample === undefined ? 1 : Number(values.sample)
if (!(share > 0 && share <= 1)) refuse(`--sample takes a share such as 0.1, at most 1; got ${values.sample}`)
const seed = values.seed ?? String(Math.floor(Math.random() * 2 ** 32))

function refuse(message) {
  console.error(message)
  process.exit(2)
}

const units = paths.flatMap(filesOf).flatMap(file => unitsOf(file))
const sample = sampleOf(units, share, seed)
if (share < 1)
  console.log(`${sample.length} of ${units.length} functions; again with --sample ${share} --seed ${seed}`)

function filesOf(path) {
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path, { recursive: true })
    .filter(name => /\.tsx?$/.test(name))
    .map(name => `${path}/${name}`)
    .sort()
}

// As in .taprc. Without the second a file that takes 30 s fails, and its mutant counts as noticed.
process.env.TAP_TYPE_STRIP_ONLY = '1'
process.env.TAP_TIMEOUT = '1800'
// The tests run by the Node that runs this, and one from 22 on keeps what it has compiled: half of a process's CPU.
process.env.PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`
process.env.NODE_COMPILE_CACHE ??= resolve('node_modules/.cache/twinrail-mutants')

const results = await new Stryker({
  mutate: share < 1 ? sample.map(({ file, from, to }) => `${file}:${from}-${to}`) : paths.flatMap(filesOf),
  plugins: ['@stryker-mutator/tap-runner'],
  testRunner: 'tap',
  tap: {
    testFiles: [...new Set(places.flatMap(place => testsOf[place]))].filter(
      file => !NOT_WITH_MUTANTS.includes(file),
    ),
    nodeArgs: ['--import=./test/mutants/limit.mjs', '--import=./test/loader/register.mjs'],
    forceBail: true,
  },
  // The loader checks no types, and comments against type checks would change the mutated files for nothing.
  disableTypeChecks: false,
  // A mutant that takes too long counts as noticed. One at a time and much time for each: none is late only because
  // the machine is busy.
  concurrency: 1,
  timeoutMS: 10_000,
  dryRunTimeoutMinutes: 60,
  // What a run writes goes beside tap's own results, which are not in git.
  tempDirName: '.tap/mutants',
  reporters: ['clear-text', 'progress-append-only', 'html', 'json'],
  logLevel: 'warn',
  clearTextReporter: { allowColor: false, logTests: false },
  htmlReporter: { fileName: '.tap/mutants.html' },
  jsonReporter: { fileName: '.tap/mutants.json' },
  ignorePatterns: ['/bench', '/docs', '/dist', '/client/dist', '/.tap'],
}).runMutationTest()

if (share < 1) {
  const isIn = ({ fileName, location }, { file, from, to }) =>
    resolve(fileName) === resolve(file) && location.start.line >= from && location.end.line <= to
  const counts = sample.map(unit => {
    const judged = results.filter(result => isIn(result, unit) && isJudged(result))
    return { killed: judged.filter(({ status }) => isKilled(status)).length, all: judged.length }
  })
  const { killed, all, score, from, to } = scoreOf(counts, share)
  const percent = part => `${(100 * part).toFixed(1)} %`
  console.log(
    `${killed} of ${all} mutants killed: ${percent(score)}, 95 % confidence ${percent(from)} to ${percent(to)}; ` +
      `again with --sample ${share} --seed ${seed}`,
  )
}

/** Not those that make no program. */
function isJudged({ status }) {
  return isKilled(status) || status === 'Survived' || status === 'NoCoverage'
}

function isKilled(status) {
  return status === 'Killed' || status === 'Timeout'
}
