/** Credentials in band and tickets, and what a connection offers. Servers that ask for no credentials have no tickets. */
import { type Check, nextOf } from '../check.ts'
import { type Statement, statement } from '../statement.ts'
import { Socket } from '../wire.ts'

/** Numbers of the statements that only a server which asks for credentials can be checked on. */
export const needCredentials: readonly number[] = [280, 281, 282, 283, 284]

const json = { accept: 'application/json' }

/** A ticket for the session. */
async function ticketOf(check: Check): Promise<string> {
  await check.create()
  const { status, body } = await check.post('/v1/tickets', { sessionId: check.session })
  if (status === 409) check.skip('the server asks for no credentials')
  check.equal([status, typeof body.ticket, typeof body.expiresAt], [201, 'string', 'number'], 'the ticket')
  return body.ticket
}

/** As the target, without its credentials. */
const bare = ({ target }: Check) => ({ ...target, headers: {} })

async function statusOf(check: Check, ticket: string): Promise<number> {
  const url = `${check.target.url}${check.path('/events')}?ticket=${encodeURIComponent(ticket)}`
  if (check.target.ca !== undefined) check.skip('the certificate is not one of the system’s')
  const response = await fetch(url, { headers: json, signal: check.signal })
  await response.text()
  return response.status
}

/** The bearer token of the target. */
async function tokenOf(check: Check): Promise<string> {
  const [, token] = /^Bearer (.+)$/i.exec(check.target.headers['authorization'] ?? '') ?? []
  if (token === undefined) check.skip('the target has no bearer token')
  return token as string
}

export const credentials: readonly Statement[] = [
  statement(
    280,
    'A ticket stands for the credentials of its owner',
    ['long-poll', 'websocket'],
    async check => {
      const ticket = await ticketOf(check)
      if (check.channel === 'long-poll') return check.equal(await statusOf(check, ticket), 200, 'the status')
      const target = { ...bare(check), query: `?ticket=${encodeURIComponent(ticket)}` }
      await nextOf(await Socket.open(target, check.signal), 'hello')
    },
  ),
  statement(281, 'A ticket is good for one use', ['long-poll'], async check => {
    const ticket = await ticketOf(check)
    await statusOf(check, ticket)
    check.equal(await statusOf(check, ticket), 401, 'the second use')
  }),
  statement(282, 'Without credentials a request is `unauthorized`', ['http'], async check => {
    await ticketOf(check)
    if (check.target.ca !== undefined) check.skip('the certificate is not one of the system’s')
    const response = await fetch(check.target.url + check.path(), { signal: check.signal })
    const { error } = (await response.json()) as { error?: { code: string } }
    check.equal([response.status, error?.code], [401, 'unauthorized'], 'the answer')
  }),
  statement(
    283,
    'A WebSocket without credentials may send `auth` first; `hello` follows its `ack`',
    ['websocket'],
    async check => {
      await ticketOf(check)
      const token = await tokenOf(check)
      const socket = await Socket.open(bare(check), check.signal)
      socket.send({ type: 'auth', id: 'a', token })
      const types = [await socket.inbox.next(), await socket.inbox.next()].map(({ message }) => message.type)
      check.equal(types, ['ack', 'hello'], 'the messages')
      socket.close()
    },
  ),
  statement(
    284,
    '`auth` with wrong credentials closes the connection with 4401',
    ['websocket'],
    async check => {
      await ticketOf(check)
      const socket = await Socket.open(bare(check), check.signal)
      socket.send({ type: 'auth', id: 'a', token: 'conformance-wrong' })
      check.equal(await socket.closed, 4401, 'the close code')
    },
  ),
  statement(285, 'A stream is not compressed for a client that does not offer it', ['sse'], async check => {
    await check.create()
    const { head } = await check.eventStream()
    check.equal(head.headers['content-encoding'], undefined, 'content-encoding')
  }),
  statement(
    286,
    'One WebSocket has at most `hello.limits.subscriptions` subscriptions',
    ['websocket'],
    async check => {
      const socket = await check.socket()
      const { limits } = await nextOf(socket, 'hello')
      const most = limits?.['subscriptions'] ?? 0
      for (let i = 0; i < most; i++) {
        socket.send({ type: 'subscribe', id: `s${i}`, sessionId: check.another(), create: true })
      }
      for (let i = 0; i < most; i++) check.ok(await nextOf(socket, 'caught-up'), 'it is subscribed')
      socket.send({ type: 'subscribe', id: 'one more', sessionId: check.another(), create: true })
      const nack = await nextOf(socket, 'nack')
      check.equal([nack.id, nack.code], ['one more', 'conflict'], 'the nack')
    },
  ),
]
