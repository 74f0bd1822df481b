/** Two nodes behind nginx, with the configuration of docs/several-nodes.md. */
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { startNodes } from '../fixtures/cluster.ts'
import { missing, startNginx } from '../fixtures/proxies.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { follow, isEvent } from '../fixtures/wire-clients.ts'
import { command, eventually, ingestLines, startRun, terminalOf } from '../fixtures/wire-server.ts'

const docs = new URL('../../docs/several-nodes.md', import.meta.url)
const skip = noRedis || missing('nginx')

/** nginx with the documented configuration, but for the ports. */
function startDocumented(t: Test, ports: readonly number[]): Promise<string> {
  const [, documented = ''] = /```nginx\n(.*?)```/s.exec(readFileSync(docs, 'utf8')) ?? []
  const http = documented
    .replace('127.0.0.1:8787', `127.0.0.1:${ports[0]}`)
    .replace('127.0.0.1:8788', `127.0.0.1:${ports[1]}`)
    .replace('listen 8080', 'listen 127.0.0.1:PORT')
  return startNginx(t, http)
}

t.test('two nodes behind nginx, round robin', { skip }, async t => {
  const redis = await RedisServer.start(t)
  const nodes = await startNodes(t, 2, { redis: redis.url, leaseMs: 1000 })
  const url = await startDocumented(
    t,
    nodes.map(({ port }) => port),
  )

  t.test('events come through live on every transport, wherever the run is', async t => {
    for (const transport of ['sse', 'eventsource', 'websocket', 'long-poll'] as const) {
      const sessionId = `live-${transport}`
      const runId = await startRun(url, sessionId, 'steered', {})
      const stream = await follow(t, transport, url, sessionId)
      await stream.until('caught-up')
      for (let i = 0; i < 10; i++) {
        const steer = { type: 'input.steer', runId, text: `${i}` }
        t.equal((await command(url, sessionId, steer)).status, 200)
        // Only a live stream gives this before the next one is sent.
        t.match((await stream.nextOf('x.said')).data, { text: `${i}` }, `${transport} ${i}`)
      }
      await command(url, sessionId, { type: 'run.cancel', runId })
      await stream.nextOf('run.cancelled')
    }
  })

  t.test('a long ingest goes through, and both nodes work', async t => {
    const lines = Array.from({ length: 5000 }, (_, i) => JSON.stringify({ type: 'x.n', data: { i } })).join(
      '\n',
    )
    t.match(await ingestLines(url, 'long', lines), { status: 200, body: { count: 5000 } })
    const stream = await follow(t, 'sse', url, 'long', { replay: 'full' })
    const events = await stream.events(5000)
    t.same(
      events.map(({ message }) => message.data?.['i']),
      Array.from({ length: 5000 }, (_, i) => i),
    )
  })

  t.test('when a node dies clients come back on the other one and miss nothing', async t => {
    const runId = await startRun(url, 's', 'counting', { count: 400, paceMs: 5 })
    const streams = [await follow(t, 'eventsource', url, 's'), await follow(t, 'eventsource', url, 's')]
    for (const stream of streams) await stream.until(isEvent)
    await nodes[0]?.kill()
    const other = nodes[1]?.url as string
    t.match(await terminalOf(other, 's', runId), { type: 'run.completed', data: { result: 400 } })
    for (const stream of streams) {
      const got = await stream.until(({ message }) => message.type === 'run.completed')
      const offsets = got.filter(isEvent).map(({ message }) => Number(message.offset?.split('-')[1]))
      const [first = 0] = offsets
      t.same(
        offsets,
        offsets.map((_, i) => first + i),
        'in order, each once',
      )
    }
    await nodes[0]?.start()
    await eventually(t, 'nginx uses it again', async () => {
      const answers = await Promise.all([startRun(url, 's2', 'idle', {}), startRun(url, 's2', 'idle', {})])
      return answers.length === 2
    })
  })
})
