/** `twinrail doctor` at a server itself, through proxies that do one thing badly, and where there is no server. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { doctorCommand } from '../../src/cli/doctor/doctor.ts'
import { cutter, middlebox } from '../fixtures/middlebox.ts'
import { freePort } from '../fixtures/redis-server.ts'
import { TYPESCRIPT } from '../fixtures/typescript.ts'
import { serve } from '../fixtures/wire-server.ts'
import { codes, runDoctor, working } from './doctor-stage.ts'
import { shown, stream } from './stage.ts'

/** The command as one types it, in a process of its own. */
async function typed(args: readonly string[], env: Record<string, string> = {}) {
  const { NODE_OPTIONS: _, ...inherited } = process.env
  const child = spawn(process.execPath, [...TYPESCRIPT, cli, 'doctor', ...args], {
    env: { ...inherited, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number]>,
  ])
  return { code, stdout, stderr }
}

const cli = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const ALL = ['sse', 'sse-post', 'websocket', 'long-poll']

t.test('without a proxy every transport works, and the doctor deletes its session', async t => {
  const { url, server } = await serve(t)
  const { code, report, text, progress } = await runDoctor(url)
  t.same(report.faults, [])
  t.equal(code, 0)
  t.same(working(report), ALL)
  t.equal(report.advice?.transport, 'sse')
  t.match(report.server, { http: 'HTTP/1.1', intermediaries: [], changedHeaders: [], heartbeatMs: 15_000 })
  t.ok(Math.abs(report.server?.clockOffsetMs ?? Infinity) < 1000, 'one machine, one clock')
  t.match(text, /✓ WebSocket .*round trip/)
  t.match(text, /✓ long-poll .*a poll is held for/)
  t.match(text, /Use sse: commands are rare.* Otherwise websocket, then long-poll\.\nEverything works\./)
  t.match(progress, /· publishing 5 events.*\n· sending nothing/)
  t.same(await server.sessions.list(undefined, 10), [], 'its session is deleted')
})

t.test('says so where there is no agent to play a run with', async t => {
  const { url } = await serve(t, { agents: [] })
  const { code, report, text } = await runDoctor(url)
  t.equal(code, 0)
  t.match(report.rows[1], { channel: 'sse-post', works: undefined })
  t.match(text, /– SSE \(POST\) +not tried: the server has no agent playback/)
})

t.test('a server that compresses is well, and the doctor says that it does', async t => {
  const { url } = await serve(t, { compression: true })
  const { report, text } = await runDoctor(url)
  t.same(report.faults, [])
  t.equal(report.rows[0]?.compressed, 'gzip')
  t.match(text, /✓ SSE \(GET\) .*; compressed \(gzip\)/)
  t.match(text, /✓ WebSocket .*permessage-deflate/)
})

t.test('a proxy that strips Upgrade', async t => {
  const { url } = await serve(t)
  const { code, report, text } = await runDoctor(await middlebox(t, url))
  t.equal(code, 1)
  t.same(codes(report), ['restart-final', 'upgrade'])
  t.same(working(report), ['sse', 'sse-post', 'long-poll'])
  t.same([report.advice?.transport, report.advice?.fallback], ['sse', ['long-poll']])
  t.same(report.server?.intermediaries, ['middlebox'])
  t.match(text, /✗ WebSocket +a proxy strips the upgrade: the server got a plain GET/)
  for (const line of [
    'nginx',
    'proxy_set_header Upgrade $http_upgrade;',
    'Cloudflare',
    '# Network > WebSockets: On.',
  ]) {
    t.ok(text.includes(line), line)
  }
})

t.test('a proxy that holds responses until they are large: GET, POST and verdict', async t => {
  const { url } = await serve(t)
  const { report, text } = await runDoctor(await middlebox(t, url, { holdsBytes: 16_384 }))
  t.same(codes(report), ['buffered', 'restart-final', 'upgrade'])
  t.same(working(report), ['long-poll'])
  t.equal(report.advice?.transport, 'long-poll')
  for (const row of report.rows.slice(0, 2)) {
    t.match(row, { works: false, delivery: { pattern: 'late' } })
    t.ok((row.delivery?.worstMs ?? 0) > 1000, `${row.channel}: how late`)
  }
  t.match(text, /✗ SSE \(GET\) +held back, by up to \d+\.\d s/)
  t.match(text, /proxy_buffering off;/)
})

t.test('a proxy that compresses and waits until it has enough', async t => {
  const { url } = await serve(t)
  const { report, text } = await runDoctor(await middlebox(t, url, { compresses: true }))
  t.same(codes(report), ['compressed', 'restart-final', 'upgrade'])
  t.match(report.rows[0], { compressed: 'gzip', works: false })
  t.match(text, /held back, by up to \d+\.\d s, by what compresses it \(gzip\)/)
  t.match(text, /gzip off;/)
})

t.test('a proxy that drops Last-Event-ID', async t => {
  const { url } = await serve(t)
  const { report, text } = await runDoctor(await middlebox(t, url, { drops: ['last-event-id'] }))
  t.same(codes(report), ['restart-final', 'resume-lost', 'upgrade'])
  t.match(text, /✗ SSE: a proxy strips Last-Event-ID/)
})

t.test('a proxy that closes silent connections: its timeout, and that heartbeats help', async t => {
  const { url } = await serve(t, { compression: true })
  const { code, report, text } = await runDoctor(await cutter(t, url, { idleMs: 2700 }), 4500)
  t.equal(code, 1)
  t.same(codes(report), ['cut-idle'])
  t.same(working(report), ALL, 'they work all the same')
  t.match(text, /! SSE \(GET\) .*closed after \d+\.\d s of silence/)
  t.match(text, /✗ SSE \(GET\), WebSocket, long-poll: closed after \d+\.\d s of silence/)
  t.match(text, /proxy_read_timeout 60s;/)
  t.match(report.advice, { transport: 'sse', because: [{}, { rule: 'cuts-idle' }] })
})

