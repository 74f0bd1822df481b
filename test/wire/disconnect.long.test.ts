/** Closing is not cancelling: a connection that closes in any way changes only the viewers. Cancel is a command. */
import { request } from 'node:http'
import t from 'tap'
import type { Authorize } from '../../src/auth/authorize.ts'
import {
  connect,
  eventsUrl,
  follow,
  type Got,
  isEvent,
  type Message,
  openSse,
  openWs,
  SseStream,
  type Stream,
  type Transport,
  transports,
  WsClient,
} from '../fixtures/wire-clients.ts'
import {
  command,
  connections,
  eventually,
  logged,
  parse,
  serve,
  startRun,
  state,
  terminalOf,
  type Wire,
} from '../fixtures/wire-server.ts'

t.test('a run continues without viewers, and a viewer that returns gets everything', async t => {
  const wire = await serve(t)
  const { url, server } = wire
  const start = { id: 'a', type: 'run.start', runId: 'r', agent: 'halves', input: { count: 200 } }
  const starter = await SseStream.open(`${url}/v1/sessions/s/commands?replay=full`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(start),
  })
  const readers: [string, Stream][] = [['starter', starter]]
  for (const transport of transports) {
    const stream = await connect(transport, url, 's', { replay: 'full' })
    readers.push([transport, stream])
  }
  const seen = new Map<string, Got[]>()
  for (const [i, [name, stream]] of readers.entries()) seen.set(name, await stream.events(20 + 15 * i))
  const waiting = readers.map(([, stream]) => stream.until('run.completed').catch(() => 'gone'))
  for (const [, stream] of readers) stream.close()
  await Promise.all(waiting)
  await eventually(t, 'the server sees that they left', async () => (await connections(url)) === 0)

  t.match((await state(url, 's')).runs, [{ runId: 'r', status: 'running' }])
  t.equal((await command(url, 's', { type: 'input.steer', runId: 'r', text: 'go' })).status, 200)
  t.equal((await terminalOf(url, 's', 'r')).type, 'run.completed')
  const log = await logged(wire, 's')
  for (const [name] of readers) {
    const before = seen.get(name) as Got[]
    for (const transport of transports) {
      const stream = await connect(transport, url, 's', { replay: 'full', after: before.at(-1)?.id })
      const after = await stream.backlog()
      stream.close()
      const all = [...before, ...after].map(({ json }) => json)
      t.ok(all.join('\n') === log.join('\n'), `${name}, then ${transport}`)
    }
  }
  // The one who started it may as well ask again.
  const again = await openSse(t, `${url}/v1/sessions/s/commands?replay=full`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'last-event-id': seen.get('starter')?.at(-1)?.id as string,
    },
    body: JSON.stringify(start),
  })
  const after = (await again.until('end')).filter(isEvent)
  t.same(
    [...(seen.get('starter') as Got[]), ...after].map(({ json }) => json),
    log,
  )
  await eventually(t, 'nobody follows the session', () => server.bus.topics === 0)
})

t.test('connections that are reset, half-closed or lost in the middle leave nothing behind', async t => {
  const { url, server } = await serve(t)
  const runId = await startRun(url, 's', 'endless', {})
  for (let round = 0; round < 10; round++) {
    const sse = await SseStream.open(eventsUrl(url, 's'))
    const ws = await WsClient.open(url)
    ws.send({ id: '1', type: 'subscribe', sessionId: 's' })
    const polls = new AbortController()
    const headers = { accept: 'application/json' }
    const poll = fetch(eventsUrl(url, 's', { run: runId, wait: 30_000 }), { headers, signal: polls.signal })
    poll.catch(() => {})
    await Promise.all([sse.until('text.delta'), ws.until('text.delta')])
    if (round % 3 === 0) {
      sse.reset()
      ws.tcp.resetAndDestroy()
    } else if (round % 3 === 1) {
      sse.close()
      ws.tcp.end()
    } else {
      sse.close()
      ws.socket.close()
      t.equal((await ws.closed).code, 1005, 'closed as asked')
    }
    polls.abort()
  }
  await eventually(t, 'no connection is left', async () => (await connections(url)) === 0)
  t.match((await state(url, 's')).runs, [{ status: 'running' }])
  t.equal(server.bus.topics, 1, 'only the run itself follows the session')
  await command(url, 's', { type: 'run.cancel', runId })
  await eventually(t, 'nobody follows the session', () => server.bus.topics === 0)
})

