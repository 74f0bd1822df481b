/** The conformance suite against a server in memory, and its statements against PROTOCOL.md. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { runConformance } from '../src/conformance/run.ts'
import { statement } from '../src/conformance/statement.ts'
import { needCredentials } from '../src/conformance/statements/credentials.ts'
import { statements } from '../src/conformance/statements/index.ts'
import { createServer } from '../src/server.ts'
import { serve } from './fixtures/wire-server.ts'

const protocol = readFileSync(new URL('../PROTOCOL.md', import.meta.url), 'utf8')

t.test('PROTOCOL.md has an anchor for each statement, and no others', async t => {
  const anchors = [...protocol.matchAll(/<a id="c(\d+)"><\/a>/g)].map(([, number]) => Number(number))
  const numbers = statements.map(({ number }) => number)
  t.same(
    anchors.toSorted((a, b) => a - b),
    numbers,
  )
  t.match(protocol, `: ${numbers.length} statements, each`, 'their number')
  t.equal(new Set(numbers).size, numbers.length, 'each number once')
  t.equal(new Set(statements.map(({ says }) => says)).size, numbers.length, 'each sentence once')
})

t.test('a server in memory conforms', async t => {
  const { url, server } = await serve(t)
  const report = await runConformance({ url, headers: {} })
  t.same(
    report.rows.filter(({ outcome, number }) => outcome !== 'passed' && !needCredentials.includes(number)),
    [],
  )
  t.same(
    report.rows.filter(({ outcome }) => outcome === 'skipped').map(({ number }) => number),
    [280, ...needCredentials],
    'a server without credentials cannot be checked for these; one of them on two transports',
  )
  t.ok(report.conforms)
  t.ok(report.rows.length >= 250, `${report.rows.length} rows`)
  t.same(await server.sessions.list(undefined, 10), [], 'it leaves nothing behind')
})

t.test('a server that deviates is told where', async t => {
  const { url } = await serve(t)
  // Behind a proxy that takes cursors away.
  const { app, listen, close } = await createServer({ logger: false, page: false })
  t.teardown(() => close({ graceMs: 0 }))
  app.get('/broken/*', async (request, reply) => {
    const path = request.url.slice('/broken'.length).replace(/after=[^&]*/, 'cursor=lost')
    const response = await fetch(url + path, { headers: { accept: String(request.headers.accept) } })
    return reply
      .code(response.status)
      .type('application/json')
      .send(await response.text())
  })
  app.post('/broken/*', async (request, reply) => {
    const response = await fetch(url + request.url.slice('/broken'.length), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request.body),
    })
    return reply
      .code(response.status)
      .type('application/json')
      .send(await response.text())
  })
  const broken = { url: `${await listen({ port: 0 })}/broken`, headers: {} }
  const only = statements
    .filter(({ number }) => number === 31)
    .map(({ number, says, check }) => statement(number, says, ['long-poll'], check))
  const report = await runConformance(broken, { statements: only })
  t.equal(report.conforms, false)
  t.match(report.rows, [
    { number: 31, on: 'long-poll', outcome: 'failed', message: /expected \[3,4\], got \[1,2,3,4\]/ },
  ])
})

t.test('what cannot be checked is skipped, and what hangs ends in time', async t => {
  const { url } = await serve(t)
  const rows = [
    statement(1, 'skipped', ['http'], async check => check.skip('not here')),
    statement(2, 'hangs', ['http'], () => new Promise(() => {})),
  ]
  const report = await runConformance({ url, headers: {} }, { statements: rows, timeoutMs: 50 })
  t.match(report, { conforms: false, passed: 0, failed: 1, skipped: 1 })
  t.match(report.rows, [{ message: 'not here' }, { message: 'not done within 50 ms' }])
})
