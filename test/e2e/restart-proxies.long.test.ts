/** Bare EventSources behind the documented proxies come back after the server was gone for 3 s. */
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { missing, startCaddy, startHaproxy, startNginx } from '../fixtures/proxies.ts'
import { freePort } from '../fixtures/redis-server.ts'
import { EventSourceStream } from '../fixtures/wire-clients.ts'
import { command } from '../fixtures/wire-server.ts'
import { serve } from './stage.ts'

const docs = readFileSync(new URL('../../docs/proxies.md', import.meta.url), 'utf8')

/** The documented settings of a proxy, for a test's own ports. */
function documented(language: string, port: number): string {
  const [, config = ''] = new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(docs) ?? []
  return config
    .replaceAll('127.0.0.1:8787', `127.0.0.1:${port}`)
    .replace(/(listen |bind |http:\/\/)(localhost)?:?8080/, (_, start: string) => `${start}127.0.0.1:PORT`)
}

const proxies = {
  nginx: (t: Test, port: number) => startNginx(t, documented('nginx', port)),
  haproxy: (t: Test, port: number) => startHaproxy(t, documented('haproxy', port)),
  caddy: (t: Test, port: number) => startCaddy(t, documented('caddy', port)),
} as const

const CLIENTS = 60
const AWAY_MS = 3000

for (const [name, startProxy] of Object.entries(proxies)) {
  t.test(name, { skip: missing(name as keyof typeof proxies) }, async t => {
    const folder = mkdtempSync(join(tmpdir(), 'twinrail-restart-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const port = await freePort()
    const start = () => serve(t, ['--port', String(port), '--log', `lmdb:${folder}`])
    const publish = async (url: string, n: number) => {
      const event = { type: 'x.n', data: { n } }
      t.equal((await command(url, 's', { type: 'publish', event })).status, 200)
    }
    const first = await start()
    const proxy = await startProxy(t, port)
    await publish(first.url, 1)
    const clients = Array.from(
      { length: CLIENTS },
      () => new EventSourceStream(`${proxy}/v1/sessions/s/events`),
    )
    t.teardown(() => {
      for (const client of clients) client.close()
    })
    await Promise.all(clients.map(client => client.until('caught-up')))

    first.child.kill('SIGKILL')
    await once(first.child, 'exit')
    await new Promise(resolve => setTimeout(resolve, AWAY_MS))
    const second = await start()
    await publish(second.url, 2)
    const seen = await Promise.all(
      clients.map(async client => {
        const events = await client.until(({ message }) => message.data?.['n'] === 2)
        return events.flatMap(({ message }) => (message.type === 'x.n' ? [message.data?.['n']] : []))
      }),
    )
    t.same(seen, Array(CLIENTS).fill([2]), 'every one comes back with its cursor, and misses nothing')
  })
}