t.test('a client that leaves while it is being let in leaves nothing behind', async t => {
  const entering: (() => void)[] = []
  const authorize: Authorize = async (_, { action }) => {
    if (action === 'subscribe') await new Promise<void>(resolve => entering.push(resolve))
    return { id: 'local' }
  }
  const wire = await serve(t, { authorize })
  const { url, server } = wire
  await server.sessions.create('s')
  await server.sessions.create('polled')
  const body = JSON.stringify({ id: '1', type: 'run.start', runId: 'r', agent: 'idle', input: null })
  const json = { 'content-type': 'application/json' }
  const requests = [
    request(eventsUrl(url, 's'), { agent: false }).end(),
    request(eventsUrl(url, 'polled', { wait: 30_000 }), {
      agent: false,
      headers: { accept: 'application/json' },
    }).end(),
    request(`${url}/v1/sessions/s/commands`, {
      agent: false,
      method: 'POST',
      headers: { ...json, accept: 'text/event-stream' },
    }).end(body),
  ]
  for (const waiting of requests) waiting.on('error', () => {})
  const ws = await WsClient.open(url)
  ws.send({ id: '1', type: 'subscribe', sessionId: 's' })
  await eventually(t, 'all wait at the door', () => entering.length === 4)
  for (const waiting of requests) waiting.destroy()
  ws.close()
  await eventually(t, 'the sockets are closed', async () => {
    const open = await new Promise(resolve => server.app.server.getConnections((_, count) => resolve(count)))
    return open === 0
  })
  for (const enter of entering) enter()
  // The run is started all the same: closing a connection never cancels.
  await eventually(t, 'the run works', async () => (await state(url, 's')).runs?.length === 1)
  await eventually(t, 'no connection is left', async () => (await connections(url)) === 0)
  await eventually(t, 'the run alone follows a session', () => server.bus.topics === 1)
  await command(url, 's', { type: 'run.cancel', runId: 'r' })
  await eventually(t, 'nobody follows the session', () => server.bus.topics === 0)
})

t.test('a cancel from another client on another transport ends the run once', async t => {
  const wire = await serve(t)
  const { url } = wire
  const times: number[] = []
  const cancellers: ['http' | 'websocket', boolean][] = [
    ['http', false],
    ['websocket', false],
    ['http', true],
    ['websocket', true],
  ]
  for (const [canceller, ignoreSignal] of cancellers) {
    const sessionId = `${canceller}-${ignoreSignal}`
    const runId = await startRun(url, sessionId, 'endless', { ignoreSignal })
    const streams = new Map<Transport, Stream>()
    for (const transport of transports) {
      const stream = await follow(t, transport, url, sessionId)
      await stream.events(20)
      streams.set(transport, stream)
    }
    const ws = await openWs(t, url)
    await ws.nextOf('hello')

    const began = performance.now()
    const cancel = { type: 'run.cancel', sessionId, runId, reason: 'enough' }
    const cancelled =
      canceller === 'http' ? command(url, sessionId, cancel).then(({ body }) => body) : ws.command(cancel)
    const terminals = await Promise.all(
      [...streams.values()].map(async stream => {
        const terminal = await stream.nextOf('run.cancelled')
        return { terminal, ms: performance.now() - began }
      }),
    )
    const ack = await cancelled
    times.push(...terminals.map(({ ms }) => ms))
    t.equal(ack.type, 'ack')
    for (const { terminal } of terminals) {
      t.match(terminal, { runId, data: { reason: 'enough' } })
      t.same(terminal, terminals[0]?.terminal)
    }

    const late = await command(url, sessionId, cancel)
    t.equal(late.status, 409)
    t.match(late.body, {
      type: 'nack',
      code: 'run-ended',
      details: { type: 'run.cancelled', offset: terminals[0]?.terminal.offset },
    })
    // Whatever the agent still yields has had its time once something else is in the log.
    await command(url, sessionId, { type: 'publish', event: { type: 'x.after', data: null } })
    await streams.get('sse')?.until('x.after')
    const types = (await logged(wire, sessionId)).map(json => parse(json).type)
    t.same(types.slice(-3), ['run.cancel-requested', 'run.cancelled', 'x.after'])
    t.equal(types.filter(type => type === 'run.cancelled').length, 1)
    t.match((await state(url, sessionId)).runs, [{ runId, status: 'cancelled' }])
    for (const stream of streams.values()) stream.close()
  }
  const sorted = times.sort((a, b) => a - b)
  const last = sorted.at(-1) as number
  t.comment(
    `run.cancelled seen after ${sorted[Math.floor(sorted.length / 2)]?.toFixed(1)} ms (median), ${last.toFixed(1)} ms at the latest`,
  )
})

