/** Tickets for EventSource and WebSocket: used once, for what they were issued for. */
import { Writable } from 'node:stream'
import t from 'tap'
import { Tickets } from '../../src/auth/tickets.ts'
import { Journal } from '../../src/bus/journal.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { EventSourceStream, openSse, WsClient } from '../fixtures/wire-clients.ts'
import { type Answer, call, command, post, serve } from '../fixtures/wire-server.ts'
import { bearer, byToken, nodes, seconds } from './stage.ts'

type Ticket = { ticket: string; expiresAt: number }

async function ticketFor(url: string, headers: Record<string, string>, body: object = {}): Promise<string> {
  const answer = await post(`${url}/v1/tickets`, body, headers)
  if (answer.status !== 201) throw new Error(`no ticket: ${answer.status}`)
  return (answer.body as unknown as Ticket).ticket
}

const page = (
  url: string,
  session: string,
  ticket: string,
  headers: Record<string, string> = {},
): Promise<Answer> =>
  call(`${url}/v1/sessions/${session}/events?ticket=${ticket}&limit=5`, {
    headers: { accept: 'application/json', ...headers },
  })

t.test('a ticket opens an EventSource and a WebSocket on another node, once', async t => {
  const [one, two] = await nodes(t)
  const ann = await bearer('ann')
  await post(`${one.url}/v1/sessions`, { sessionId: 's' }, ann)
  const answer = await post(`${one.url}/v1/tickets`, {}, ann)
  t.equal(answer.status, 201)
  t.equal(answer.headers.get('cache-control'), 'no-store')
  const { ticket, expiresAt } = answer.body as unknown as Ticket
  t.ok(expiresAt > Date.now() && expiresAt <= Date.now() + 60_000)

  const source = new EventSourceStream(`${two.url}/v1/sessions/s/events?ticket=${ticket}&last=1`)
  t.teardown(() => source.close())
  await source.until('caught-up')
  const socket = await WsClient.open(two.url, [], {}, `?ticket=${await ticketFor(one.url, ann)}`)
  t.teardown(() => socket.close())
  await socket.nextOf('hello')
  t.match(await socket.command({ type: 'subscribe', sessionId: 's' }), { type: 'ack' })
  t.match(await socket.command({ type: 'publish', sessionId: 's', event: { type: 'x.a', data: 1 } }), {
    type: 'ack',
  })
  t.match((await source.nextOf('x.a'))['by'], 'ann')

  for (const { url } of [one, two]) t.equal((await page(url, 's', ticket)).status, 401, 'used')
  t.equal((await page(one.url, 's', 'unknown')).status, 401)
  t.equal((await page(one.url, 's', '')).status, 401)
  t.equal((await post(`${one.url}/v1/tickets`, {})).status, 401, 'a ticket needs credentials')
  const second = await ticketFor(one.url, ann)
  t.equal((await post(`${one.url}/v1/tickets?ticket=${second}`, {})).status, 201, 'which may be a ticket')
  for (const body of [{ ttlMs: 60_001 }, { ttlMs: 0 }, { allow: ['all'] }, { sessionId: '~auth' }]) {
    t.equal((await post(`${one.url}/v1/tickets`, body, ann)).status, 400, JSON.stringify(body))
  }
})

