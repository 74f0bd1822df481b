/** Bad input on a WebSocket: a nack if the socket can stay open, a close code if it cannot. */
import t from 'tap'
import { type Message, openWs, WsClient } from '../fixtures/wire-clients.ts'
import { ask, publish, stage } from '../fixtures/wire-refusals.ts'
import { serve, startRun } from '../fixtures/wire-server.ts'

t.test('WebSocket messages that are no command', async t => {
  const s = await stage(t)
  const sub = { id: 'a', type: 'subscribe', sessionId: 's' }
  // The socket stays: a nack with the id, if one can be told.
  const stays: [string, unknown, string | null, string, string?][] = [
    ['an unknown type', { id: 'a', type: 'fly', sessionId: 's' }, 'a', 'bad-request', 'type'],
    ['no type', { id: 'a' }, 'a', 'bad-request', 'type'],
    ['an empty object', {}, null, 'bad-request'],
    ['an id that is a number', { ...sub, id: 1 }, null, 'bad-request', 'id'],
    ['an empty id', { ...sub, id: '' }, null, 'bad-request', 'id'],
    ['an id of 65 characters', { ...sub, id: 'i'.repeat(65) }, null, 'bad-request', 'id'],
    ['no session', { id: 'a', type: 'subscribe' }, 'a', 'bad-request', 'sessionId'],
    ['a bad session', { ...sub, sessionId: 'a b' }, 'a', 'bad-request', 'sessionId'],
    ['a bad cursor', { ...sub, after: 'abc' }, 'a', 'bad-request', 'after'],
    ['a cursor without its number', { ...sub, after: '1-' }, 'a', 'bad-request', 'after'],
    ['a cursor without its epoch', { ...sub, after: '-1' }, 'a', 'bad-request', 'after'],
    ['a cursor that is a number', { ...sub, after: 1 }, 'a', 'bad-request', 'after'],
    ['a cursor that is null', { ...sub, after: null }, 'a', 'bad-request', 'after'],
    ['numbers as texts', { ...sub, last: '5' }, 'a', 'bad-request', 'last'],
    ['a window of nothing', { ...sub, windowBytes: 0 }, 'a', 'bad-request', 'windowBytes'],
    ['a window over 16 MiB', { ...sub, windowBytes: 2 ** 24 + 1 }, 'a', 'bad-request', 'windowBytes'],
    ['a heartbeat that is too fast', { ...sub, heartbeatMs: 10 }, 'a', 'bad-request', 'heartbeatMs'],
    ['an unknown session', { ...sub, sessionId: 'new' }, 'a', 'session-not-found'],
    ['an unknown session with a run', { ...sub, sessionId: 'new', run: 'r' }, 'a', 'session-not-found'],
    ['an unknown run', { ...sub, run: 'r' }, 'a', 'run-not-found'],
    ['a ping without a time', { id: 'a', type: 'ping' }, 'a', 'bad-request', 'time'],
    ['a ping with a bad time', { type: 'ping', time: 'now' }, null, 'bad-request', 'time'],
    ['a window without an offset', { id: 'a', type: 'window', sessionId: 's' }, 'a', 'bad-request', 'offset'],
    [
      'an event of the protocol',
      { ...publish, sessionId: 's', event: { type: 'run.failed', data: {} } },
      '1',
      'bad-request',
    ],
    [
      'a cancel in an unknown session',
      { id: 'a', type: 'run.cancel', sessionId: 'new', runId: 'r' },
      'a',
      'session-not-found',
    ],
  ]
  const client = await openWs(t, s.url)
  await client.nextOf('hello')
  for (const [name, message, id, code, path] of stays) {
    client.send(message as object)
    const { message: nack } = (await client.until(({ message }) => message.type !== 'ping')).at(-1) as {
      message: Message
    }
    t.match(
      nack,
      { type: 'nack', id, code, retryable: false, message: /./, ...(path && { details: { path } }) },
      name,
    )
    t.match(await client.command({ type: 'publish', sessionId: 'ws', event: publish.event }), { type: 'ack' })
    await s.server.sessions.delete('ws')
    t.equal(await s.unharmed(), undefined, `${name}: nothing happened`)
  }
  client.close()

  // The socket is closed, with its code.
  const closes: [string, string | Buffer, number, (client: WsClient) => void][] = [
    ['broken JSON', '{"id":"a"', 4400, () => {}],
    ['nothing', '', 4400, () => {}],
    ['an array', '[]', 4400, () => {}],
    ['a number', '5', 4400, () => {}],
    ['null', 'null', 4400, () => {}],
    ['a text', '"subscribe"', 4400, () => {}],
    ['two objects', `${JSON.stringify(sub)}\n${JSON.stringify(sub)}`, 4400, () => {}],
    ['a hundred thousand brackets', '['.repeat(100_000) + ']'.repeat(100_000), 4400, () => {}],
    ['a binary message', Buffer.from(JSON.stringify(sub)), 4400, () => {}],
  ]
  for (const [name, message, code] of closes) {
    const client = await openWs(t, s.url)
    await client.nextOf('hello')
    client.send(message)
    t.match(await client.nextOf('nack'), { id: null, code: 'bad-request', retryable: false }, name)
    t.equal((await client.closed).code, code, name)
    t.equal(await s.unharmed(), undefined, `${name}: nothing happened`)
  }
  const faults: [string, number, (client: WsClient) => void][] = [
    ['a message over 1 MiB', 1009, client => client.send(`{"a":"${'x'.repeat(1024 * 1024)}"}`)],
    [
      'fragments over 1 MiB',
      1009,
      client => {
        client.socket.send(`{"a":"${'x'.repeat(600_000)}`, { fin: false })
        client.socket.send(`${'x'.repeat(600_000)}"}`, { fin: true })
      },
    ],
    [
      'a text that is no UTF-8',
      1007,
      client => client.socket.send(Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), { binary: false }),
    ],
    [
      'half a character',
      1007,
      client => client.socket.send(Buffer.from([0x22, 0xe6, 0xbc, 0x22]), { binary: false }),
    ],
    ['a frame without a mask', 1002, client => client.tcp.write(Buffer.from([0x81, 0x02, 0x7b, 0x7d]))],
    ['a frame of no known kind', 1002, client => client.tcp.write(Buffer.from([0x83, 0x80, 0, 0, 0, 0]))],
  ]
  for (const [name, code, send] of faults) {
    const client = await openWs(t, s.url)
    client.send(sub)
    await client.nextOf('caught-up')
    send(client)
    t.equal((await client.closed).code, code, name)
    t.equal(await s.unharmed(), undefined, `${name}: nothing happened`)
  }
  // Whoever sent too much learns it even while events come: with another code it would try again for ever.
  await startRun(s.url, 'busy', 'endless', {})
  for (let i = 0; i < 5; i++) {
    const client = await openWs(t, s.url)
    client.send({ ...sub, sessionId: 'busy' })
    await client.until('text.delta')
    client.send(`{"a":"${'x'.repeat(3 * 1024 * 1024)}"}`)
    t.equal((await client.closed).code, 1009, 'a message over 1 MiB on a busy socket')
  }
  // Exactly as much as is allowed.
  const full = await openWs(t, s.url)
  const frame = JSON.stringify({ id: 'a', type: 'ping', time: 1, pad: '' })
  full.send(JSON.stringify({ id: 'a', type: 'ping', time: 1, pad: 'x'.repeat(1024 * 1024 - frame.length) }))
  t.match(await full.nextOf('pong'), { time: 1 })
})