t.test('of two that answer at the same time one wins, and everybody sees the same one', async t => {
  const authorize: Authorize = request => ({ id: String(request.headers['x-user'] ?? 'nobody') })
  const wire = await serve(t, { authorize })
  const { url } = wire
  const rounds = 200
  const questions = Array.from({ length: rounds }, (_, i) => ({ requestId: `q${i}` }))
  const ann = await openWs(t, url, { headers: { 'x-user': 'ann' } })
  const bob = await openWs(t, url, { headers: { 'x-user': 'bob' } })
  await wire.server.sessions.create('s')
  const streams = new Map<Transport, Stream>()
  for (const transport of transports) streams.set(transport, await follow(t, transport, url, 's'))
  const guide = await follow(t, 'sse', url, 's')
  const runId = await startRun(url, 's', 'asking', { questions })

  const winners: Record<string, number> = {}
  const answers: { offset: string; by: string; value: unknown }[] = []
  const flaws: string[] = []
  for (const [round, { requestId }] of questions.entries()) {
    await guide.nextOf('input.requested')
    const answer = { type: 'input.answer', sessionId: 's', requestId }
    const overWs = (client: WsClient, value: unknown) => client.command({ ...answer, value })
    const overHttp = async (user: string, value: unknown) =>
      (await command(url, 's', { ...answer, value }, { 'x-user': user })).body
    // Every pairing of transports, and either of them first.
    const asks: [string, () => Promise<Message>][] = [
      ['ann', () => (round % 4 < 2 ? overWs(ann, { yes: round }) : overHttp('ann', { yes: round }))],
      ['bob', () => (round % 4 === 0 || round % 4 === 2 ? overWs(bob, [round]) : overHttp('bob', [round]))],
    ]
    if (round % 8 > 3) asks.reverse()
    const replies = await Promise.all(asks.map(async ([user, ask]) => ({ user, reply: await ask() })))
    const won = replies.filter(({ reply }) => reply.type === 'ack')
    const lost = replies.filter(({ reply }) => reply.type === 'nack')
    const winner = won[0]
    if (won.length !== 1 || lost.length !== 1 || !winner) {
      flaws.push(`${requestId}: ${JSON.stringify(replies)}`)
      continue
    }
    const value = winner.user === 'ann' ? { yes: round } : [round]
    const { code, retryable, details } = (lost[0] as { reply: Message }).reply
    const told = { offset: winner.reply.offset as string, value, by: winner.user }
    const wanted = { code: 'already-answered', retryable: false, details: { requestId, ...told } }
    if (JSON.stringify(sorted({ code, retryable, details })) !== JSON.stringify(sorted(wanted))) {
      flaws.push(`${requestId}: the loser got ${JSON.stringify(lost[0]?.reply)}`)
    }
    answers.push(told)
    winners[winner.user] = (winners[winner.user] ?? 0) + 1
  }
  t.same(flaws, [])
  t.comment(`won: ${JSON.stringify(winners)}`)
  t.equal((await terminalOf(url, 's', runId)).type, 'run.completed')

  for (const [transport, stream] of streams) {
    const events = (await stream.until('run.completed')).map(({ message }) => message)
    const told = events
      .filter(({ type }) => type === 'input.answered')
      .map(({ offset, by, data }) => ({ offset, value: data?.['value'], by }))
    t.same(told, answers, `${transport} saw the same ${rounds} winners`)
    const heard = events
      .filter(({ type }) => type === 'x.heard')
      .map(({ data }) => ({ offset: data?.['offset'], value: data?.['value'], by: data?.['by'] }))
    t.same(heard, answers, 'and so did the agent')
  }
})

/** An object with its keys in order, at any depth. */
function sorted(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value
  const entries = Object.entries(value).map(([key, part]) => [key, sorted(part)] as const)
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}

t.test('a stalled reader is cut off, and the run continues', async t => {
  const wire = await serve(t, { stallMs: 1000 })
  const { url, server } = wire
  const body = { id: 'a', type: 'run.start', runId: 'r', agent: 'steered', input: {} }
  const own = await openSse(t, `${url}/v1/sessions/s/commands?heartbeatMs=1000`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const sse = await openSse(t, eventsUrl(url, 's', { heartbeatMs: 1000 }))
  const ws = await openWs(t, url)
  ws.send({ id: '1', type: 'subscribe', sessionId: 's', heartbeatMs: 1000 })
  for (const stream of [own, sse, ws]) await stream.until('caught-up')
  own.pause()
  sse.pause()
  ws.socket.pause()
  await fill(wire, 's')
  await eventually(t, 'all three are cut off', async () => (await connections(url)) === 0)
  t.match((await state(url, 's')).runs, [{ runId: 'r', status: 'running' }])
  await command(url, 's', { type: 'run.cancel', runId: 'r' })
  await eventually(t, 'nobody follows the session', () => server.bus.topics === 0)
})

/** Appends more than what kernels hold for a client that does not read. */
async function fill({ server }: Wire, sessionId: string): Promise<void> {
  const data = 'x'.repeat(100_000)
  for (let i = 0; i < 200; i++) {
    const command = {
      id: 'f',
      type: 'publish',
      sessionId,
      event: { type: 'x.fill', runId: 'r', data },
    } as const
    await server.sessions.execute({ ...command, ephemeral: false }, { id: 'local' })
    await new Promise(resolve => setImmediate(resolve))
  }
}
