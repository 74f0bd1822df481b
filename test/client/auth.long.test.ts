/** The client authorizes itself from one `auth` function: on every transport, before tokens expire, and after refusals. */
import { SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { type Auth, type Client, ClientError, type SessionEvent } from '../../client/index.ts'
import { playback } from '../../src/agents/playback.ts'
import { jwtAuthorize } from '../../src/auth/jwt.ts'
import {
  type Authorize,
  createServer,
  type ServerOptions,
  TwinrailError,
  type TwinrailServer,
} from '../../src/index.ts'
import { collect, connect, echoing, until } from './stage.ts'

const transports = ['sse', 'websocket', 'long-poll'] as const
const SECRET = 'a secret of tests that is long enough'

async function serve(t: Test, options: ServerOptions = {}): Promise<{ server: TwinrailServer; url: string }> {
  const authorize = jwtAuthorize({ secret: SECRET })
  const server = await createServer({ agents: [playback, echoing], schemaMs: 60_000, authorize, ...options })
  t.teardown(() => server.close({ graceMs: 0 }))
  return { server, url: await server.listen({ port: 0 }) }
}

const seconds = () => Math.floor(Date.now() / 1000)

/** A token that differs from all others. */
let tokens = 0
const tokenOf = (sub: string, claims: Record<string, unknown> = {}) =>
  new SignJWT({ sub, iat: seconds(), exp: seconds() + 600, jti: String(++tokens), ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(new TextEncoder().encode(SECRET))

/** Every connection and request that a client makes, by what of the credentials it carries. */
function watched() {
  const seen: { url: string; authorization: string | undefined }[] = []
  const watchedFetch: typeof fetch = (input, init) => {
    const { authorization } = (init?.headers ?? {}) as Record<string, string>
    seen.push({ url: String(input), authorization })
    return fetch(input, init)
  }
  /** As a page's: it sends no headers with its upgrade. */
  class PageSocket extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols)
      seen.push({ url, authorization: undefined })
    }
  }
  const streams = () => seen.filter(({ url }) => /\/events|\/ws/.test(url))
  return { seen, streams, fetch: watchedFetch, PageSocket }
}

/** Makes the global WebSocket this one, as it is in a page, whose client then sends tickets. */
function global(t: Test, socket: typeof WebSocket): void {
  const before = globalThis.WebSocket
  Object.assign(globalThis, { WebSocket: socket })
  t.teardown(() => Object.assign(globalThis, { WebSocket: before }))
}

const offsets = (events: readonly SessionEvent[]) =>
  events.flatMap(event => ('offset' in event && event.type.includes('.') ? [String(event.offset)] : []))

/** Reads a session; `failed` is the error that ended it. */
function reading(client: Client, session: string) {
  const events: SessionEvent[] = []
  const result: { events: SessionEvent[]; failed?: ClientError; over?: boolean } = { events }
  void (async () => {
    try {
      for await (const event of client.session(session).events({ replay: 'full' })) events.push(event)
      result.over = true
    } catch (error) {
      result.failed = error as ClientError
    }
  })()
  return result
}

const isLive = ({ events }: { events: SessionEvent[] }) => events.some(({ type }) => type === 'caught-up')

