import t from 'tap'
import { z } from 'zod'
import type { SessionEvent } from '../../client/index.ts'
import { collect, connect, stage, until } from './stage.ts'

const transports = ['sse', 'websocket', 'long-poll'] as const
const played = { count: 40, rate: 0, seed: 3 }

const textOf = (events: SessionEvent[]) =>
  events.map(event => (event.type === 'text.delta' ? event.data.delta : '')).join('')

for (const transport of transports) {
  t.test(transport, async t => {
    t.test('a run: its text, its events and its end', async t => {
      const client = connect(t, await stage(t), { transport })
      const run = client.session().run('playback', played)
      const text = (await collect(run.text)).join('')
      const events = await collect(run.events)
      t.equal(textOf(events), text)
      t.ok(text.length > 100)
      t.equal(events.at(-1)?.type, 'end')
      t.match(await run.done, { type: 'run.completed', runId: run.runId })
      t.match(await run.started, { type: 'ack', runId: run.runId })
    })

    t.test('done resolves without a reader, and rejects for a refused start', async t => {
      const client = connect(t, await stage(t), { transport })
      t.match(await client.session().run('playback', played).done, { type: 'run.completed' })
      const refused = client.session().run('nobody', {})
      await t.rejects(Promise.resolve(refused.done), { code: 'agent-not-found' })
      await t.rejects(collect(refused.events), { code: 'agent-not-found' })
    })

    t.test('a cancelled run is done with run.cancelled and the reason', async t => {
      const client = connect(t, await stage(t), { transport })
      const run = client.session().run('playback', { count: 1000, rate: 5 })
      await run.cancel('enough')
      t.match(await run.done, { type: 'run.cancelled', data: { reason: 'enough' } })
    })

    t.test('answer, steer and state', async t => {
      const client = connect(t, await stage(t), { transport })
      const session = client.session()
      const run = session.run('asking', { query: 'it' })
      let answered = false
      for await (const event of run.events) {
        if (event.type !== 'input.requested') continue
        t.match(await session.state(), { pendingInputs: [{ requestId: event.data.requestId }] })
        await session.answer(event.data.requestId, true)
        answered = true
      }
      t.ok(answered)
      t.equal((await collect(run.text)).join(''), 'Done.')
      const echo = session.run('echoing', { query: 'one' })
      await echo.steer('two')
      await echo.steer('end')
      t.equal((await collect(echo.text)).join(''), 'one two ')
    })

    t.test('one’s own events are checked by one’s own schemas, both ways', async t => {
      const url = await stage(t)
      const client = connect(t, url, { transport })
      const cursor = z.object({ x: z.number(), color: z.string().default('red') })
      const session = client.session('own', { 'x.cursor': cursor })
      await session.create()
      await session.publish('x.cursor', { x: 3 })
      t.throws(
        () => void session.publish('x.cursor', { x: 'three' } as never).catch(() => {}),
        /expected number|invalid/i,
      )
      const anything = { 'x.cursor': { parse: (value: unknown) => value } }
      await client.session('own', anything).publish('x.cursor', 'nonsense')
      await session.publish('x.cursor', { x: 4, color: 'blue' })
      const seen: unknown[] = []
      for await (const event of session.events()) {
        if (event.type === 'x.cursor') seen.push(event.data.color)
        if (event.type === 'invalid') seen.push(event.event.data)
        if (event.type === 'caught-up') break
      }
      t.same(seen, ['red', 'nonsense', 'blue'])
    })
  })
}

t.test('one socket carries many sessions and their commands', async t => {
  const url = await stage(t)
  let sockets = 0
  const { WebSocket } = await import('ws')
  class Counted extends WebSocket {
    constructor(...args: ConstructorParameters<typeof WebSocket>) {
      super(...args)
      sockets += 1
    }
  }
  const posts: string[] = []
  const client = connect(t, url, {
    transport: 'websocket',
    WebSocket: Counted,
    fetch: (input, init) => {
      posts.push(String(input))
      return fetch(input, init)
    },
  })
  const sessions = Array.from({ length: 12 }, (_, i) => client.session(`many-${i}`))
  await Promise.all(sessions.map(session => session.create()))
  const stop = new AbortController()
  const seen = sessions.map(() => [] as string[])
  const live = sessions.map(async (session, i) => {
    for await (const event of session.events({ signal: stop.signal })) seen[i]!.push(event.type)
  })
  await until(() => seen.every(types => types.includes('caught-up')))
  posts.length = 0
  await Promise.all(sessions.map(session => session.run('playback', played).started))
  await until(() => seen.every(types => types.includes('run.completed')))
  t.equal(sockets, 1)
  t.same(posts, [], 'commands went over the socket')
  stop.abort()
  await Promise.allSettled(live)
})

t.test('switches the transport in mid-stream: no gap, no duplicate', async t => {
  const client = connect(t, await stage(t), { transport: 'sse' })
  const session = client.session()
  const run = session.run('playback', { count: 600, rate: 1500 })
  await run.started
  const order = ['websocket', 'long-poll', 'sse', 'websocket', 'sse'] as const
  const came: string[] = []
  const used = new Set<string>()
  let last = 0
  let seqs = 0
  // Unfolded, so that on a busy machine, too, there are events enough to switch between.
  for await (const event of session.events({ run: run.runId, replay: 'full' })) {
    if (!('offset' in event) || !event.type.includes('.')) continue
    const { offset, from } = event as { offset: string; from?: string }
    const [first, end] = [Number((from ?? offset).split('-')[1]), Number(offset.split('-')[1])]
    if (last > 0) t.equal(first, last + 1)
    last = end
    seqs += 1
    used.add(client.quality.current.transport)
    if (event.type === 'text.delta') came.push(event.data.delta)
    if (seqs % 20 === 0 && order[seqs / 20 - 1]) client.switchTransport(order[seqs / 20 - 1]!)
  }
  t.equal(used.size, 3)
  t.equal(came.join(''), (await collect(run.text)).join(''))
  t.equal(client.quality.current.reconnects, 0, 'no connection was lost for it')
})

t.test('quality has the measurements of the streams', async t => {
  const client = connect(t, await stage(t), { transport: 'websocket' })
  t.equal(client.quality.current.state, 'idle')
  const states = new Set<string>()
  const stop = client.quality.subscribe(() => states.add(client.quality.current.state))
  const session = client.session()
  await session.create()
  const run = session.run('playback', { count: 1_000_000, rate: 100 })
  let seen = 0
  let enough = false
  for await (const _ of run.events) {
    if (enough || ++seen <= 20 || !states.has('open')) continue
    enough = true
    await run.cancel()
  }
  const quality = client.quality.current
  for (const ms of [quality.roundTripMs, quality.delayMs, quality.lastEventAgeMs]) t.ok(ms! >= 0)
  t.ok(quality.events > 20 && quality.bytes > 1000)
  t.match(quality, { transport: 'websocket', because: ['asked for'], reconnects: 0, dropped: 0 })
  stop()
  client.close()
  t.equal(client.quality.current.state, 'closed')
})

t.test('close ends streams quietly, and nothing runs after it', async t => {
  const client = connect(t, await stage(t))
  const session = client.session()
  await session.create()
  let seen = 0
  const reading = (async () => {
    for await (const event of session.events()) {
      seen += 1
      if (event.type === 'caught-up') client.close()
    }
  })()
  await reading
  t.equal(seen, 1)
  t.same(await collect(session.events()), [])
  await t.rejects(session.publish('x.a' as never, 1 as never), { code: 'closed' })
})
