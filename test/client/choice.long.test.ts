import { createServer, request as httpRequest } from 'node:http'
import { type AddressInfo, connect as dial } from 'node:net'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { choose } from '../../client/guide.ts'
import { createClient } from '../../client/index.ts'
import { collect, connect, stage, until } from './stage.ts'

t.test('the guide gets the client’s capabilities and the application’s needs', async t => {
  const { document } = globalThis
  t.teardown(() => Object.assign(globalThis, { document }))
  const busy = { upstreamPerSecond: 20 }
  const inNode = [
    [choose({}, true), ['sse', 'websocket', 'long-poll']],
    [choose(busy, true), ['websocket', 'sse', 'long-poll']],
    [choose(busy, false), ['sse', 'long-poll']],
    [choose({ sessions: 90 }, true), ['sse', 'websocket', 'long-poll']],
    [choose({ buffers: true }, true), ['websocket', 'long-poll', 'sse']],
  ] as const
  Object.assign(globalThis, { document: new EventTarget() })
  const inPage = [
    [choose(busy, true), ['websocket', 'sse', 'long-poll']],
    [choose({ sessions: 5 }, true), ['websocket', 'sse', 'long-poll']],
    [choose({ sessions: 5, connections: 100 }, true), ['sse', 'websocket', 'long-poll']],
  ] as const
  for (const [{ transport, fallback, because }, order] of [...inNode, ...inPage]) {
    t.same([transport, ...fallback], order)
    t.ok(because.length > 0 && because.every(text => typeof text === 'string'))
  }
})