for (const transport of transports) {
  t.test(`${transport}: one auth for all; no token in a URL`, async t => {
    const { url } = await serve(t)
    const token = await tokenOf('ann')
    for (const page of [false, true]) {
      const { seen, streams, fetch, PageSocket } = watched()
      if (page) global(t, PageSocket as never)
      let asked = 0
      const auth: Auth = async () => {
        asked += 1
        return page ? { token, expiresAt: Date.now() + 600_000 } : token
      }
      const socket = page ? (PageSocket as never) : WebSocket
      const client = connect(t, url, { transport, auth, fetch, WebSocket: socket })
      const session = client.session()
      const streamed = [session, client.session(), client.session()]
      await Promise.all(streamed.map(each => each.create()))
      const read = streamed.map(each => reading(client, each.id))
      await until(() => read.every(isLive))
      const ack = await session.publish('x.note', 1)
      await until(() => offsets(read[0]!.events).includes(ack.offset as string))
      t.equal(asked, 1)
      for (const { url } of seen) t.notOk(url.includes(token), 'no token in a URL')
      const tickets = seen.filter(({ url }) => url.endsWith('/tickets')).length
      const needsTicket = transport === 'websocket' && page
      t.equal(tickets, needsTicket ? 1 : 0)
      if (transport === 'websocket') t.match(streams()[0]?.url ?? 'ws', needsTicket ? /\?ticket=/ : /ws$/)
      else for (const { authorization } of streams()) t.equal(authorization, `Bearer ${token}`)
      client.close()
    }
  })

  t.test(`${transport}: renewed before it expires, once for all streams, without gap or double`, async t => {
    const { url } = await serve(t)
    for (const page of transport === 'websocket' ? [false, true] : [false]) {
      const { streams, fetch, PageSocket } = watched()
      if (page) global(t, PageSocket as never)
      let asked = 0
      let atOnce = 0
      const auth: Auth = async () => {
        asked += 1
        atOnce += 1
        await new Promise(resolve => setTimeout(resolve, 20))
        if (atOnce > 1) t.fail('two renewals at a time')
        atOnce -= 1
        return tokenOf('ann', { exp: seconds() + (asked === 1 ? 4 : 600) })
      }
      const socket = page ? (PageSocket as never) : WebSocket
      const client = connect(t, url, { transport, auth, fetch, WebSocket: socket })
      const sessions = [client.session(), client.session()]
      await Promise.all(sessions.map(session => session.create()))
      const refusals: string[] = []
      const unwatch = client.quality.subscribe(() => {
        const { error } = client.quality.current
        if (error) refusals.push(error.message)
      })
      const runs = sessions.map(session => session.run('playback', { count: 600, rate: 100 }))
      await Promise.all(runs.map(({ started }) => started))
      const events = await Promise.all(
        runs.map(({ runId }, i) => collect(sessions[i]!.events({ run: runId, replay: 'full' }))),
      )
      unwatch()
      t.equal(asked, 2)
      t.same(refusals, [], 'nothing was refused in the meantime')
      for (const each of events) {
        const got = offsets(each)
        t.equal(got.length, new Set(got).size, 'nothing twice')
        const seqs = got.map(offset => Number(offset.split('-')[1]))
        t.same(
          seqs,
          seqs.map((_, i) => seqs[0]! + i),
          'nothing is missing',
        )
        t.ok(got.length >= 602)
      }
      const opened = streams().length
      if (transport === 'websocket') t.equal(opened, page ? 1 : 0, 'the socket stayed')
      if (transport === 'sse') t.equal(opened, 4, 'each stream was opened once more')
      client.close()
    }
  })

  t.test(
    `${transport}: revoked credentials are replaced at once, and a second refusal is an error`,
    async t => {
      const { server, url } = await serve(t)
      let asked = 0
      const iat = seconds()
      const client = connect(t, url, {
        transport,
        auth: () => {
          asked += 1
          return tokenOf('ann', { iat: asked === 1 ? iat : seconds() + 5 })
        },
      })
      const sessions = [client.session(), client.session()]
      await Promise.all(sessions.map(session => session.create()))
      const read = sessions.map(({ id }) => reading(client, id))
      await until(() => read.every(isLive))
      t.equal(asked, 1)
      await revoke(url, { principal: 'ann' })
      await until(() => asked === 2)
      const acks = await Promise.all(sessions.map(session => session.publish('x.note', 1)))
      await until(() => read.every(({ events }, i) => offsets(events).includes(acks[i]!.offset as string)))
      t.equal(asked, 2, 'asked once for both streams')
      for (const { events, failed } of read) t.same([offsets(events).length, failed], [1, undefined])
      t.ok(server)

      const bad = connect(t, url, { transport, auth: () => 'not a token' })
      const began = reading(bad, 'x')
      await until(() => began.failed)
      t.match(began.failed, { code: 'unauthorized', retryable: false, message: /token/ })
      await t.rejects(bad.session('x').publish('x.note', 1), { code: 'unauthorized' })
    },
  )

  t.test(`${transport}: a lost right ends the stream with a clear error`, async t => {
    let isAllowed = true
    const authorize: Authorize = (_, { action }) =>
      action === 'subscribe' && !isAllowed ? undefined : { id: 'ann' }
    const { server, url } = await serve(t, { authorize })
    let requests = 0
    const client = connect(t, url, {
      transport,
      auth: () => 'any',
      fetch: (input, init) => {
        requests += 1
        return fetch(input, init)
      },
    })
    const session = client.session()
    await session.create()
    const read = reading(client, session.id)
    await until(() => isLive(read))
    isAllowed = false
    await server.reauthorize()
    await until(() => read.failed)
    t.match(read.failed, { code: 'forbidden', retryable: false, message: /right|allowed/ })
    const after = requests
    const again = reading(client, session.id)
    await until(() => again.failed)
    t.match(again.failed, { code: 'forbidden' })
    t.ok(requests <= after + 1, 'tried once')
  })
}

async function revoke(url: string, target: object): Promise<void> {
  const token = await tokenOf('root', { twinrail: [{ sessions: ['*'], allow: ['admin'] }] })
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const { status } = await fetch(`${url}/v1/revocations`, {
    method: 'POST',
    headers,
    body: JSON.stringify(target),
  })
  if (status !== 204) throw new Error(`revocation: ${status}`)
}

