import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import t from 'tap'
import { WebSocket } from 'ws'
import {
  ClientError,
  type FollowOptions,
  type FollowStatus,
  follow,
  type Message,
  type Transport,
} from '../../client/index.ts'
import { deltas, type Fake, fakeServer, offsetOf } from './fake.ts'

const fast = { baseMs: 1, capMs: 2 }

function open(fake: Fake, transport: Transport, options: Partial<FollowOptions> = {}) {
  return follow({ url: fake.url, sessionId: 's1', transport, WebSocket, backoff: fast, ...options })
}

/** Follows to the end and gives the offsets of the events. */
async function offsets(messages: AsyncIterable<Message>): Promise<string[]> {
  const seen: string[] = []
  for await (const message of messages)
    if (message.kind === 'event' && 'offset' in message.event) seen.push(message.event.offset)
  return seen
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => offsetOf(i + 1))

for (const transport of ['sse', 'websocket', 'long-poll'] as const) {
  t.test(transport, async t => {
    t.test('yields every event and ends after end', async t => {
      const fake = await fakeServer(t, { events: deltas(5) })
      t.same(await offsets(open(fake, transport)), upTo(5))
      t.same(fake.cursors, [undefined])
    })

    t.test('resumes after any event without loss or repetition', async t => {
      const plans = Array.from({ length: 5 }, () => ({ cutAfter: transport === 'long-poll' ? 0 : 1 }))
      const fake = await fakeServer(t, { events: deltas(5), plans })
      t.same(await offsets(open(fake, transport)), upTo(5))
      const came = transport === 'long-poll' ? Array(6).fill(undefined) : [undefined, ...upTo(5)]
      t.same(fake.cursors, came, 'a page that broke off held nothing')
    })

    t.test('drops duplicates', async t => {
      const fake = await fakeServer(t, { events: deltas(6), plans: [{ back: 2 }] })
      t.same(await offsets(open(fake, transport, { after: offsetOf(3) })), upTo(6).slice(3))
    })

    t.test('asks again when events are missing', async t => {
      const fake = await fakeServer(t, { events: deltas(4), plans: [{ hole: true }] })
      const statuses: FollowStatus[] = []
      const messages = open(fake, transport, {
        after: offsetOf(0),
        onStatus: status => statuses.push(status),
      })
      t.same(await offsets(messages), upTo(4))
      const waiting = statuses.find(({ state }) => state === 'waiting')
      t.match(waiting, { error: { code: 'out-of-step' } })
    })

    t.test('starts over after a reset', async t => {
      const plans = [{ reset: { reason: 'epoch', head: offsetOf(3, 9) } }]
      const fake = await fakeServer(t, { events: deltas(3, 1, 9), plans })
      t.same(await offsets(open(fake, transport, { after: offsetOf(40) })), ['9-1', '9-2', '9-3'])
    })

    t.test('ends with the server’s own error when it refuses for good', async t => {
      const error = { code: 'session-not-found', message: 'No such session', retryable: false }
      const fake = await fakeServer(t, { events: [], plans: [{ refuse: { status: 404, body: { error } } }] })
      const failure = await offsets(open(fake, transport)).catch(error => error)
      t.ok(failure instanceof ClientError)
      t.match(failure, { code: 'session-not-found', message: 'No such session', retryable: false })
      t.equal(fake.cursors.length, 1)
    })

    t.test('reconnects after a temporary refusal', async t => {
      const error = { code: 'rate-limited', message: 'Too many', retryable: true, retryAfterMs: 20 }
      const refuse = { status: 429, body: { error } }
      const fake = await fakeServer(t, { events: deltas(2), plans: [{ refuse }] })
      const statuses: FollowStatus[] = []
      t.same(await offsets(open(fake, transport, { onStatus: status => statuses.push(status) })), upTo(2))
      const waiting = statuses.find(status => status.state === 'waiting')
      t.ok(waiting?.state === 'waiting' && waiting.retryInMs >= 20)
    })

    t.test('gives up a connection that has gone silent', async t => {
      const fake = await fakeServer(t, { events: deltas(3), plans: [{ silentAfter: 0 }], heartbeatMs: 20 })
      const statuses: FollowStatus[] = []
      const messages = open(fake, transport, { heartbeatMs: 20, onStatus: status => statuses.push(status) })
      t.same(await offsets(messages), upTo(3))
      t.match(
        statuses.find(({ state }) => state === 'waiting'),
        { error: { code: 'silent' } },
      )
    })

    t.test('does not take a slow consumer for a dead wire', async t => {
      const fake = await fakeServer(t, { events: deltas(3), heartbeatMs: 400 })
      const statuses: FollowStatus[] = []
      const onStatus = (status: FollowStatus) => statuses.push(status)
      for await (const message of open(fake, transport, { heartbeatMs: 400, onStatus })) {
        const paused =
          message.kind === 'event' && 'offset' in message.event && message.event.offset === offsetOf(2)
        if (paused) await new Promise(resolve => setTimeout(resolve, 1100))
      }
      t.equal(statuses.at(-1)?.attempts, 1)
    })

    t.test('throws the signal’s reason and delivers nothing after it', async t => {
      const fake = await fakeServer(t, { events: deltas(5), ends: false })
      const stop = new AbortController()
      const seen: string[] = []
      const reason = new Error('enough')
      const following = (async () => {
        for await (const message of open(fake, transport, { signal: stop.signal })) {
          if (message.kind === 'control') continue
          seen.push(message.event.type)
          stop.abort(reason)
        }
      })()
      await t.rejects(following, reason)
      t.equal(seen.length, 1)
    })

    t.test('stops waiting for the next attempt when aborted', async t => {
      const fake = await fakeServer(t, {
        events: deltas(1),
        plans: Array(9).fill({ refuse: { status: 503, close: 1013 } }),
      })
      const stop = new AbortController()
      const onStatus = (status: FollowStatus) => status.state === 'waiting' && stop.abort(new Error('enough'))
      const backoff = { baseMs: 60_000, capMs: 60_000 }
      await t.rejects(offsets(open(fake, transport, { backoff, onStatus, signal: stop.signal })), /enough/)
      t.equal(fake.cursors.length, 1)
    })

    t.test('reports connecting, open and closed, and counts bytes', async t => {
      const fake = await fakeServer(t, { events: deltas(2) })
      const statuses: FollowStatus[] = []
      await offsets(open(fake, transport, { onStatus: status => statuses.push(status) }))
      const states = statuses.map(({ state }) => state).filter((state, i, all) => state !== all[i - 1])
      t.same(states.slice(-2), ['open', 'closed'])
      t.equal(states[0], 'connecting')
      t.ok(statuses.at(-1)!.bytes > 200)
    })
  })
}

