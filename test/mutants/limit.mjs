/**
 * Ends a test file that hangs because of a mutant. Stryker allows a mutant the time of all its test files together, which
 * is minutes. A file by itself gets twenty seconds and ten times what it took without mutants.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { isMainThread, Worker } from 'node:worker_threads'

// Stryker runs in a copy of the project, and removes it with this.
const folder = join(process.cwd(), '.durations')
const record = join(folder, relative(process.cwd(), process.argv[1] ?? '').replaceAll(/[\\/]/g, ' '))

/**
 * A thread of its own, since a loop that never ends lets no timer of its thread fire. It leaves the file that Stryker's
 * hook writes when a process exits by itself.
 */
const watch = `
  const { writeFileSync, writeSync } = require('node:fs')
  const { limitMs, pid } = require('node:worker_threads').workerData
  setTimeout(() => {
    writeFileSync('stryker-output-' + pid + '.json', '{}')
    writeSync(1, '\\nnot ok 1000000 - still running after ' + Math.round(limitMs) + ' ms\\n')
    process.kill(pid, 'SIGKILL')
  }, limitMs)
`

if (process.env['STRYKER_DRY_RUN'] === 'true') {
  process.on('exit', () => {
    if (!isMainThread) return
    mkdirSync(folder, { recursive: true })
    writeFileSync(record, String(performance.now()))
  })
} else if (isMainThread && existsSync(record)) {
  const limitMs = 20_000 + 10 * Number(readFileSync(record, 'utf8'))
  new Worker(watch, { eval: true, execArgv: [], workerData: { limitMs, pid: process.pid } }).unref()
}
