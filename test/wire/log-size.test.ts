/** A server whose log is over its size limit: nothing is added, and what is under way can end. */
import t from 'tap'
import { createMemoryLog } from '../../src/log/memory.ts'
import {
  call,
  command,
  eventually,
  ingest,
  ingestLines,
  post,
  serve,
  startRun,
  state,
  terminalOf,
} from '../fixtures/wire-server.ts'

const MAX = 1024 * 1024

t.test('a log over its limit refuses what adds to it, and lets work end', async t => {
  const log = createMemoryLog({ maxLogBytes: MAX })
  const { url } = await serve(t, { log })
  const idle = await startRun(url, 's', 'idle', null)
  const asking = await startRun(url, 's', 'asking', { questions: [{ requestId: 'q' }] })
  const steered = await startRun(url, 's', 'steered', {})
  const expiring = [{ requestId: 'e', expiresAt: Date.now() + 1000 }]
  const late = await startRun(url, 's', 'asking', { questions: expiring })
  await ingest(url, 's', { type: 'run.started', runId: 'theirs', data: { agent: 'theirs', input: null } })
  await eventually(t, 'they ask', async () => (await state(url, 's')).pendingInputs?.length === 2)
  t.equal((await call(`${url}/readyz`)).status, 200)
  const event = { type: 'x.n', data: 'x'.repeat(100_000) }
  while ((await ingest(url, 's', event)).status === 200) {}
  while ((await ingest(url, 's', { type: 'x.n', data: 1 })).status === 200) {}

  const refusal = {
    code: 'rate-limited',
    message: `the log has reached its limit of ${MAX} bytes (--max-log-bytes); delete sessions, keep fewer events, or raise the limit`,
    details: { reason: 'max-log-bytes', maxBytes: MAX },
    retryAfterMs: 5000,
  }
  const refused = { status: 429, body: { error: refusal } }
  const start = { type: 'run.start', agent: 'idle', input: null }
  t.match(await command(url, 's', start), { status: 429, body: { ...refusal, retryable: true } })
  t.match(await command(url, 's', { type: 'input.steer', runId: steered, text: 'x' }), { status: 429 })
  t.match(await ingest(url, 's', event), refused)
  t.match(await ingestLines(url, 's', JSON.stringify(event)), refused)
  t.match(await ingest(url, 'new', event), refused)
  t.match(await post(`${url}/v1/sessions`, {}), refused)
  t.match(await call(`${url}/readyz`), { status: 503, body: { error: { ...refusal, code: 'unavailable' } } })
  const metrics = await (await fetch(`${url}/metrics`)).text()
  t.match(metrics, new RegExp(`^twinrail_log_max_bytes ${MAX}$`, 'm'))
  t.ok(Number(/^twinrail_log_bytes (\d+)$/m.exec(metrics)?.[1]) > MAX - 64 * 1024)
  t.ok(Number(/kind="over-limit"} (\d+)/.exec(metrics)?.[1]) >= 6)

  const done = { type: 'run.completed', runId: 'theirs', data: { finishReason: 'stop' } }
  t.equal((await ingest(url, 's', done)).status, 200, 'a terminal by ingest')
  t.equal((await command(url, 's', { type: 'run.cancel', runId: idle })).status, 200, 'a cancel')
  t.equal(
    (await command(url, 's', { type: 'input.answer', requestId: 'q', value: 1 })).status,
    200,
    'an answer',
  )
  const failed = { type: 'run.failed', data: { code: 'rate-limited', retryable: true } }
  t.match(await terminalOf(url, 's', asking), failed, 'an agent that goes on fails, and its run ends')
  t.match(
    await terminalOf(url, 's', late),
    { type: 'run.failed', data: { code: 'input-expired' } },
    'an expiry',
  )
  await command(url, 's', { type: 'run.cancel', runId: steered })
  t.same(
    (await state(url, 's')).runs?.filter(({ status }) => status === 'running'),
    [],
    'nothing is left open',
  )

  t.equal((await call(`${url}/v1/sessions/s`, { method: 'DELETE' })).status, 204)
  t.equal((await call(`${url}/readyz`)).status, 200)
  t.equal((await ingest(url, 's', event)).status, 200, 'and deleting makes room')
})
