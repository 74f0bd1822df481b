/** Sessions are listed, changed and deleted by the client, and the list stays current. */
import t from 'tap'
import { useSessions } from '../../client/react/index.ts'
import { SessionList } from '../../client/view/index.ts'
import { mount } from './page.ts'
import { connect, stage, until } from './stage.ts'

/** `fetch` to a server whose lists are to be asked for again after `ms.value`. */
function polling(ms: { value: number; asked?: number }): typeof fetch {
  return async (input, init) => {
    const response = await fetch(input, init)
    if (!/\/v1\/sessions(\?|$)/.test(String(input)) || init?.method !== 'GET' || !response.ok) return response
    ms.asked = (ms.asked ?? 0) + 1
    return Response.json({ ...((await response.json()) as object), pollMs: ms.value })
  }
}

const ids = (sessions: readonly { sessionId: string }[]) => sessions.map(({ sessionId }) => sessionId)

t.test('pages of sessions, and changes of one', async t => {
  const client = connect(t, await stage(t))
  for (const id of ['a', 'b', 'c']) await client.session(id).create({ title: id, n: { x: 1 } })
  const first = await client.sessions({ limit: 2 })
  const second = await client.sessions({ limit: 2, after: first.next })
  t.same(ids([...first.sessions, ...second.sessions]).sort(), ['a', 'b', 'c'])
  t.equal(second.next, undefined)
  t.ok(first.pollMs >= 5000)

  const session = client.session('b')
  const seen: unknown[] = []
  const follow = (async () => {
    for await (const event of session.events()) {
      if (event.type === 'session.updated') seen.push(event.data.metadata)
      if (seen.length === 2) break
    }
  })()
  t.match(await session.update({ title: 'new', n: { y: 2 } }), {
    metadata: { title: 'new', n: { x: 1, y: 2 } },
  })
  await session.update({ n: null })
  await follow
  t.same(seen, [{ title: 'new', n: { x: 1, y: 2 } }, { title: 'new' }])
  t.match(await session.state(), { metadata: { title: 'new' } })
  await t.rejects(client.session('none').update({}), { code: 'session-not-found' })
})

t.test('a list goes on behind its pages, and what moves comes to the front once', async t => {
  const url = await stage(t)
  const ms = { value: 60_000 }
  const client = connect(t, url, { fetch: polling(ms) })
  for (const id of ['a', 'b', 'c', 'd', 'e']) {
    await client.session(id).create()
    // So that each has a time of its own.
    const { activeAt } = (await client.sessions({ limit: 1 })).sessions[0]!
    await until(() => Date.now() > activeAt)
  }
  const list = new SessionList(client, { limit: 2 })
  t.same(list.getSnapshot(), { sessions: [], isLoaded: false, hasMore: false, error: undefined })
  t.equal(await list.loadMore(), false, 'nothing was loaded yet')
  const shown = () => ids(list.getSnapshot().sessions).join('')
  await list.refresh()
  t.equal(shown(), 'ed')
  t.equal(await list.loadMore(), true)
  t.equal(shown(), 'edcb')
  const both = await Promise.all([list.loadMore(), list.loadMore()])
  t.same(both, [false, false])
  t.equal(shown(), 'edcba')

  const grow = async (id: string) => {
    const session = client.session(id)
    const { activeAt } = await session.state()
    await until(() => Date.now() >= activeAt + 1000)
    await session.publish('x.n', 1)
  }
  await grow('b')
  await list.refresh()
  t.equal(shown(), 'bedca')
  t.same(list.getSnapshot().hasMore, false)
  for (const id of ['a', 'c', 'd']) await grow(id)
  await list.refresh()
  t.equal(shown(), 'dc', 'more than a page has moved: it begins anew')
  t.equal(list.getSnapshot().hasMore, true)
  await list.loadMore()
  t.equal(shown(), 'dcab')
})

t.test(
  'a mounted list stays current: changes of this client at once, of others at the next poll',
  async t => {
    const url = await stage(t)
    const ms: { value: number; asked?: number } = { value: 600_000 }
    const client = connect(t, url, { fetch: polling(ms) })
    const other = connect(t, url)
    const { last, unmount } = mount(t, () => useSessions(client))
    await until(() => last()?.isLoaded)
    t.equal(ms.asked, 1, 'StrictMode mounts twice and asks once')
    await client.session('mine').create({ title: 'one' })
    await until(() => last().sessions.length === 1)
    await client.session('mine').update({ title: 'two' })
    await until(() => last().sessions[0]?.metadata['title'] === 'two')

    await other.session('theirs').create()
    ms.value = 10
    await last().refresh()
    t.match(last().sessions, [{ sessionId: 'theirs' }, { sessionId: 'mine' }])
    await client.session('mine').delete()
    await until(() => last().sessions.length === 1)
    // From here on only the polls tell: the last answer said every 10 ms.
    unmount()
    const { last: again } = mount(t, () => useSessions(client))
    await other.session('late').create()
    await until(() => again().sessions.length === 2)
    await other.session('theirs').delete()
    await until(() => again().sessions.length === 1)

    Object.defineProperty(document, 'hidden', { value: true, configurable: true })
    t.teardown(() => Object.defineProperty(document, 'hidden', { value: false, configurable: true }))
    await other.session('unseen').create()
    const asked = ms.asked
    await new Promise(resolve => setTimeout(resolve, 100))
    t.ok((ms.asked ?? 0) - (asked ?? 0) <= 1, 'a hidden page does not ask')
    Object.defineProperty(document, 'hidden', { value: false, configurable: true })
    document.dispatchEvent(new window.Event('visibilitychange'))
    await until(() => again().sessions.length === 2)
  },
)

t.test('a list that cannot be read says why, and goes on', async t => {
  let down = true
  const ms = { value: 10 }
  const read = polling(ms)
  const client = connect(t, await stage(t), {
    fetch: (input, init) => (down ? Promise.reject(new TypeError('down')) : read(input, init)),
  })
  const list = new SessionList(client)
  t.teardown(list.subscribe(() => {}))
  await until(() => list.getSnapshot().error)
  t.match(list.getSnapshot(), { error: { code: 'connection-lost' }, isLoaded: false })
  down = false
  await list.refresh()
  t.match(list.getSnapshot(), { error: undefined, isLoaded: true })
})
