/** Tabs share connections only where the application lets them: credentials of one user never serve another. */
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import type { Authorize } from '../../src/index.ts'
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
  t.teardown(closeBrowser)
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