for (const transport of ['sse', 'websocket'] as const) {
  t.test(`${transport}: closing tells when to come back`, async t => {
    const plans = [{ closing: { after: 2, code: 'restart', retryAfterMs: 15 } }]
    const fake = await fakeServer(t, { events: deltas(4), plans })
    const statuses: FollowStatus[] = []
    t.same(await offsets(open(fake, transport, { onStatus: status => statuses.push(status) })), upTo(4))
    t.same(fake.cursors, [undefined, offsetOf(2)])
    const waiting = statuses.find(status => status.state === 'waiting')
    t.ok(waiting?.state === 'waiting' && waiting.retryInMs >= 15)
  })

  t.test(`${transport}: closing for good ends with its code`, async t => {
    const fake = await fakeServer(t, {
      events: deltas(2),
      plans: [{ closing: { after: 1, code: 'unauthorized' } }],
    })
    await t.rejects(offsets(open(fake, transport)), { code: 'unauthorized', retryable: false })
  })
}

t.test('sse: 204 is the end of a run', async t => {
  const fake = await fakeServer(t, { events: [], plans: [{ refuse: { status: 204 } }] })
  const messages: Message[] = []
  for await (const message of open(fake, 'sse', { run: 'r1' })) messages.push(message)
  t.same(messages, [
    { kind: 'control', control: { type: 'end', sessionId: 's1', runId: 'r1', reason: 'run-ended' } },
  ])
})

t.test('sse: retry is a floor', async t => {
  const fake = await fakeServer(t, { events: deltas(1), plans: [{ cutAfter: 0 }], retryMs: 25 })
  const statuses: FollowStatus[] = []
  await offsets(open(fake, 'sse', { onStatus: status => statuses.push(status) }))
  const waiting = statuses.find(status => status.state === 'waiting')
  t.ok(waiting?.state === 'waiting' && waiting.retryInMs >= 25 && waiting.retryInMs < 28)
})

t.test('sse: a page in place of a stream is no reason to come back', async t => {
  const refuse = { status: 200, body: 'login', headers: { 'content-type': 'text/html' } }
  const fake = await fakeServer(t, { events: [], plans: [{ refuse }] })
  await t.rejects(offsets(open(fake, 'sse')), { code: 'protocol-error', message: /text\/html/ })
})

t.test('sse: Retry-After of a proxy is a floor', async t => {
  const refuse = { status: 503, headers: { 'retry-after': '0', 'content-type': 'text/html' } }
  const fake = await fakeServer(t, { events: deltas(1), plans: [{ refuse }] })
  const statuses: FollowStatus[] = []
  t.same(await offsets(open(fake, 'sse', { onStatus: status => statuses.push(status) })), upTo(1))
  t.match(
    statuses.find(({ state }) => state === 'waiting'),
    { error: { code: 'unavailable', retryAfterMs: 0 } },
  )
})

