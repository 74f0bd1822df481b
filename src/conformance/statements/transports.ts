/** What is said of one transport only: event streams, WebSockets, pages. */
import { nextOf } from '../check.ts'
import { type Statement, statement } from '../statement.ts'

const seq = (offset = '') => Number(offset.split('-')[1])
const page = { headers: { accept: 'application/json' } }

export const transports: readonly Statement[] = [
  statement(60, 'An event stream has the headers that proxies need', ['sse'], async check => {
    await check.create()
    const { head } = await check.eventStream()
    check.equal(head.headers['content-type'], 'text/event-stream; charset=utf-8', 'content-type')
    check.equal(head.headers['cache-control'], 'no-cache, no-transform', 'cache-control')
  }),
  statement(61, 'The first bytes of an event stream are `retry`', ['sse'], async check => {
    await check.create()
    const { head, inbox } = await check.eventStream()
    await inbox.next()
    check.ok(/^retry: \d+\n/.test(head.text), `the first bytes: ${head.text.slice(0, 40)}`)
    check.ok(!head.text.includes('\r'), 'a line ends with CR')
  }),
  statement(62, 'Events have `data`, then `id`, and no `event`', ['sse'], async check => {
    await check.numbers(2)
    const { inbox } = await check.eventStream()
    for (let events = 0; events < 2; ) {
      const { fields = [], message } = await inbox.next()
      if (!message.type.includes('.')) continue
      events++
      check.equal(
        fields.map(([name]) => name),
        ['data', 'id'],
        'the fields',
      )
      check.equal(fields[1]?.[1], message.offset, 'the id')
    }
  }),
  statement(63, 'Control messages have `event` and no `id`, except `caught-up`', ['sse'], async check => {
    await check.create()
    const { inbox } = await check.eventStream()
    for (;;) {
      const { fields = [], message } = await inbox.next()
      const id = fields.find(([name]) => name === 'id')?.[1]
      check.equal(fields.find(([name]) => name === 'event')?.[1], message.type, 'the event')
      if (message.type === 'caught-up') return check.equal(id, message.offset, 'the id of caught-up')
      check.equal(id, undefined, `the id of ${message.type}`)
    }
  }),
  statement(64, '`Last-Event-ID` takes precedence over `after`', ['sse'], async check => {
    const offsets = await check.numbers(4)
    const headers = { 'last-event-id': offsets[2] as string }
    const events = await (await check.follow({ after: offsets[0] }, { headers })).backlog()
    check.equal(
      events.map(({ message }) => message.data?.['n']),
      [4],
      'the events',
    )
  }),
  statement(65, 'An empty `Last-Event-ID` counts as none', ['sse'], async check => {
    await check.numbers(2)
    const events = await (await check.follow({}, { headers: { 'last-event-id': '' } })).backlog()
    check.equal(events.length, 2, 'the events')
  }),
  statement(66, 'An event stream ends after `end`', ['sse'], async check => {
    await check.ingest([
      { type: 'run.started', runId: 'r', data: { agent: 'conformance', input: null } },
      { type: 'run.completed', runId: 'r', data: {} },
    ])
    const stream = await check.follow({ run: 'r' })
    await stream.until('end')
    const after = await stream.next().catch((error: Error) => error.message)
    check.ok(String(after).includes('the stream has ended'), `after the end: ${JSON.stringify(after)}`)
  }),
  statement(
    67,
    '`run.start` by POST is answered with the run’s stream when that is asked for',
    ['sse'],
    async check => {
      const { body } = await check.request('/v1/agents')
      if (!body.agents?.some(({ name }: { name: string }) => name === 'playback'))
        check.skip('the server has no agent playback')
      const command = {
        id: '1',
        type: 'run.start',
        agent: 'playback',
        runId: 'r',
        input: { count: 3, rate: 1000 },
      }
      const { head, inbox } = await check.eventStream(
        '',
        {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(command),
        },
        check.path('/commands'),
      )
      check.equal(head.status, 200, head.text)
      const types: string[] = []
      while (types.at(-1) !== 'end') types.push((await inbox.next()).message.type)
      check.equal(
        types.filter(type => ['hello', 'ack', 'subscribed', 'end'].includes(type)),
        ['hello', 'ack', 'subscribed', 'end'],
        'the order',
      )
      check.ok(types.includes('run.completed'), `no run.completed in ${types}`)
    },
  ),
  statement(
    68,
    '`hello` has the protocol’s version, the limits and the server’s time',
    ['sse', 'websocket'],
    async check => {
      await check.create()
      const hello =
        check.channel === 'sse'
          ? (await (await check.eventStream()).inbox.next()).message
          : await nextOf(await check.socket(), 'hello')
      check.equal([hello.type, hello.protocol], ['hello', 1], 'type and protocol')
      check.ok(
        typeof hello.connectionId === 'string' && typeof hello.serverTime === 'number',
        'connectionId or serverTime is missing',
      )
      const { eventBytes, messageBytes, subscriptions } = hello.limits ?? {}
      check.ok(eventBytes && messageBytes && subscriptions, `the limits: ${JSON.stringify(hello.limits)}`)
    },
  ),
  statement(69, 'A `ping` follows `hello` within a second or so', ['sse', 'websocket'], async check => {
    await check.create()
    const stream = await check.follow({ heartbeatMs: 60_000 })
    await stream.until('ping')
  }),

  statement(80, 'The subprotocol is `twinrail.v1`, offered or not', ['websocket'], async check => {
    check.equal((await check.socket(['twinrail.v1', 'other'])).protocol, 'twinrail.v1', 'the subprotocol')
    await nextOf(await check.socket([]), 'hello')
  }),
  statement(
    81,
    'A client that offers only other subprotocols is refused with 400',
    ['websocket'],
    async check => {
      const refused = await check.socket(['other']).catch((error: Error) => error.message)
      check.ok(
        String(refused).includes('400'),
        `not refused with 400: ${refused instanceof Object ? 'it was opened' : refused}`,
      )
    },
  ),
  statement(
    82,
    'A command of the wrong shape gets a `nack`, and the socket stays open',
    ['websocket'],
    async check => {
      const socket = await check.greeted()
      for (const wrong of [{ id: 'a', type: 'nothing' }, { id: 'a', type: 'run.cancel' }, { type: 'ping' }]) {
        socket.send(wrong)
        const nack = await nextOf(socket, 'nack')
        check.equal(nack.code, 'bad-request', JSON.stringify(wrong))
      }
      socket.send({ type: 'ping', id: 'p', time: 5 })
      check.equal((await nextOf(socket, 'pong')).time, 5, 'the time of the pong')
    },
  ),
  statement(
    83,
    'A message that is not one JSON object gets `nack` with id null and close 4400',
    ['websocket'],
    async check => {
      for (const wrong of ['no json', '[]', '7', Buffer.from('{}')]) {
        const socket = await check.greeted()
        socket.send(wrong)
        check.equal((await nextOf(socket, 'nack')).id, null, `the id for ${wrong}`)
        check.equal(await socket.closed, 4400, `the close code for ${wrong}`)
      }
    },
  ),
  statement(84, 'Bytes that are not UTF-8 close the connection with 1007', ['websocket'], async check => {
    const socket = await check.greeted()
    socket.sendAsText(Buffer.from([0x22, 0xff, 0x22]))
    check.equal(await socket.closed, 1007, 'the close code')
  }),
  statement(
    85,
    'A message above `limits.messageBytes` closes the connection with 1009',
    ['websocket'],
    async check => {
      const socket = await check.socket()
      const { limits } = await nextOf(socket, 'hello')
      socket.send('a'.repeat((limits?.['messageBytes'] ?? 0) + 1))
      check.equal(await socket.closed, 1009, 'the close code')
    },
  ),
  statement(86, 'A refused subscription is a `nack`; the socket stays open', ['websocket'], async check => {
    const socket = await check.greeted()
    socket.send({ type: 'subscribe', id: 's', sessionId: check.session })
    check.equal((await nextOf(socket, 'nack')).code, 'session-not-found', 'the code')
    await check.create()
    socket.send({ type: 'subscribe', id: 's', sessionId: check.session })
    await nextOf(socket, 'caught-up')
  }),
  statement(87, 'One socket follows several sessions', ['websocket'], async check => {
    const other = check.another()
    await check.create()
    await check.create(other)
    const socket = await check.greeted()
    for (const sessionId of [check.session, other]) {
      socket.send({ type: 'subscribe', id: sessionId.slice(-20), sessionId })
      await nextOf(socket, 'caught-up')
    }
    await check.ingest({ type: 'x.a', data: 0 }, other)
    check.equal((await nextOf(socket, 'x.a')).sessionId, other, 'the session of the event')
    await check.ingest({ type: 'x.b', data: 0 })
    check.equal((await nextOf(socket, 'x.b')).sessionId, check.session, 'the session of the event')
  }),
  statement(88, 'A second `subscribe` to a session replaces the first', ['websocket'], async check => {
    await check.numbers(2)
    const socket = await check.greeted()
    for (const id of ['a', 'b']) {
      socket.send({ type: 'subscribe', id, sessionId: check.session })
      await nextOf(socket, 'caught-up')
    }
    await check.ingest({ type: 'x.once', data: 0 })
    await nextOf(socket, 'x.once')
    await check.ingest({ type: 'x.twice', data: 0 })
    for (;;) {
      const { message } = await socket.inbox.next()
      check.ok(message.type !== 'x.once', 'the event came twice')
      if (message.type === 'x.twice') return
    }
  }),
  statement(89, '`unsubscribe` ends the delivery', ['websocket'], async check => {
    await check.create()
    const socket = await check.greeted()
    socket.send({ type: 'subscribe', id: 's', sessionId: check.session })
    await nextOf(socket, 'caught-up')
    socket.send({ type: 'unsubscribe', id: 'u', sessionId: check.session })
    check.equal((await nextOf(socket, 'ack')).id, 'u', 'the id of the ack')
    await check.numbers(1)
    socket.send({ type: 'ping', id: 'p', time: 1 })
    for (;;) {
      const { message } = await socket.inbox.next()
      check.ok(message.type !== 'x.n', 'an event came')
      if (message.type === 'pong') return
    }
  }),
  statement(
    90,
    '`pong` has the time and the id of the `ping`, and the server’s time',
    ['websocket'],
    async check => {
      const socket = await check.greeted()
      socket.send({ type: 'ping', id: 'p', time: 123 })
      const pong = await nextOf(socket, 'pong')
      check.equal(
        [pong.id, pong.time, typeof pong.serverTime],
        ['p', 123, 'number'],
        'id, time and serverTime',
      )
    },
  ),
  statement(91, '`windowBytes` bounds what is sent beyond the last `window`', ['websocket'], async check => {
    const offsets = await check.numbers(20)
    const socket = await check.greeted()
    socket.send({ type: 'subscribe', id: 's', sessionId: check.session, windowBytes: 1, replay: 'full' })
    for (const [i, offset] of offsets.entries()) {
      check.equal((await nextOf(socket, 'x.n')).offset, offset, 'the offset')
      // After the last one `caught-up` may come at once: control messages do not count.
      if (i < offsets.length - 1) {
        socket.send({ type: 'ping', id: 'p', time: 1 })
        let { message } = await socket.inbox.next()
        if (message.type === 'ping') message = (await socket.inbox.next()).message
        check.equal(message.type, 'pong', 'what comes before the window is raised')
      }
      socket.send({ type: 'window', sessionId: check.session, offset })
    }
    await nextOf(socket, 'caught-up')
  }),
  statement(
    92,
    'Commands of one connection on one session take effect in their order',
    ['websocket'],
    async check => {
      const socket = await check.greeted()
      for (let n = 1; n <= 30; n++) {
        socket.send({
          type: 'publish',
          id: `${n}`,
          sessionId: check.session,
          event: { type: 'x.n', data: { n } },
        })
      }
      const offsets: number[] = []
      while (offsets.length < 30) offsets.push(seq((await nextOf(socket, 'ack')).offset))
      const { body } = await check.request(check.path('/events'), page)
      const numbers = body.events.map((event: { data: { n: number } }) => event.data.n)
      check.equal(
        numbers,
        Array.from({ length: 30 }, (_, i) => i + 1),
        'the order in the log',
      )
    },
  ),

  statement(
    110,
    'A page has events, controls, head, earliest, next and caughtUp',
    ['long-poll'],
    async check => {
      await check.numbers(3)
      const { body } = await check.request(check.path('/events'), page)
      check.equal(
        Object.keys(body).sort(),
        ['caughtUp', 'controls', 'earliest', 'events', 'head', 'next'],
        'the keys',
      )
      check.equal(
        [body.events.length, seq(body.head), seq(body.earliest), seq(body.next), body.caughtUp],
        [3, 3, 1, 3, true],
        'the values',
      )
    },
  ),
  statement(111, 'A page is not cacheable', ['long-poll'], async check => {
    await check.create()
    const { headers } = await check.request(check.path('/events'), page)
    check.ok(/no-store/.test(headers['cache-control'] ?? ''), `cache-control: ${headers['cache-control']}`)
  }),
  statement(112, '`next` leads from page to page over every event', ['long-poll'], async check => {
    await check.numbers(25)
    const numbers: number[] = []
    let after = ''
    for (let caughtUp = false; !caughtUp; ) {
      const { body } = await check.request(
        check.path(`/events?replay=full&limit=10${after && `&after=${after}`}`),
        page,
      )
      check.ok(body.events.length <= 10, `${body.events.length} events in a page of 10`)
      numbers.push(...body.events.map((event: { data: { n: number } }) => event.data.n))
      after = body.next
      caughtUp = body.caughtUp
    }
    check.equal(
      numbers,
      Array.from({ length: 25 }, (_, i) => i + 1),
      'the events',
    )
  }),
  statement(113, '`wait` answers when an event comes', ['long-poll'], async check => {
    const head = await check.create()
    const waiting = check.request(check.path(`/events?after=${head}&wait=10000`), page)
    await check.numbers(1)
    check.equal((await waiting).body.events.length, 1, 'the events')
  }),
  statement(114, '`wait` answers without events when none comes in time', ['long-poll'], async check => {
    const head = await check.create()
    const { body } = await check.request(check.path(`/events?after=${head}&wait=50`), page)
    check.equal([body.events, body.next, body.caughtUp], [[], head, true], 'events, next and caughtUp')
  }),
  statement(115, '`before` pages backwards, in ascending order', ['long-poll'], async check => {
    const offsets = await check.numbers(7)
    const numbers: number[][] = []
    let before = offsets[6] as string
    for (let caughtUp = false; !caughtUp; ) {
      const { body } = await check.request(check.path(`/events?before=${before}&limit=3`), page)
      numbers.push(body.events.map((event: { data: { n: number } }) => event.data.n))
      before = body.next
      caughtUp = body.caughtUp
    }
    check.equal(
      numbers,
      [
        [4, 5, 6],
        [1, 2, 3],
      ],
      'the pages',
    )
  }),
  statement(
    116,
    'Malformed options of pages are `bad-request`, on streams too',
    ['sse', 'long-poll'],
    async check => {
      await check.create()
      for (const wrong of [{ limit: 0 }, { limit: 1001 }, { wait: 30_001 }, { before: 'x' }]) {
        check.equal(await check.refusal(wrong), 'bad-request', JSON.stringify(wrong))
      }
    },
  ),
]