t.test('a proxy that closes connections after a maximum age', async t => {
  const { url } = await serve(t)
  const { report, text } = await runDoctor(await cutter(t, url, { ageMs: 3000 }), 3500)
  t.same(codes(report), ['cut-age'])
  t.match(text, /SSE \(GET\), WebSocket.*: closed after \d+\.\d s, whatever is sent/)
})

t.test('a proxy that refuses POST', async t => {
  const { url } = await serve(t)
  const { code, report, text } = await runDoctor(await middlebox(t, url, { refuses: 'POST' }))
  t.equal(code, 1)
  t.same(codes(report), ['commands-fail'])
  t.match(text, /^✗ .*: commands do not get through \(POST: 405 by middlebox: Method not allowed here\)$/)
})

t.test('a server that refuses WebSockets reports it itself', async t => {
  const { url } = await serve(t, {
    authorize: (_request, { action }) => (action === 'connect' ? undefined : { id: 'somebody' }),
  })
  const { report, text } = await runDoctor(url)
  t.same(codes(report), ['blocked'], 'no proxy is to blame')
  t.match(text, /✗ WebSocket +the server refuses \(forbidden\): not allowed: connect/)
})

t.test('a server that wants credentials', async t => {
  const { url } = await serve(t, {
    authorize: ({ headers }) => (headers.authorization === 'Bearer one' ? { id: 'one' } : undefined),
  })
  const without = await runDoctor(url)
  t.equal(without.code, 1)
  t.same(codes(without.report), ['refused'])
  t.match(without.text, /the server refuses \(forbidden\): not allowed/)
  const withThem = await runDoctor(url, 1000, { authorization: 'Bearer one' })
  t.same(withThem.report.faults, [], 'they go with every request and with the upgrade')
})

t.test('over TLS: its version, the protocol of browsers, and a certificate that is not trusted', async t => {
  const tls = (name: string) => new URL(`../fixtures/tls/${name}.pem`, import.meta.url)
  const [cert, key] = [readFileSync(tls('cert')), readFileSync(tls('key'))]
  const { url } = await serve(t, { tls: { cert, key } })
  const stranger = await typed([url])
  t.equal(stranger.code, 1)
  t.match(stranger.stdout, /^✗ https:.*: its certificate is not trusted \(/)
  const { code, stdout } = await typed([url, '--for', '1', '--json'], {
    NODE_EXTRA_CA_CERTS: fileURLToPath(tls('cert')),
  })
  const report = JSON.parse(stdout)
  t.same(report.faults, [])
  t.equal(code, 0)
  t.match(report.server, { tls: 'TLSv1.3', http: 'HTTP/2' })
  t.same(working(report), ALL)
})

t.test('where nothing listens', async t => {
  const url = `http://127.0.0.1:${await freePort()}`
  const { code, report, text } = await runDoctor(url)
  t.equal(code, 1)
  t.same(report.faults, [{ code: 'unreachable', message: `${url}: nothing listens there` }])
  t.equal(text, `✗ ${url}: nothing listens there`)
})

t.test('where the path is wrong', async t => {
  const { url } = await serve(t)
  const { report } = await runDoctor(`${url}/app`)
  const message = `${url}/app: a Twinrail server answers, but not under this path`
  t.same(report.faults, [{ code: 'not-twinrail', message }])
})

t.test('where something else answers', async t => {
  const other = createServer((_request, response) => {
    response.writeHead(404, { server: 'other/1' }).end('<h1>Not here</h1>\nreally')
  }).listen(0, '127.0.0.1')
  t.teardown(() => other.close())
  await once(other, 'listening')
  const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
  const { code, report, text } = await runDoctor(url)
  t.equal(code, 1)
  t.same(codes(report), ['not-twinrail'])
  t.equal(
    text,
    `✗ ${url} is no Twinrail server: GET /v1/agents was answered 404 by other/1: <h1>Not here</h1>`,
  )
})

t.test(
  'on a terminal the table has colours and waiting shows how long; in a pipe there is neither',
  async t => {
    const { url } = await serve(t)
    const { signal } = new AbortController()
    for (const tty of [true, false]) {
      const [stdout, stderr] = [stream(tty), stream(tty)]
      await doctorCommand({ url, headers: {}, silenceMs: 1000, json: false, stdout, stderr, signal, env: {} })
      t.match(stdout.text, /✓.* WebSocket/)
      t.match(stdout.text, /Everything works\.\n$/)
      t.equal(stdout.text.includes('\x1b[32m✓'), tty)
      t.equal(/sending nothing.* · at most 1 s/.test(stderr.text), tty)
      t.equal(stderr.text.includes('\x1b'), tty)
    }
  },
)

t.test('Ctrl-C ends it at once and deletes its session', async t => {
  const { url, server } = await serve(t)
  const stop = new AbortController()
  const [stdout, stderr] = [stream(), stream()]
  const { signal } = stop
  const looking = doctorCommand({
    url,
    headers: {},
    silenceMs: 600_000,
    json: false,
    stdout,
    stderr,
    signal,
    env: {},
  })
  await shown(stderr, 'sending nothing')
  stop.abort()
  t.equal(await looking, 130)
  t.equal(stdout.text, '')
  t.same(await server.sessions.list(undefined, 10), [])
})
