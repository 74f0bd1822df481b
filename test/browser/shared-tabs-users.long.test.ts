/** Tabs share connections only where the application lets them: credentials of one user never serve another. */
import { SignJWT } from 'jose'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { type Authorize, jwtAuthorize } from '../../src/index.ts'
import { clientPage, closeBrowser, profile, serve, skip } from './stage.ts'

/** The token is the name of the user, who may read the session of that name and the session `room`. */
const authorize: Authorize = ({ headers, routeOptions }, { sessionId }) => {
  if (routeOptions.url === '/healthz') return { id: 'probe' }
  const [, user] = /^Bearer (\w+)$/.exec(headers.authorization ?? '') ?? []
  if (!user) return undefined
  return sessionId === undefined || sessionId === 'room' || sessionId === user ? { id: user } : undefined
}

interface User {
  token?: string
  share?: string | false
}

/** A tab of each user, all of them on one session; resolves once they follow it. Returns how many streams were opened. */
async function streamsOf(t: Test, url: string, sessionId: string, users: readonly User[]): Promise<number> {
  const context = await profile(t)
  let streams = 0
  const tab = async ({ token, share }: User): Promise<Page> => {
    const page = await clientPage(t, url, context)
    page.on('request', request => {
      if (request.headers()['accept'] === 'text/event-stream') streams += 1
    })
    await page.evaluate(
      async ([sessionId, token, share]) => {
        const client = twinrail.createClient({
          url: location.origin,
          transport: 'sse',
          ...(token !== undefined && { auth: () => token }),
          connect: twinrail.sharedTabs({ share }),
        })
        const events = client.session(sessionId).events({ create: true })
        // Left open: a loop that ends would end the stream.
        globalThis.kept = events
        while ((await events.next()).value?.type !== 'caught-up');
      },
      [sessionId, token, share] as const,
    )
    return page
  }
  for (const user of users) await tab(user)
  return streams
}

declare global {
  /** Keeps a stream open. */
  var kept: unknown
}

t.test('who shares with whom', { skip }, async t => {
  const open = await serve(t)
  const guarded = await serve(t, { authorize })
  const count = (url: string, users: readonly User[]) => streamsOf(t, url, 'room', users)

  t.equal(await count(open, [{}, {}]), 1, 'without credentials tabs share')
  t.equal(await count(open, [{ share: false }, { share: false }]), 2, '`share: false` shares nothing')
  t.equal(await count(open, [{ share: 'a' }, { share: 'b' }]), 2, 'other names do not share')
  t.equal(
    await count(guarded, [{ token: 'ann' }, { token: 'ann' }]),
    2,
    'with credentials nothing is shared by itself',
  )
  t.equal(
    await count(guarded, [
      { token: 'ann', share: 'ann' },
      { token: 'ann', share: 'ann' },
    ]),
    1,
    'tabs of the user that the application names share',
  )
  t.equal(
    await count(guarded, [
      { token: 'ann', share: 'ann' },
      { token: 'bob', share: 'bob' },
    ]),
    2,
    'those of two users do not',
  )
})

t.test('without Web Locks each tab has a connection of its own', { skip }, async t => {
  const url = await serve(t)
  const context = await profile(t)
  await context.addInitScript("Object.defineProperty(navigator, 'locks', { value: undefined })")
  let streams = 0
  for (let tab = 0; tab < 3; tab++) {
    const page = await clientPage(t, url, context)
    page.on('request', request => {
      if (request.headers()['accept'] === 'text/event-stream') streams += 1
    })
    const last = await page.evaluate(async () => {
      const client = twinrail.createClient({
        url: location.origin,
        transport: 'sse',
        connect: twinrail.sharedTabs(),
      })
      const session = client.session('plain')
      const events = session.events({ create: true })
      globalThis.kept = events
      while ((await events.next()).value?.type !== 'caught-up');
      await session.publish('x.note', 'heard')
      for (;;) {
        const { value } = await events.next()
        if ((value?.type as string) === 'x.note') return 'heard'
      }
    })
    t.equal(last, 'heard')
  }
  t.equal(streams, 3)
})

t.test('a token that is renewed in the middle of a shared answer', { skip }, async t => {
  t.teardown(closeBrowser)
  const secret = 'a secret of tests that is long enough'
  const url = await serve(t, { authorize: jwtAuthorize({ secret }) })
  const context = await profile(t)
  const tokens: string[] = []
  await context.exposeFunction('newToken', async () => {
    // Long enough for a busy machine to use it, and shorter than an answer.
    const exp = Math.floor(Date.now() / 1000) + 6
    const jwt = new SignJWT({ sub: 'ann', exp, jti: String(tokens.length) })
    tokens.push(await jwt.setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(secret)))
    return tokens.at(-1)
  })
  for (const transport of ['sse', 'websocket'] as const) {
    const pages = [await clientPage(t, url, context), await clientPage(t, url, context)]
    const readings = pages.map((page, tab) =>
      page.evaluate(
        async ([transport, tab]) => {
          const { newToken } = globalThis as unknown as { newToken(): Promise<string> }
          const client = twinrail.createClient({
            url: location.origin,
            transport,
            auth: newToken,
            connect: twinrail.sharedTabs({ share: 'ann' }),
          })
          const session = client.session(transport)
          if (tab === 0) await session.run('playback', { count: 1200, rate: 100 }).started
          const seqs: [first: number, last: number][] = []
          const seqOf = (offset: string) => Number(offset.split('-')[1])
          for await (const event of session.events({ create: true })) {
            if (!event.type.includes('.') || !('offset' in event)) continue
            const { from, offset } = event as { from?: string; offset: string }
            seqs.push([seqOf(from ?? offset), seqOf(offset)])
            if (event.type === 'run.completed') break
          }
          client.close()
          return seqs
        },
        [transport, tab] as const,
      ),
    )
    const before = tokens.length
    for (const [tab, seqs] of (await Promise.all(readings)).entries()) {
      let last = 0
      const wrong = seqs.find(([first, end]) => {
        const follows = first === last + 1
        last = end
        return !follows
      })
      t.equal(wrong, undefined, `${transport}, tab ${tab}: nothing is lost and nothing comes twice`)
      t.equal(last, 1204, `${transport}, tab ${tab}: the whole answer`)
    }
    t.ok(tokens.length > before + 1, `${transport}: ${tokens.length - before} tokens`)
  }
})
