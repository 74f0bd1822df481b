/** `twinrail export` and `import` as processes, and `serve --otel`. */
import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { finished, serve, twinrail } from './stage.ts'

const post = (url: string, path: string, body: object) =>
  fetch(`${url}/v1/sessions${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

t.test('sessions of a running server go into another log', async t => {
  const folder = t.testdir()
  const file = `${folder}/sessions.ndjson`
  const lmdb = ['--log', `lmdb:${folder}/log`]
  const { url, child } = await serve(t)
  for (const id of ['a', 'b'])
    await post(
      url,
      `/${id}/events`,
      [1, 2, 3].map(data => ({ type: 'x.n', data })),
    )
  t.match(await finished(twinrail(['export', '--url', url, '-o', file])), { code: 0, stdout: '', stderr: '' })
  t.match(readFileSync(file, 'utf8'), /"source":"server"[\s\S]*\{"end":\{"sessions":2,"events":6,/)
  const again = await finished(twinrail(['export', '--url', url, '-o', file]))
  t.match(again, { code: 1, stderr: /EEXIST/ }, 'an export is not replaced')
  const one = await finished(twinrail(['export', '--url', url, 'b']))
  t.match(one.stdout, '{"end":{"sessions":1,"events":3,')
  const none = await finished(twinrail(['export', '--url', url, 'nobody']))
  t.match(none, { code: 1, stderr: /there is no such session/ })
  const page = async (at: string) =>
    (await fetch(`${at}/v1/sessions/a/events`, { headers: { accept: 'application/json' } })).json()
  const before = await page(url)
  child.kill('SIGTERM')

  t.match(await finished(twinrail(['import', file, ...lmdb])), { code: 0, stdout: '2 sessions, 6 events\n' })
  const refused = await finished(twinrail(['import', file, ...lmdb]))
  t.match(refused, { code: 1, stdout: '', stderr: /the session \w exists; nothing was imported/ })
  t.match(await finished(twinrail(['import', file, ...lmdb, '--existing', 'skip'])), {
    stdout: /, 2 skipped\n/,
  })
  const out = await finished(twinrail(['export', ...lmdb]))
  t.match(out.stdout, /"source":"log"/)
  const restored = await serve(t, lmdb)
  t.same(await page(restored.url), before)
})

t.test('what cannot be done is refused with a reason', async t => {
  const folder = t.testdir()
  const both = await finished(
    twinrail(['export', '--url', 'http://127.0.0.1:1', '--log', `lmdb:${folder}/log`]),
  )
  t.match(both, { code: 2, stderr: /give one of them/ })
  const memory = await finished(twinrail(['export', '--log', 'memory']))
  t.match(memory, { code: 2, stderr: /a running server is exported with --url/ })
  const gone = await finished(twinrail(['export', '--url', 'http://127.0.0.1:1']))
  t.match(gone, { code: 1, stderr: /cannot reach http:\/\/127.0.0.1:1/ })
  const missing = await finished(twinrail(['import', `${folder}/none`, '--log', `lmdb:${folder}/log`]))
  t.match(missing, { code: 1, stderr: /ENOENT/ })
  t.ok(existsSync(`${folder}/log`))
})

t.test('serve --otel traces, and says what it needs', async t => {
  const { url } = await serve(t, ['--otel'])
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const start = {
    id: '1',
    type: 'run.start',
    agent: 'playback',
    runId: 'r',
    input: { count: 1, rate: 0 },
    traceparent,
  }
  t.equal((await post(url, '/s/commands', start)).status, 200)
  const page = await fetch(`${url}/v1/sessions/s/events?limit=1`, { headers: { accept: 'application/json' } })
  const { events } = (await page.json()) as { events: { data: { traceparent?: string } }[] }
  t.match(
    events[0]?.data.traceparent,
    /^00-4bf92f3577b34da6a3ce929d0e0e4736-/,
    'also where no SDK makes spans',
  )

  const without = `data:text/javascript,${encodeURIComponent(
    `import { register } from 'node:module'; register('data:text/javascript,' + encodeURIComponent("export async function resolve(name, context, next) { if (name === '@opentelemetry/api') throw Object.assign(new Error('none'), { code: 'ERR_MODULE_NOT_FOUND' }); return next(name, context) }"))`,
  )}`
  const refused = await finished(
    twinrail(['serve', '--port', '0', '--otel'], { NODE_OPTIONS: `--import ${without}` }),
  )
  t.match(refused, { code: 2, stderr: /--otel: tracing needs the package @opentelemetry\/api: npm install/ })
})
