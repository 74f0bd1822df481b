/** `twinrail doctor` through real proxies: as they come, and with the settings of docs/proxies.md. */
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { remedies } from '../../src/cli/doctor/remedies.ts'
import type { Report } from '../../src/cli/doctor/report.ts'
import { createServer } from '../../src/server.ts'
import { missing, startCaddy, startHaproxy, startNginx } from '../fixtures/proxies.ts'
import { freePort } from '../fixtures/redis-server.ts'
import { agents, serve } from '../fixtures/wire-server.ts'
import { codes, runDoctor, working } from './doctor-stage.ts'

const docs = readFileSync(new URL('../../docs/proxies.md', import.meta.url), 'utf8')

/** The settings that the page calls good, for a test's own ports. */
function documented(language: string, url: string): string {
  const [, config = ''] = new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(docs) ?? []
  return config
    .replaceAll('127.0.0.1:8787', new URL(url).host)
    .replace(/listen 8080|bind :8080|http:\/\/localhost:8080/, found =>
      found.startsWith('http') ? 'http://127.0.0.1:PORT' : `${found.split(' ')[0]} 127.0.0.1:PORT`,
    )
}

async function isWell(t: Test, url: string): Promise<Report> {
  const { code, report } = await runDoctor(url)
  t.same(report.faults, [])
  t.equal(code, 0)
  t.same(working(report), ['sse', 'sse-post', 'websocket', 'long-poll'])
  return report
}

t.test('nginx', { skip: missing('nginx') }, async t => {
  // With a list, so that a page of the proxy's own loopback address counts as foreign.
  const { url } = await serve(t, { origins: ['https://app.example.com'] })
  /** A location that passes on, with more lines. */
  const passing = (lines: string) =>
    startNginx(t, `server { listen 127.0.0.1:PORT; location / { proxy_pass ${url};\n${lines}\n} }`)
  /** What the doctor prints against what it found. */
  const printed = ({ faults }: Report) =>
    faults.flatMap(({ code }) =>
      code in remedies ? remedies[code as keyof typeof remedies].lines.nginx : [],
    )

  t.test(
    'with nothing but proxy_pass SSE is live, by GET and by POST, and there is no WebSocket',
    async t => {
      const { code, report, text } = await runDoctor(await passing(''))
      t.equal(code, 1)
      t.same(codes(report), ['page-refused', 'restart-final', 'upgrade'])
      t.same(working(report), ['sse', 'sse-post', 'long-poll'])
      t.match(report.server, { intermediaries: [/^nginx\//], changedHeaders: ['x-accel-buffering'] })
      t.equal(report.advice?.transport, 'sse')
      t.match(text, /through nginx\/.*\nheaders changed by a proxy: x-accel-buffering\n/)
      t.notMatch(text, /HAProxy/, 'only the lines of the proxy that named itself')
    },
  )

  t.test(
    'that ignores x-accel-buffering holds both back, and the lines that are printed mend all',
    async t => {
      const ignoring = 'proxy_ignore_headers X-Accel-Buffering;'
      const { report, text } = await runDoctor(await passing(ignoring))
      t.same(codes(report), ['buffered', 'page-refused', 'restart-final', 'upgrade'])
      t.same(working(report), ['long-poll'])
      t.equal(report.advice?.transport, 'long-poll')
      for (const line of printed(report).join('\n').split('\n')) t.ok(text.includes(line), line)
      await isWell(t, await passing([ignoring, ...new Set(printed(report))].join('\n')))
    },
  )

  t.test('that gives up early cuts every transport', async t => {
    const config = documented('nginx', url).replace('proxy_read_timeout 60s', 'proxy_read_timeout 2s')
    const { report, text } = await runDoctor(await startNginx(t, config), 4000)
    t.same(codes(report), ['cut-idle'])
    t.match(text, /✗ SSE \(GET\), WebSocket, long-poll: closed after [12]\.\d s of silence/)
  })

  t.test('that gives the server a foreign name', async t => {
    const { report, text } = await runDoctor(await passing('proxy_set_header Host chat.example.com;'))
    t.same(codes(report), ['host-refused'])
    t.match(
      text,
      /the Host header must be a loopback name.*\n.*\n +nginx\n +proxy_set_header Host localhost;/,
    )
  })

  t.test('before a server on loopback with a public name: localhost as Host, and --origin', async t => {
    const port = await freePort()
    const lines = (['upgrade', 'host-refused', 'restart-final'] as const)
      .map(code => remedies[code].lines.nginx)
      .join('\n')
    const location = `location / { proxy_pass http://127.0.0.1:${port};\n${lines}\n}`
    const proxy = await startNginx(t, `server { listen 127.0.0.1:PORT; ${location} }`)
    const server = await createServer({ agents, origins: [proxy] })
    t.teardown(() => server.close({ graceMs: 0 }))
    await server.listen({ port })
    await isWell(t, proxy)
  })

  t.test('as documented', async t => isWell(t, await startNginx(t, documented('nginx', url))))
})

t.test('HAProxy', { skip: missing('haproxy') }, async t => {
  const { url } = await serve(t)
  const config = documented('haproxy', url)

  t.test('as it comes makes each event of SSE late', async t => {
    const { code, report, text } = await runDoctor(
      await startHaproxy(t, config.replace('option http-no-delay', '')),
    )
    t.equal(code, 1)
    t.same(codes(report), ['delayed'])
    t.same(working(report), ['sse', 'sse-post', 'websocket', 'long-poll'])
    t.match(text, /! SSE \(GET\) .*every event comes \d{3} ms late/)
  })

  t.test('that passes its own 503 on to event streams', async t => {
    const { report, text } = await runDoctor(await startHaproxy(t, config.replace(/use_backend .*/, '')))
    t.same(codes(report), ['restart-final'])
    t.match(text, /a 503 reaches event streams.*\n[\s\S]*HAProxy\n[\s\S]*backend streams/)
  })

  t.test('as documented', async t => isWell(t, await startHaproxy(t, config)))
})

t.test('Caddy', { skip: missing('caddy') }, async t => {
  const { url } = await serve(t)
  const config = documented('caddy', url)

  t.test('with nothing but reverse_proxy all is well until the server restarts', async t => {
    const host = new URL(url).host
    const proxy = await startCaddy(t, `http://127.0.0.1:PORT {\n  reverse_proxy ${host}\n}`)
    const { report } = await runDoctor(proxy)
    t.same(codes(report), ['restart-final'])
    t.same(working(report), ['sse', 'sse-post', 'websocket', 'long-poll'])
    t.same(report.server?.intermediaries, ['Caddy'])
  })

  t.test('that encodes everything holds SSE back', async t => {
    // By default only where the first piece that comes has 512 bytes, which is a matter of luck.
    const encoding = config.replace(/encode .*/, 'encode gzip {\nminimum_length 1\n}')
    const { report, text } = await runDoctor(await startCaddy(t, encoding))
    t.same(codes(report), ['compressed'])
    t.match(text, /Caddy\n +@whole not header Accept \*text\/event-stream\*/)
  })

  t.test('as documented', async t => isWell(t, await startCaddy(t, config)))
})

t.test('docs/proxies.md has the text of every finding that the doctor prints', async t => {
  for (const [code, { meaning, lines }] of Object.entries(remedies)) {
    const fixes = Object.entries(lines).map(([proxy, text]) => `${proxy}:\n\n\`\`\`\n${text}\n\`\`\``)
    t.ok(docs.includes([`### ${code}`, meaning, ...fixes].join('\n\n')), code)
  }
})
