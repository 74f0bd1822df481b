/** A client that lives for long holds no more after many commands and reconnects than after few. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { TYPESCRIPT } from '../fixtures/typescript.ts'
import type { MemoryReport } from './memory-child.ts'
import { stage } from './stage.ts'

/** Bytes by which compiled code and pools may grow, however many repetitions there are. */
const ALLOWED: Record<string, number> = {
  'commands by POST': 2_000_000,
  'commands over a WebSocket': 2_000_000,
  reconnects: 800_000,
}

t.test('memory stays flat over 15,000 commands, 500 reconnects and 2,000 requests', async t => {
  const url = await stage(t, { retryMs: 0 })
  const child = fork(new URL('./memory-child.ts', import.meta.url), [url], {
    execArgv: ['--expose-gc', ...TYPESCRIPT],
  })
  t.teardown(() => child.kill())
  const reported = once(child, 'message')
  const exited = once(child, 'exit').then(() => ['exited without a report'])
  const [report] = (await Promise.race([reported, exited])) as [MemoryReport]
  t.equal(report.growth?.length, 3, 'the client measured itself')
  for (const { name, count, bytes } of report.growth) {
    t.ok(bytes < ALLOWED[name]!, `${count} ${name}: ${bytes} bytes more`)
  }
  t.same(report.warnings, [], 'no MaxListenersExceededWarning')
})
