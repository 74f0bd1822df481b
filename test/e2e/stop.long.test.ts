/** How `twinrail serve` stops: by every signal, whether or not anybody reads its output, and after draining. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { openSse, type SseStream } from '../fixtures/wire-clients.ts'
import { eventually } from '../fixtures/wire-server.ts'
import { serve } from './stage.ts'

/** Starts a run of about a second, and follows it. */
async function followRun(t: Test, url: string): Promise<SseStream> {
  await fetch(`${url}/v1/sessions/s/commands`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      id: '1',
      type: 'run.start',
      agent: 'playback',
      input: { count: 40, rate: 40 },
      runId: 'r',
    }),
  })
  const stream = await openSse(t, `${url}/v1/sessions/s/events`)
  await stream.until('text.delta')
  return stream
}

/** The run ended within its grace, the subscriber was told, and the process exited well. */
async function stopsGracefully(t: Test, child: ChildProcess, stream: SseStream): Promise<void> {
  const exited = once(child, 'exit')
  t.match((await stream.until('closing')).map(({ message }) => message.type).slice(-2), [
    'run.completed',
    'closing',
  ])
  t.same(await exited, [0, null])
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  t.test(`${signal} stops gracefully when nobody reads stdout and stderr any more`, async t => {
    const { url, child } = await serve(t, ['--log-level', 'info'])
    const stream = await followRun(t, url)
    child.stdout?.destroy()
    child.stderr?.destroy()
    // The process writes to both before it is told to stop.
    for (let i = 0; i < 20; i++) await fetch(`${url}/healthz`)
    child.kill(signal)
    await stopsGracefully(t, child, stream)
  })
}

t.test('a second SIGHUP, which shells send too, does not cut the stop short', async t => {
  const { url, child } = await serve(t)
  const stream = await followRun(t, url)
  child.kill('SIGHUP')
  const [text] = (await once(child.stderr as NodeJS.ReadableStream, 'data')) as [Buffer]
  t.match(String(text), /SIGHUP: stopping/)
  child.kill('SIGHUP')
  await stopsGracefully(t, child, stream)
})

t.test('with --drain-ms the server serves on, and /readyz says 503, before it stops', async t => {
  const { url, child } = await serve(t, ['--drain-ms', '1500', '--grace-ms', '0'])
  t.equal((await fetch(`${url}/readyz`)).status, 200)
  child.kill('SIGTERM')
  await eventually(t, '/readyz is 503', async () => (await fetch(`${url}/readyz`)).status === 503)
  t.equal((await fetch(`${url}/healthz`)).status, 200, 'the process is alive')
  t.equal((await fetch(`${url}/v1/sessions`)).status, 200)
  const stream = await followRun(t, url)
  t.match(await stream.nextOf('closing'), { code: 'restart' })
  t.same(await once(child, 'exit'), [0, null])
})

t.test('the process that reads the output may be one that never reads', async t => {
  // Paused pipes stay open: far more is written than they hold.
  const { url, child } = await serve(t, ['--log-level', 'trace'])
  child.stdout?.pause()
  child.stderr?.pause()
  const header = 'x'.repeat(8000)
  for (let i = 0; i < 100; i++) await fetch(`${url}/healthz?${header}`)
  const stream = await followRun(t, url)
  child.kill('SIGINT')
  await stopsGracefully(t, child, stream)
})
