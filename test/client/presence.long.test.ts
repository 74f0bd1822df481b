/** Who is in a session, as the client shows it: joins, changes and leaves, over every transport and over lost connections. */
import t from 'tap'
import type { Client, ClientOptions, Transport } from '../../client/index.ts'
import { usePresence, useSession } from '../../client/react/index.ts'
import { type Presence, type PresenceSnapshot, presence } from '../../client/view/index.ts'
import { cutter } from '../fixtures/cutter.ts'
import { mount } from './page.ts'
import { connect, stage, until } from './stage.ts'

/** `fetch` that counts calls, and to whose server a member is to say every `renewMs` that it is there. */
function counting(renewMs?: number) {
  const calls: string[] = []
  const counted: typeof fetch = async (input, init) => {
    const method = init?.method ?? 'GET'
    const path = new URL(String(input)).pathname.split('/').at(-1)
    calls.push(`${method} ${path}`)
    const response = await fetch(input, init)
    if (method !== 'PUT' || !response.ok || renewMs === undefined) return response
    return Response.json({ ...((await response.json()) as object), renewMs })
  }
  const count = (call: string) => calls.filter(one => one === call).length
  return { fetch: counted, calls, count }
}

/** Keeps every snapshot of the members of a session. */
function watch(client: Client, options?: { observe?: boolean }) {
  const store = presence(client.session('room'), options)
  const seen: PresenceSnapshot[] = []
  const stop = store.subscribe(() => seen.push(store.getSnapshot()))
  return { store, seen, stop, ids: () => store.getSnapshot().members.map(({ memberId }) => memberId) }
}

const stateOf = (store: Presence, { memberId }: Presence) =>
  store.getSnapshot().members.find(member => member.memberId === memberId)?.state

for (const transport of ['sse', 'websocket', 'long-poll'] as const satisfies Transport[]) {
  t.test(`${transport}: members join, change, outlive a lost connection and leave`, async t => {
    const url = await stage(t)
    const line = await cutter(t, url)
    // Over long-poll the list is read again every third of this time.
    const { fetch } = counting(transport === 'long-poll' ? 300 : undefined)
    const options: Partial<ClientOptions> = { transport, fetch }
    const ann = watch(connect(t, line.url, options))
    await until(() => ann.ids().length === 1)
    t.same(ann.ids(), [ann.store.memberId], 'it creates the session and is the first')
    t.match(ann.store.getSnapshot().members[0], { since: Number, principal: String })

    const ben = watch(connect(t, url, options))
    await until(() => ben.ids().length === 2)
    t.same(ben.ids(), [ann.store.memberId, ben.store.memberId])
    await until(() => ann.ids().length === 2)
    ann.store.setState({ typing: true })
    await until(() => stateOf(ben.store, ann.store))
    t.same(stateOf(ben.store, ann.store), { typing: true })

    const [before, shown] = [ben.seen.length, ann.seen.length]
    line.cutAll()
    ann.store.setState({ typing: false })
    await until(() => (stateOf(ben.store, ann.store) as { typing: boolean }).typing === false)
    for (const { members } of [...ben.seen.slice(before), ...ann.seen.slice(shown)])
      t.equal(members.length, 2, 'nobody left meanwhile')

    ann.stop()
    await until(() => ben.ids().length === 1)
    t.same(ben.ids(), [ben.store.memberId])
  })
}

t.test('an observer sees members and is none; one that only observes opens one stream', async t => {
  const url = await stage(t)
  const { fetch, count } = counting()
  const client = connect(t, url, { transport: 'sse', fetch })
  const seer = watch(client, { observe: true })
  await until(() => seer.store.getSnapshot().isLoaded)
  const ann = watch(connect(t, url))
  await until(() => seer.ids().length === 1)
  t.same(seer.ids(), [ann.store.memberId])
  t.equal(count('PUT presence'), 0)
  t.equal(count('GET events'), 1)
  seer.stop()
  await until(() => client.quality.current.state === 'idle')
  t.equal(count('DELETE presence'), 0)
})