t.test(
  'a ticket is bound to its session, its rights, its origin, its time, and the token behind it',
  async t => {
    const origin = 'https://app.example.com'
    const { url, server } = await serve(t, {
      authorize: byToken,
      origins: [origin, 'https://other.example.com'],
    })
    const ann = await bearer('ann')
    for (const sessionId of ['s', 'other']) await post(`${url}/v1/sessions`, { sessionId }, ann)
    const use = async (
      body: object,
      session = 's',
      headers: Record<string, string> = {},
      from: Record<string, string> = ann,
    ) => (await page(url, session, await ticketFor(url, from, body), headers)).status

    t.equal(await use({ sessionId: 's' }), 200)
    t.equal(await use({ sessionId: 's' }, 'other'), 403, 'another session')
    t.equal(await use({ sessionId: 's' }, 'missing'), 403, 'or one that does not exist')
    t.equal(await use({ allow: ['read'] }), 200)
    t.equal(await use({ allow: ['write'] }), 403, 'without the right')
    t.equal(await use({}, 's', { origin: url }), 200, 'the server’s own pages')
    t.equal(await use({}, 's', { origin }), 401, 'a page of another origin')
    t.equal(await use({}, 's', { origin }, { ...ann, origin }), 200)
    t.equal(await use({}, 's', { origin: 'https://other.example.com' }, { ...ann, origin }), 401)
    t.equal(await use({ sessionId: 'foreign', allow: ['read', 'admin'] }, 's'), 403)

    const brief = await ticketFor(url, ann, { ttlMs: 1 })
    await new Promise(resolve => setTimeout(resolve, 5))
    t.equal((await page(url, 's', brief)).status, 401, 'expired')

    const early = await ticketFor(url, ann)
    const admin = await bearer('root', { twinrail: [{ sessions: ['*'], allow: ['admin'] }] })
    await post(`${url}/v1/revocations`, { principal: 'ann' }, admin)
    t.equal((await page(url, 's', early)).status, 401, 'its token was revoked')

    const soon = await bearer('bob', { exp: seconds() + 2, iat: seconds() + 5 })
    await post(`${url}/v1/sessions`, { sessionId: 'b' }, soon)
    const stream = await openSse(t, `${url}/v1/sessions/b/events?ticket=${await ticketFor(url, soon)}`)
    t.match(await stream.nextOf('closing'), { code: 'unauthorized' }, 'a stream ends with the token')
    t.equal((await server.journal.list(undefined, 10)).length, 3)
  },
)

t.test('of a thousand uses at once one wins', async t => {
  const log = createMemoryLog()
  t.teardown(() => log.close())
  const [one, two] = [new Tickets(new Journal(log)), new Tickets(new Journal(log))]
  const proof = {
    principal: 'ann',
    headers: { authorization: 'Bearer of-ann', 'x-user': 'ann' },
    origin: 'own',
  }
  const { ticket } = await one.issue(proof, 1000)
  const uses = Array.from({ length: 1000 }, (_, i) => (i % 2 === 0 ? one : two).redeem(ticket, 'own'))
  const results = await Promise.allSettled(uses)
  const won = results.filter(({ status }) => status === 'fulfilled')
  t.equal(won.length, 1)
  t.match(won[0], { value: proof })
  for (const { status, reason } of results as PromiseRejectedResult[]) {
    if (status === 'rejected' && reason.code !== 'unauthorized') t.fail(String(reason))
  }
})

t.test('neither a token nor a ticket is in a log line, or readable in the log', async t => {
  let lines = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines += chunk
      done()
    },
  })
  const log = createMemoryLog()
  const notes: unknown[] = []
  const keeping = {
    ...log,
    append: (...args: Parameters<typeof log.append>) => {
      notes.push(args)
      return log.append(...args)
    },
  }
  const { url } = await serve(t, { authorize: byToken, log: keeping, logger: { level: 'trace', stream } })
  const ann = await bearer('ann')
  const token = ann.authorization.slice('Bearer '.length)
  await post(`${url}/v1/sessions`, { sessionId: 's' }, ann)
  const ticket = await ticketFor(url, ann)
  t.equal((await page(url, 's', ticket)).status, 200)
  t.equal((await page(url, 's', ticket)).status, 401)
  const other = await ticketFor(url, ann)
  const socket = await WsClient.open(url, [], {}, `?ticket=${other}`)
  await socket.nextOf('hello')
  await socket.command({ type: 'auth', token })
  await socket.command({ type: 'auth', token: `${token}x` })
  socket.close()
  await command(url, 's', { type: 'publish', event: { type: 'x.a', data: 'content of ann' } }, ann)
  await call(`${url}/v1/sessions/s`, { method: 'DELETE', headers: ann })
  await call(`${url}/v1/sessions/s`, { headers: await bearer('bob') })
  await call(`${url}/metrics`, { headers: ann })
  const entries = lines.split('\n').filter(line => line.includes('audit: '))
  for (const what of ['ticket', 'connected', 'deleted', 'refused']) {
    t.ok(
      entries.some(line => line.includes(`"what":"${what}"`)),
      `${what} is in the audit log`,
    )
  }
  for (const secret of [token, ticket, other, 'content of ann'])
    t.notOk(lines.includes(secret), 'no log line has it')
  t.ok(notes.length > 0)
  for (const secret of [token, ticket, other]) t.notOk(JSON.stringify(notes).includes(secret), 'nor the log')
})

t.test('an open server issues no tickets', async t => {
  const { url } = await serve(t)
  t.match(await post(`${url}/v1/tickets`, {}), { status: 409, body: { error: { code: 'conflict' } } })
})