/** A proxy in front of the server that strips upgrades or holds response bodies back. */
async function badProxy(t: Test, target: string, how: { strip?: boolean; holdMs?: number }) {
  const seen: string[] = []
  const server = createServer((incoming, outgoing) => {
    seen.push(`${incoming.method} ${incoming.url}`)
    const { hostname, port } = new URL(target)
    const headers = { ...incoming.headers, host: `${hostname}:${port}` }
    const onward = httpRequest(
      { hostname, port, path: incoming.url, method: incoming.method, headers },
      answer => {
        const held = String(answer.headers['content-type']).includes('event-stream') ? how.holdMs : undefined
        outgoing.writeHead(answer.statusCode!, answer.headers)
        answer.on('data', chunk => {
          if (held === undefined) outgoing.write(chunk)
          else waiting.push(chunk)
        })
        const waiting: Buffer[] = []
        const flush = () => void outgoing.write(Buffer.concat(waiting.splice(0)))
        const flushing = Number.isFinite(held) ? setInterval(flush, held) : undefined
        outgoing.on('close', () => clearInterval(flushing))
        answer.on('end', () => {
          if (flushing) flush()
          outgoing.end()
        })
        answer.on('error', () => outgoing.destroy())
      },
    )
    onward.on('error', () => outgoing.destroy())
    outgoing.on('close', () => onward.destroy())
    incoming.pipe(onward)
  })
  server.on('upgrade', (incoming, near) => {
    seen.push('upgrade')
    near.on('error', () => {})
    if (how.strip) return near.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n')
    const { hostname, port } = new URL(target)
    const far = dial(Number(port), hostname, () => {
      const lines = Object.entries({ ...incoming.headers, host: `${hostname}:${port}` }).map(
        ([k, v]) => `${k}: ${v}\r\n`,
      )
      far.write(`GET ${incoming.url} HTTP/1.1\r\n${lines.join('')}\r\n`)
      far.pipe(near).pipe(far)
    })
    far.on('error', () => near.destroy())
    near.on('close', () => far.destroy())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen }
}

t.test(
  'a stripped upgrade: the next transport is tried at once, and the verdict is kept for the origin',
  async t => {
    const { url, seen } = await badProxy(t, await stage(t), { strip: true })
    const client = connect(t, url, { needs: { upstreamPerSecond: 30 } })
    t.equal(client.quality.current.transport, 'websocket')
    const run = client.session().run('playback', { count: 20, rate: 0 })
    t.equal((await collect(run.events)).at(-1)?.type, 'end')
    t.equal(seen.filter(kind => kind === 'upgrade').length, 1, 'it is not tried again')
    t.equal(client.quality.current.transport, 'sse')
    t.match(client.quality.current.because.at(-1), /websocket did not get through/)
    seen.length = 0
    const second = createClient({ url, WebSocket, needs: { upstreamPerSecond: 30 } })
    t.teardown(() => second.close())
    t.equal(second.quality.current.transport, 'sse')
    await second.session().run('playback', { count: 1, rate: 0 }).done
    t.notOk(seen.includes('upgrade'))
  },
)

t.test('a stream without its hello in time: the next transport races it', async t => {
  const { url } = await badProxy(t, await stage(t), { holdMs: Number.POSITIVE_INFINITY })
  const client = connect(t, url)
  const run = client.session().run('playback', { count: 20, rate: 0 })
  const began = Date.now()
  t.equal((await collect(run.events)).at(-1)?.type, 'end')
  t.ok(Date.now() - began < 2.5 * 15_000, 'before the watchdog of two and a half heartbeats')
  t.equal(client.quality.current.transport, 'websocket')
})

t.test('a stream whose two time-stamped messages come together: it is buffered, and left', async t => {
  const { url } = await badProxy(t, await stage(t), { holdMs: 1500 })
  const client = connect(t, url)
  const run = client.session().run('playback', { count: 400, rate: 100 })
  const text: string[] = []
  for await (const part of run.text) text.push(part)
  t.equal(client.quality.current.transport, 'websocket')
  t.match(client.quality.current.because.at(-1), /a proxy buffers sse|sse did not get through/)
  t.equal(text.join(''), (await collect(run.text)).join(''))
})

t.test('a page with eight sessions moves them to one socket before it runs out of connections', async t => {
  const url = await stage(t)
  const { document } = globalThis
  Object.assign(globalThis, { document: new EventTarget() })
  t.teardown(() => Object.assign(globalThis, { document }))
  let sockets = 0
  class Counted extends WebSocket {
    constructor(...args: ConstructorParameters<typeof WebSocket>) {
      super(...args)
      sockets += 1
    }
  }
  const client = connect(t, url, { WebSocket: Counted })
  const sessions = Array.from({ length: 8 }, (_, i) => client.session(`tab-${i}`))
  await Promise.all(sessions.map(session => session.create()))
  const ended = sessions.map(() => false)
  for (const [i, session] of sessions.entries()) {
    void (async () => {
      for await (const event of session.events()) if (event.type === 'run.completed') ended[i] = true
    })()
  }
  await until(
    () => client.quality.current.transport === 'websocket' && client.quality.current.state === 'open',
  )
  await Promise.all(sessions.map(session => session.run('playback', { count: 50, rate: 500 }).started))
  await until(() => ended.every(Boolean))
  t.equal(sockets, 1)
})

t.test('a transport that was asked for and fails is not replaced', async t => {
  const { url } = await badProxy(t, await stage(t), { strip: true })
  const client = connect(t, url, { transport: 'websocket', backoff: { attempts: 1, baseMs: 1 } })
  const session = client.session()
  await session.create()
  await t.rejects(collect(session.events()), { code: 'connection-lost' })
})

t.test('switching to a transport that cannot connect keeps the old transport', async t => {
  const { url } = await badProxy(t, await stage(t), { strip: true })
  const client = connect(t, url, { transport: 'sse' })
  // Longer than any attempt to switch takes; cancelled when the attempt has failed.
  const run = client.session().run('playback', { count: 1_000_000, rate: 100 })
  let count = 0
  let told = false
  for await (const event of run.events) {
    if (event.type === 'text.delta' && ++count === 3) client.switchTransport('websocket')
    if (told || !/websocket did not get through/.test(String(client.quality.current.because))) continue
    told = true
    await run.cancel()
  }
  t.match(await run.done, { type: 'run.cancelled' })
  t.equal(client.quality.current.transport, 'sse')
})
