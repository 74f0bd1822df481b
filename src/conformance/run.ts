/** Runs the statements against a server, and reports each on each of its channels. */
import { setMaxListeners } from 'node:events'
import type { Channel } from './channels.ts'
import { Check, Skipped } from './check.ts'
import type { Statement } from './statement.ts'
import { statements as all } from './statements/index.ts'
import { Http, type Target } from './wire.ts'

/** A statement on one channel. */
export interface Row {
  readonly number: number
  readonly says: string
  readonly on: Channel
  readonly outcome: 'passed' | 'failed' | 'skipped'
  /** What was expected and what came, or why it was skipped. */
  readonly message?: string
}

export interface Report {
  readonly url: string
  readonly conforms: boolean
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  readonly rows: readonly Row[]
}

export interface RunOptions {
  /** Time for one check, in ms. @default 15 s */
  timeoutMs?: number
  /** Checks at a time. @default 8 */
  width?: number
  /** Only the statements of these numbers. @default all */
  only?: readonly number[] | undefined
  /** Called after each check. */
  onRow?(row: Row, done: number, total: number): void
  statements?: readonly Statement[]
}

/** Checks every statement on each of its channels. The server's own sessions are left alone, and those made are deleted. */
export async function runConformance(target: Target, options: RunOptions = {}): Promise<Report> {
  const { timeoutMs = 15_000, width = 8, only, onRow, statements = all } = options
  const work = statements
    .filter(({ number }) => only === undefined || only.includes(number))
    .flatMap(statement => statement.on.map(channel => ({ statement, channel })))
  const rows: Row[] = []
  const http = new Http(target)
  let next = 0
  let done = 0
  const worker = async () => {
    while (next < work.length) {
      const at = next++
      const { statement, channel } = work[at] as (typeof work)[number]
      const signal = AbortSignal.timeout(timeoutMs)
      setMaxListeners(0, signal)
      const row = await rowOf(statement, channel, new Check(target, channel, http, signal), timeoutMs)
      rows[at] = row
      onRow?.(row, ++done, work.length)
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
  http.close()
  const count = (outcome: Row['outcome']) => rows.filter(row => row.outcome === outcome).length
  const failed = count('failed')
  return {
    url: target.url,
    conforms: failed === 0 && rows.length > 0,
    passed: count('passed'),
    failed,
    skipped: count('skipped'),
    rows,
  }
}

async function rowOf(
  { number, says, check }: Statement,
  on: Channel,
  using: Check,
  timeoutMs: number,
): Promise<Row> {
  const row = { number, says, on }
  const late = new Promise<never>((_, reject) => {
    using.signal.addEventListener('abort', () => reject(new Error(`not done within ${timeoutMs} ms`)))
  })
  try {
    await Promise.race([check(using), late])
    return { ...row, outcome: 'passed' }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return { ...row, outcome: error instanceof Skipped ? 'skipped' : 'failed', message }
  } finally {
    late.catch(() => {})
    await using.end()
  }
}