t.test('sse: does not read on while the consumer is busy', async t => {
  const events = deltas(1000).map(event => ({ ...event, data: { partId: 'p', delta: 'x'.repeat(20_000) } }))
  const fake = await fakeServer(t, { events })
  let bytes = 0
  const messages = open(fake, 'sse', { onStatus: status => (bytes = status.bytes) })
  for (let i = 0; i < 5; i += 1) await messages.next()
  const held = bytes
  await new Promise(resolve => setTimeout(resolve, 50))
  t.equal(bytes, held)
  t.ok(held < 1024 * 1024)
  await messages.return()
})

t.test('websocket: sends its window after it has consumed events', async t => {
  const fake = await fakeServer(t, { events: deltas(4), ends: false })
  const stop = new AbortController()
  const messages = open(fake, 'websocket', { signal: stop.signal })
  let event: Message | undefined
  do event = (await messages.next()).value ?? undefined
  while (!(event?.kind === 'control' && event.control.type === 'caught-up'))
  const more = messages.next()
  while (!fake.commands.some(({ type }) => type === 'window')) await new Promise(setImmediate)
  t.match(fake.commands[0], { type: 'subscribe', sessionId: 's1', windowBytes: 256 * 1024 })
  t.same(fake.commands.at(-1), { type: 'window', sessionId: 's1', offset: offsetOf(4) })
  stop.abort()
  await t.rejects(more, { name: 'AbortError' })
})

t.test('websocket: holds no more than its bound when the server minds no window', async t => {
  const events = deltas(40).map(event => ({ ...event, data: { partId: 'p', delta: 'x'.repeat(100_000) } }))
  const fake = await fakeServer(t, { events })
  const statuses: FollowStatus[] = []
  let full: (() => void) | undefined
  const onStatus = (status: FollowStatus) => {
    statuses.push(status)
    if (status.bytes > 2_359_296) full?.()
  }
  const seen: string[] = []
  for await (const message of open(fake, 'websocket', { onStatus })) {
    if (message.kind === 'control') continue
    seen.push((message.event as { offset: string }).offset)
    if (seen.length === 1) await new Promise<void>(resolve => (full = resolve))
  }
  t.same(seen, upTo(40))
  t.match(
    statuses.find(({ state }) => state === 'waiting'),
    { error: { code: 'too-slow' } },
  )
})

t.test(
  'websocket: messages before the ack belong to an earlier subscription and are not delivered',
  async t => {
    const late = [
      {
        type: 'subscribed',
        sessionId: 's1',
        head: offsetOf(9),
        earliest: offsetOf(1),
        after: offsetOf(7),
        replay: 'full',
      },
      ...deltas(2, 8),
    ]
    const fake = await fakeServer(t, { events: deltas(3), plans: [{ beforeAck: late }] })
    t.same(await offsets(open(fake, 'websocket')), upTo(3))
    t.same(fake.cursors, [undefined], 'on the first connection')
  },
)

t.test('websocket: close codes decide whether to come back', async t => {
  for (const close of [1009, 4401, 1002]) {
    const fake = await fakeServer(t, { events: [], plans: [{ refuse: { status: 0, close } }] })
    const failure = await offsets(open(fake, 'websocket')).catch(error => error)
    t.equal(failure.retryable, false, `${close} ends`)
  }
  for (const close of [1000, 1012, 4431]) {
    const fake = await fakeServer(t, { events: deltas(1), plans: [{ refuse: { status: 0, close } }] })
    t.same(await offsets(open(fake, 'websocket')), upTo(1), `${close} comes back`)
  }
})

t.test(
  'websocket: a process that sleeps while it connects asks nothing of a socket that is not open',
  async t => {
    const dead = createTcpServer(socket => void socket.on('error', () => {}))
    await new Promise<void>(resolve => dead.listen(0, '127.0.0.1', resolve))
    t.teardown(() => dead.close())
    const url = `http://127.0.0.1:${(dead.address() as AddressInfo).port}`
    const backoff = { attempts: 1, baseMs: 1 }
    const stream = follow({
      url,
      sessionId: 's',
      transport: 'websocket',
      WebSocket,
      heartbeatMs: 40,
      backoff,
    })
    const first = stream.next()
    setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600))
    await t.rejects(first, { name: 'ClientError', retryable: true })
  },
)

t.test('websocket: without a constructor the error names it', async t => {
  const { WebSocket: own } = globalThis
  Object.assign(globalThis, { WebSocket: undefined }) // Node 22 and later have one
  t.teardown(() => Object.assign(globalThis, { WebSocket: own }))
  const messages = follow({ url: 'http://127.0.0.1:1', sessionId: 's1', transport: 'websocket' })
  await t.rejects(messages.next(), { name: 'TypeError', message: /pass that of the package ws/ })
})
