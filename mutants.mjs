/**
 * Mutation tests: `npm run mutants -- src/bus`, or single files. Stryker changes the code in one place at a time and
 * runs the tests that reach this place. A change that no test notices survives: it is listed at the end, and so is the
 * share of the changes that were noticed.
 */
import { statSync } from 'node:fs'
import { Stryker } from '@stryker-mutator/core'

/**
 * Which tests belong to a file or a folder. Those that come first run first, and a mutant's run ends with the first
 * failure: so the tests of one part by itself precede those of the whole.
 */
const testsOf = {
  'src/bus': ['test/bus/{ring,fold,skip,window,cursor,pages,subscription}.test.ts', 'test/bus/*.test.ts'],
  'src/log/conditions.ts': ['test/log/conditions.test.ts', 'test/log/memory.test.ts'],
  'src/sessions': ['test/sessions/{state,states,archive,run-log}.test.ts', 'test/sessions/*.test.ts'],
  'src/transports': ['test/transports/*.test.ts', 'test/wire/!(*.long).test.ts'],
  // `bundle` measures the size of the code, which holds all mutants at once.
  'client/connection': [
    'test/client/{cursor,backoff,queue,choice}.test.ts',
    'test/client/!(*.long|bundle).test.ts',
  ],
}

const paths = process.argv.slice(2).map(path => path.replace(/\/$/, ''))
const places = Object.keys(testsOf).filter(place => paths.some(path => `${path}/`.startsWith(`${place}/`)))
const unknown = paths.filter(path => !places.some(place => `${path}/`.startsWith(`${place}/`)))
if (paths.length === 0 || unknown.length > 0) {
  const given = unknown.length > 0 ? `Got ${unknown.join(', ')}. ` : ''
  console.error(`${given}Name one or more of these, or a file in them: ${Object.keys(testsOf).join(', ')}`)
  process.exit(2)
}

// As in .taprc.
process.env.TAP_TYPE_STRIP_ONLY = '1'

await new Stryker({
  mutate: paths.map(path => (statSync(path).isDirectory() ? `${path}/**/*.ts` : path)),
  plugins: ['@stryker-mutator/tap-runner'],
  testRunner: 'tap',
  tap: {
    testFiles: places.flatMap(place => testsOf[place]),
    nodeArgs: ['--import=./test/loader/register.mjs'],
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