t.test('a page that shows the session and its members has one stream', async t => {
  const url = await stage(t)
  const { fetch, count } = counting()
  const client = connect(t, url, { transport: 'sse', fetch })
  const room = client.session('room')
  const view = mount(t, () => useSession(client, 'room'))
  const people = mount(t, () => usePresence(room, { state: { name: 'Ann' } }))
  const members = () => people.last()?.members ?? []
  await until(() => members().length === 1)
  t.match(people.last(), { isLoaded: true, error: undefined, members: [{ state: { name: 'Ann' } }] })
  t.equal(members()[0]!.memberId, people.last().memberId)
  t.equal(count('PUT presence'), 1, 'StrictMode mounts twice and joins once, with its state')
  t.equal(count('GET events'), 1)

  const ben = watch(connect(t, url))
  await until(() => members().length === 2)
  // The view goes, the members stay: they need a stream of their own.
  view.unmount()
  people.update(() => usePresence(room, { state: { name: 'Anna' } }))
  await until(() => count('GET events') === 2)
  await until(() => JSON.stringify(stateOf(ben.store, presence(room))) === '{"name":"Anna"}')
  t.equal(members().length, 2)
  t.equal(count('DELETE presence'), 0)
  // The view comes back, and the members use its stream again.
  const again = mount(t, () => useSession(client, 'room'))
  await until(() => again.last()?.caughtUp)
  ben.stop()
  await until(() => members().length === 1)
  t.equal(count('GET events'), 3)
  again.unmount()
  people.unmount()
  await until(() => client.quality.current.state === 'idle')
  await until(() => count('DELETE presence') === 1)
})

t.test('a member says again that it is there, and leaves when its client is closed', async t => {
  const url = await stage(t)
  const seer = watch(connect(t, url), { observe: true })
  const { fetch, count } = counting(20)
  const client = connect(t, url, { fetch })
  const ann = watch(client)
  await until(() => seer.ids().length === 1)
  const joined = count('PUT presence')
  await until(() => count('PUT presence') > joined + 5)
  t.same(seer.ids(), [ann.store.memberId])
  const rest = (async () => {
    const all: number[] = []
    for await (const { members } of ann.store) all.push(members.length)
    return all
  })()
  await until(() => count('GET presence') > 1)
  client.close()
  await until(() => seer.ids().length === 0)
  t.ok((await rest).length >= 1, 'the iteration ends')
  const puts = count('PUT presence')
  await new Promise(resolve => setTimeout(resolve, 100))
  t.equal(count('PUT presence'), puts)
})

t.test('a refused state is shown, and the next one is taken', async t => {
  const url = await stage(t)
  const ann = watch(connect(t, url))
  const ben = watch(connect(t, url))
  await until(() => ann.ids().length === 2 && ben.ids().length === 2)
  ann.store.setState('x'.repeat(2000))
  await until(() => ann.store.getSnapshot().error)
  t.match(ann.store.getSnapshot(), { error: { code: 'bad-request' }, members: { length: 2 } })
  ann.store.setState('short')
  await until(() => stateOf(ben.store, ann.store) === 'short')
  t.equal(ann.store.getSnapshot().error, undefined)
})

t.test('more changes than an event tells: the list is read again', async t => {
  const url = await stage(t)
  const seer = watch(connect(t, url), { observe: true })
  await until(() => seer.store.getSnapshot().isLoaded)
  const headers = { 'content-type': 'application/json' }
  await Promise.all(
    Array.from({ length: 150 }, (_, i) =>
      fetch(`${url}/v1/sessions/room/presence`, {
        method: 'PUT',
        headers,
        body: JSON.stringify({ memberId: `m${i}` }),
      }),
    ),
  )
  await until(() => seer.ids().length === 150)
  t.equal(new Set(seer.ids()).size, 150)
})

t.test('a deleted session is not created again by whoever showed its members', async t => {
  const url = await stage(t)
  const client = connect(t, url)
  const { last } = mount(t, () => {
    const view = useSession(client, 'room')
    return { view, people: usePresence(view.session) }
  })
  await until(() => last()?.people.members.length === 1)
  await client.session('room').delete()
  await until(() => last().view.ended)
  await until(() => client.quality.current.state === 'idle')
  await t.rejects(client.session('room').state(), { code: 'session-not-found' })
  t.equal(client.quality.current.state, 'idle')
})