t.test('close 4403 ends the streams of a socket, and nothing is tried again', async t => {
  let isAllowed = true
  const authorize: Authorize = () => (isAllowed ? { id: 'ann' } : undefined)
  const { server, url } = await serve(t, { authorize })
  let sockets = 0
  class Counted extends WebSocket {
    constructor(...args: ConstructorParameters<typeof WebSocket>) {
      super(...args)
      sockets += 1
    }
  }
  const client = connect(t, url, { transport: 'websocket', auth: () => 'any', WebSocket: Counted as never })
  const session = client.session()
  await session.create()
  const read = reading(client, session.id)
  await until(() => isLive(read))
  isAllowed = false
  await server.reauthorize()
  await until(() => read.failed)
  t.match(read.failed, { code: 'forbidden' })
  const again = reading(client, session.id)
  await until(() => again.failed)
  t.match(again.failed, { code: 'forbidden' })
  t.equal(sockets, 2, 'one each')
})

t.test('commands over a socket whose credentials are refused go on with new ones', async t => {
  let valid = 'one'
  const authorize: Authorize = ({ headers }) => {
    if (headers.authorization === `Bearer ${valid}`) return { id: 'ann' }
    throw new TwinrailError('unauthorized', 'another token is valid now')
  }
  const { url } = await serve(t, { authorize })
  const client = connect(t, url, { transport: 'websocket', auth: () => valid })
  const session = client.session()
  await session.create()
  const read = reading(client, session.id)
  await until(() => isLive(read))
  valid = 'two'
  const acks = await Promise.all([1, 2, 3].map(n => session.publish('x.note', n)))
  await until(() => acks.every(({ offset }) => offsets(read.events).includes(offset as string)))
  t.equal(new Set(acks.map(({ offset }) => offset)).size, 3)
})

t.test('the expiry that only the server knows, with a clock that is wrong', async t => {
  let asked = 0
  const expiries = [3000, 600_000]
  const authorize: Authorize = () => ({ id: 'ann', expiresAt: begun + expiries[Math.max(0, asked - 1)]! })
  const begun = Date.now()
  const { url } = await serve(t, { authorize })
  for (const transport of ['sse', 'websocket'] as const) {
    asked = 0
    expiries[0] = Date.now() - begun + 3000
    const client = connect(t, url, { transport, auth: () => `opaque ${transport} ${++asked}` })
    const session = client.session()
    await session.create()
    const read = reading(client, session.id)
    await until(() => asked === 2)
    t.ok(Date.now() < begun + expiries[0]!, 'before it expires')
    const { offset } = await session.publish('x.note', 1)
    await until(() => offsets(read.events).includes(offset as string))
    client.close()
  }
})

t.test('an auth function that fails is asked again, and its error is shown', async t => {
  const { url } = await serve(t)
  const token = await tokenOf('ann')
  let asked = 0
  const client = connect(t, url, {
    transport: 'sse',
    auth: () => {
      if (++asked < 3) throw new Error('the backend is away')
      return token
    },
  })
  const session = client.session()
  await session.create().catch(error => t.match(error, { code: 'auth-failed', message: /backend is away/ }))
  await session.publish('x.note', 1)
  t.equal(asked, 3)

  const out = new ClientError('unauthorized', 'sign in first')
  const signedOut = connect(t, url, {
    auth: () => {
      throw out
    },
  })
  await t.rejects(collect(signedOut.session('s').events()), out)
  const idle = connect(t, url, { auth: () => new Promise<string>(() => {}) })
  const stop = new AbortController()
  const hanging = collect(idle.session('s').events({ signal: stop.signal }))
  stop.abort(new Error('left'))
  await t.rejects(hanging, /left/)
})

t.test(
  'an open server needs no ticket, and a ticket of the client opens what the application opens',
  async t => {
    const { PageSocket } = watched()
    global(t, PageSocket as never)
    const open = await serve(t, { authorize: undefined as never })
    const client = connect(t, open.url, {
      transport: 'websocket',
      auth: () => 'any',
      WebSocket: PageSocket as never,
    })
    const session = client.session()
    await session.create()
    const read = reading(client, session.id)
    await until(() => isLive(read))
    await t.rejects(client.ticket(), { code: 'conflict' })

    const { url } = await serve(t)
    const ann = connect(t, url, { auth: () => tokenOf('ann') })
    await ann.session('s').create()
    const { ticket, expiresAt } = await ann.ticket({ sessionId: 's', allow: ['read'], ttlMs: 5000 })
    t.ok(expiresAt > Date.now())
    const page = () =>
      fetch(`${url}/v1/sessions/s/events?ticket=${ticket}`, { headers: { accept: 'application/json' } })
    t.equal((await page()).status, 200)
    t.equal((await page()).status, 401)
  },
)

t.test('nothing is renewed for a client without streams, and no timer stays', async t => {
  const { url } = await serve(t)
  let asked = 0
  const client = connect(t, url, {
    transport: 'sse',
    auth: () => {
      asked += 1
      return tokenOf('ann', { exp: seconds() + 2 })
    },
  })
  const session = client.session()
  await session.create()
  const stop = new AbortController()
  const events = session.events({ signal: stop.signal })
  await events.next()
  stop.abort(new Error('left'))
  await t.rejects(events.next(), /left/)
  const before = asked
  await new Promise(resolve => setTimeout(resolve, 2500))
  t.equal(asked, before)
})
