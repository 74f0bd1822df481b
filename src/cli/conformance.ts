/** `twinrail conformance <url>`: checks a server against the statements of PROTOCOL.md, and prints a table. */
import { readFileSync, writeFileSync } from 'node:fs'
import { channels } from '../conformance/channels.ts'
import { type Report, runConformance } from '../conformance/run.ts'
import { exitCodes } from './exit.ts'
import { type Environment, type Output, Screen } from './screen.ts'
import { StatusLine } from './status-line.ts'

export interface ConformanceOptions {
  url: string
  /** Sent with every request. */
  headers: Record<string, string>
  /** A file that the report is written to as JSON, or `-` for standard output in place of the table. */
  json?: string | undefined
  /** A file with certificates to trust, as PEM. */
  ca?: string | undefined
  /** Send requests over HTTP/2. */
  http2: boolean
  /** Only the statements of these numbers. */
  only?: readonly number[] | undefined
  /** Time for one check, in ms. */
  timeoutMs: number
  stdout: Output
  stderr: Output
  /** @default process.env */
  env?: Environment
}

/** @returns the process's exit code: 0 when the server conforms, 1 when it does not */
export async function conformanceCommand(options: ConformanceOptions): Promise<number> {
  const { headers, json, ca, http2, only, timeoutMs, stdout, stderr, env = process.env } = options
  const screen = new Screen(stdout, stderr, env)
  const status = new StatusLine(stderr, env)
  let progress = 'starting'
  status.start(() => progress)
  let failed = 0
  const target = {
    url: options.url.replace(/\/+$/, ''),
    headers,
    http2,
    ...(ca !== undefined && { ca: readFileSync(ca, 'utf8') }),
  }
  const report = await runConformance(target, {
    only,
    timeoutMs,
    onRow(row, done, total) {
      if (row.outcome === 'failed') failed++
      progress = `${done} of ${total} checks${failed > 0 ? `, ${failed} failed` : ''}`
    },
  }).finally(() => status.stop())
  if (json === '-') screen.json(JSON.stringify(report, null, 2))
  else {
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`)
    for (const line of tableOf(report)) screen.line(line)
  }
  return report.conforms ? exitCodes.completed : exitCodes.failed
}

const marks = { passed: '✓', failed: '✗', skipped: '–' } as const

/** A line for each statement with a mark for each channel, then what failed. */
function* tableOf({ url, rows, conforms, passed, failed, skipped }: Report): Generator<string> {
  const width = (text: string) => text.padEnd(11)
  yield `   #  ${channels.map(width).join('')}statement`
  const firsts = rows.filter(({ number }, i) => rows[i - 1]?.number !== number)
  for (const { number, says } of firsts) {
    const cells = channels.map(channel => {
      const row = rows.find(one => one.number === number && one.on === channel)
      return width(row ? marks[row.outcome] : '')
    })
    yield `${String(number).padStart(4)}  ${cells.join('')}${says}`
  }
  const told = rows.filter(({ outcome }) => outcome !== 'passed')
  if (told.length > 0) yield ''
  for (const { number, on, outcome, message } of told) {
    yield `${marks[outcome]} ${number} on ${on}: ${message} (PROTOCOL.md#c${number})`
  }
  yield ''
  yield `${url} ${conforms ? 'conforms' : 'does not conform'}: ${passed} passed, ${failed} failed, ${skipped} skipped`
}