t.test('subprotocols', async t => {
  const s = await stage(t)
  for (const protocols of [[], ['twinrail.v1'], ['other', 'twinrail.v1']]) {
    const client = await openWs(t, s.url, {}, protocols)
    t.equal(client.socket.protocol, protocols.length > 0 ? 'twinrail.v1' : '')
    await client.nextOf('hello')
  }
  await t.rejects(WsClient.open(s.url, ['other']), /400/)
  await t.rejects(WsClient.open(s.url, ['twinrail.v2', 'graphql-ws']), /400/)
  t.match(await ask(s.url, { path: '/v1/ws' }), { status: 400, body: { error: { code: 'bad-request' } } })
  const upgrade = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' }
  t.match(await ask(s.url, { path: '/v1/ws', headers: upgrade }), { status: 400 }, 'no key')
  t.equal(await s.unharmed(), undefined)
})

t.test('a hundred subscriptions on one socket, and no more', async t => {
  const { url, server } = await serve(t)
  const ids = Array.from({ length: 103 }, (_, i) => `s${i}`)
  await Promise.all(ids.map(id => server.sessions.create(id)))
  const client = await openWs(t, url)
  // All at once, so that none is judged before the others are.
  const replies = await Promise.all(ids.map(sessionId => client.command({ type: 'subscribe', sessionId })))
  t.equal(replies.filter(({ type }) => type === 'ack').length, 100)
  t.match(
    replies.filter(({ type }) => type === 'nack'),
    Array(3).fill({ code: 'conflict', retryable: false }),
  )
  t.match(
    await client.command({ type: 'subscribe', sessionId: 's0' }),
    { type: 'ack' },
    'replacing one is fine',
  )
  t.match(await client.command({ type: 'unsubscribe', sessionId: 's1' }), { type: 'ack' })
  t.match(
    await client.command({ type: 'subscribe', sessionId: 's102' }),
    { type: 'ack' },
    'so is one in its place',
  )
})
