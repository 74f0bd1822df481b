/**
 * Ends a test file that hangs because of a mutant. Stryker allows a mutant the time of all its test files together, which
 * is minutes. A file by itself gets twenty seconds and ten times what it took without mutants.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join, relative } from 'node:path'
import { isMainThread } from 'node:worker_threads'

// Stryker runs in a copy of the project, and removes it with this.
const folder = join(process.cwd(), '.durations')
const record = join(folder, relative(process.cwd(), process.argv[1] ?? '').replaceAll(/[\\/]/g, ' '))

if (process.env['STRYKER_DRY_RUN'] === 'true') {
  process.on('exit', () => {
    if (!isMainThread) return
    mkdirSync(folder, { recursive: true })
    writeFileSync(record, String(performance.now()))
  })
} else if (isMainThread && existsSync(record)) {
  const limitMs = 20_000 + 10 * Number(readFileSync(record, 'utf8'))
  setTimeout(() => {
    writeSync(1, `\nnot ok 1000000 - still running after ${Math.round(limitMs)} ms\n`)
    process.exit(1)
  }, limitMs).unref()
}
