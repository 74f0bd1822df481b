/** Three processes on one Redis: any of them takes any command and serves any subscriber. */
import { Redis } from 'ioredis'
import t from 'tap'
import { startNodes } from '../fixtures/cluster.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { fetchPage, follow, isEvent, type Message, openWs } from '../fixtures/wire-clients.ts'
import {
  call,
  command,
  createSession,
  eventually,
  startRun,
  state,
  terminalOf,
} from '../fixtures/wire-server.ts'

const LEASE_MS = 1500

async function everything(url: string, sessionId: string): Promise<{ texts: string[]; events: Message[] }> {
  const texts: string[] = []
  const events: Message[] = []
  for (let after: string | undefined; ; ) {
    const page = await fetchPage(url, sessionId, { after, replay: 'full' })
    texts.push(...page.texts)
    events.push(...page.events)
    if (page.caughtUp) return { texts, events }
    after = page.next
  }
}

t.test('several nodes on one Redis', { skip: noRedis }, async t => {
  const redis = await RedisServer.start(t, ['--appendonly', 'yes', '--appendfsync', 'always'])
  const nodes = await startNodes(t, 3, { redis: redis.url, leaseMs: LEASE_MS })
  const [one, two, three] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]]

  t.test('a run on one node is followed, steered, asked and cancelled through the others', async t => {
    const steered = await startRun(one.url, 's', 'steered', {})
    const sse = await follow(t, 'sse', two.url, 's')
    const ws = await follow(t, 'websocket', three.url, 's')
    for (const stream of [sse, ws]) await stream.until('caught-up')
    t.match(await command(three.url, 's', { type: 'input.steer', runId: steered, text: 'hello' }), {
      status: 200,
    })
    for (const stream of [sse, ws]) {
      t.match((await stream.nextOf('x.said')).data, { text: 'hello' })
    }
    const event = { type: 'x.cursor', runId: steered, data: { x: 1 } }
    t.match(await command(two.url, 's', { type: 'publish', ephemeral: true, event }), { status: 200 })
    for (const stream of [sse, ws]) t.match(await stream.nextOf('x.cursor'), { ephemeral: true })

    const asking = await startRun(one.url, 's', 'asking', { questions: [{ requestId: 'q1' }] })
    await sse.nextOf('input.requested')
    const answers = await Promise.all(
      nodes.map(({ url }, value) =>
        command(url, 's', { type: 'input.answer', requestId: 'q1', value, key: `k${value}` }),
      ),
    )
    t.equal(answers.filter(({ status }) => status === 200).length, 1, 'one of three answers wins')
    t.match((await sse.nextOf('x.heard')).data, { value: answers.findIndex(({ status }) => status === 200) })
    t.match(await terminalOf(three.url, 's', asking), { type: 'run.completed' })

    const endless = await startRun(one.url, 's', 'endless', {})
    t.match(await command(two.url, 's', { type: 'run.cancel', runId: endless }), { status: 200 })
    t.match(await terminalOf(three.url, 's', endless), { type: 'run.cancelled' })
    const before = (await everything(one.url, 's')).texts
    const after = (await everything(two.url, 's')).texts
    t.same(after, before, 'nothing follows it, and all nodes show the same bytes')
    t.equal((await call(`${three.url}/readyz`)).status, 200)
  })

  t.test('the same start on every node is one run', async t => {
    const start = { type: 'run.start', agent: 'script', input: { events: [] }, runId: 'same' }
    const started = await Promise.all(nodes.map(({ url }) => command(url, 's2', start)))
    t.same(new Set(started.map(({ body }) => body.offset)).size, 1)
    await terminalOf(one.url, 's2', 'same')
    t.equal((await everything(two.url, 's2')).events.length, 2)
  })

  t.test('a paused node loses its run, and appends nothing when it is back', async t => {
    const runId = await startRun(one.url, 's3', 'endless', { ignoreSignal: true })
    const waiting = await startRun(one.url, 's3', 'idle', {})
    one.pause()
    for (const id of [runId, waiting]) {
      t.match(await terminalOf(two.url, 's3', id), { type: 'run.failed', data: { code: 'producer-lost' } })
    }
    const before = await everything(two.url, 's3')
    one.resume()
    const next = await startRun(one.url, 's3', 'script', { events: [] })
    await terminalOf(three.url, 's3', next)
    const { events } = await everything(two.url, 's3')
    t.equal(events.length, before.events.length + 2)
    t.equal(events.filter(({ type }) => type === 'run.failed').length, 2)
  })

  t.test('a killed node’s runs end or continue on another node', async t => {
    const failing = await startRun(one.url, 's4', 'idle', {})
    const resuming = await startRun(one.url, 's4', 'counting', { count: 300, paceMs: 5 })
    const sse = await follow(t, 'sse', two.url, 's4', { replay: 'full' })
    await sse.until(({ message }) => message.type === 'x.count')
    await one.kill()
    t.match(await terminalOf(two.url, 's4', failing), { data: { code: 'producer-lost', retryable: true } })
    t.match(await terminalOf(three.url, 's4', resuming), { type: 'run.completed' })
    const { events } = await everything(two.url, 's4')
    t.same(
      events.filter(({ type }) => type === 'x.count').map(({ data }) => data?.['i']),
      Array.from({ length: 300 }, (_, i) => i),
    )
    await one.start()
    t.same((await everything(one.url, 's4')).events, events)
  })

  t.test('viewers of a run count on every node', async t => {
    const admin = new Redis(redis.url)
    t.teardown(() => admin.disconnect())
    const statusOf = async (runId: string) =>
      (await state(one.url, 's6')).runs?.find(run => run.runId === runId)?.status
    await createSession(one.url, 's6')
    const watcher = await follow(t, 'sse', two.url, 's6')
    await watcher.until('caught-up')
    const policy = { onNoViewers: { cancelAfterMs: 100 } }
    const watched = await startRun(one.url, 's6', 'idle', {}, policy)
    const unwatched = await startRun(one.url, 's7', 'idle', {}, policy)
    await eventually(t, 'one that nobody watches ends', async () => {
      const { runs } = await state(three.url, 's7')
      return runs?.find(({ runId }) => runId === unwatched)?.status === 'cancelled'
    })
    t.equal(await statusOf(watched), 'running')
    watcher.close()
    await eventually(t, 'so does the other, then', async () => (await statusOf(watched)) === 'cancelled')
    t.equal(await admin.exists('twinrail:{s6}:m'), 0, 'and no mark is left')
  })

  t.test('a slow wait subscriber holds an agent on another node, no longer than its node lives', async t => {
    const admin = new Redis(redis.url)
    t.teardown(() => admin.disconnect())
    await createSession(one.url, 's8')
    const slow = await openWs(t, two.url)
    slow.send({ type: 'subscribe', id: '1', sessionId: 's8', lag: 'wait' })
    await slow.until('caught-up')
    slow.tcp.pause()
    const runId = await startRun(one.url, 's8', 'playback', { count: 4000, rate: 0, bytes: 8000 })
    await eventually(t, 'it is held', async () => {
      const marks = await admin.zrange('twinrail:{s8}:m', '0', '-1')
      return marks.some(mark => mark.startsWith('hold '))
    })
    t.ok((await admin.pttl('twinrail:{s8}:m')) > 0, 'by a mark that ends by itself')
    t.match((await state(three.url, 's8')).runs, [{ runId, status: 'running' }])
    await two.kill()
    t.match(await terminalOf(one.url, 's8', runId), { type: 'run.completed' })
    await two.start()
  })

  t.test(
    'while Redis is unreachable the server is not ready; streams stay open and catch up afterwards',
    async t => {
      const streams: Awaited<ReturnType<typeof follow>>[] = []
      await command(one.url, 's5', { type: 'publish', event: { type: 'x.n', data: 1 } })
      for (const [i, transport] of (['sse', 'websocket', 'eventsource'] as const).entries()) {
        streams.push(await follow(t, transport, nodes[i]?.url as string, 's5'))
      }
      for (const stream of streams) await stream.until('caught-up')
      await redis.kill()
      const refused = await command(two.url, 's5', { type: 'publish', event: { type: 'x.n', data: 2 } })
      t.match(refused, { status: 503, body: { type: 'nack', code: 'unavailable', retryable: true } })
      t.equal((await call(`${one.url}/readyz`)).status, 503)
      t.equal((await call(`${one.url}/healthz`)).status, 200)
      await redis.start()
      await eventually(t, 'ready again', async () => (await call(`${three.url}/readyz`)).status === 200)
      t.match(await command(three.url, 's5', { type: 'publish', event: { type: 'x.n', data: 3 } }), {
        status: 200,
      })
      for (const stream of streams) {
        const got = (await stream.until(isEvent)).map(({ message }) => message)
        t.same(got.at(-1)?.data, 3)
        t.notOk(
          got.some(({ type }) => type === 'reset'),
          'and nobody is reset',
        )
      }
    },
  )
})
