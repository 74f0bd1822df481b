/** Who is in a session: joins, changes and leaves, told to whoever follows, on every transport and node. */
import t from 'tap'
import { Journal } from '../../src/bus/journal.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { Members as Presence } from '../../src/presence/members.ts'
import { nodes } from '../auth/stage.ts'
import { follow, type Message, transports } from '../fixtures/wire-clients.ts'
import { byHeader, call, createSession, each, eventually, serve } from '../fixtures/wire-server.ts'

const address = (url: string, session = 's') => `${url}/v1/sessions/${session}/presence`

async function enter(url: string, memberId: string, state?: unknown, user = 'ann', session = 's') {
  return call(address(url, session), {
    method: 'PUT',
    headers: { 'content-type': 'application/json', 'x-user': user },
    body: JSON.stringify({ memberId, state }),
  })
}

const leave = (url: string, memberId: string, user = 'ann') =>
  call(`${address(url)}?memberId=${memberId}`, { method: 'DELETE', headers: { 'x-user': user } })

type Members = { memberId: string; principal: string; since: number; state?: unknown }[]
const list = async (url: string) => {
  const { body } = await call(address(url))
  return body as unknown as { members: Members; truncated?: true }
}
const names = async (url: string) =>
  (await list(url)).members.map(one => `${one.principal}/${one.memberId}`).sort()

t.test('members join, change their state and leave, and the list has them', async t => {
  const { url } = await serve(t, { authorize: byHeader })
  t.match(await enter(url, 'tab'), { status: 404, body: { error: { code: 'session-not-found' } } })
  t.equal((await call(address(url))).status, 404)
  await createSession(url, 's')
  t.same(await list(url), { members: [] })
  const before = Date.now()
  const { status, body } = await enter(url, 'tab1', { typing: true, name: 'Änn' })
  t.equal(status, 200)
  t.ok(Number(body.since) >= before)
  t.equal(body.renewMs, 15_010)
  await enter(url, 'tab1', undefined, 'bob')
  const { members } = await list(url)
  t.same(
    members.map(({ since: _, ...member }) => member),
    [
      { memberId: 'tab1', principal: 'ann', state: { typing: true, name: 'Änn' } },
      { memberId: 'tab1', principal: 'bob' },
    ],
  )
  const again = await enter(url, 'tab1', { typing: false })
  t.equal(again.body.since, body.since, 'a change does not join anew')
  t.match((await list(url)).members[0], { state: { typing: false } })
  t.equal((await list(url)).members.length, 2, 'the state before is gone')
  t.equal((await leave(url, 'tab1')).status, 204)
  t.equal((await leave(url, 'tab1')).status, 204)
  t.same(await names(url), ['bob/tab1'], 'each leaves for itself only')
})

t.test('what is too large is refused', async t => {
  const { url } = await serve(t, { authorize: byHeader })
  await createSession(url, 's')
  t.equal((await enter(url, 'a', 'x'.repeat(1022))).status, 200)
  for (const [id, state] of [
    ['b', 'x'.repeat(1023)],
    ['b', { ü: 'ü'.repeat(510) }],
    ['b c', 1],
    ['', 1],
  ] as const) {
    t.match(await enter(url, id, state), { status: 400, body: { error: { code: 'bad-request' } } })
  }
  t.equal((await call(address(url), { method: 'DELETE' })).status, 400)
})

for (const transport of transports.filter(name => name !== 'long-poll')) {
  t.test(`${transport}: followers are told, many changes at once in few events`, async t => {
    const { url } = await serve(t, { authorize: byHeader })
    await createSession(url, 's')
    const seen: Message[] = []
    const stream = await follow(t, transport, url, 's')
    void (async () => {
      for (;;) seen.push((await stream.next()).message)
    })().catch(() => {})
    await eventually(t, 'it is live', () => seen.some(({ type }) => type === 'caught-up'))
    const changes = () => seen.filter(({ type }) => type === 'presence.changed')
    const told = (what: 'joined' | 'updated' | 'left') =>
      changes().flatMap(({ data }) => (data?.[what] ?? []) as Members)
    await each(30, async i => void (await enter(url, `m${i}`, i)))
    await eventually(t, 'all have joined', () => told('joined').length === 30)
    t.match(changes()[0], { sessionId: 's', ephemeral: true })
    t.notOk('offset' in (changes()[0] as object))
    t.ok(changes().length < 30, `${changes().length} events`)
    await enter(url, 'm1', 'new')
    await eventually(t, 'the change', () => told('updated').length === 1)
    t.match(told('updated'), [{ memberId: 'm1', state: 'new', principal: 'ann' }])
    await enter(url, 'm1', 'new')
    await leave(url, 'm2')
    await eventually(t, 'it has left', () => told('left').length === 1)
    t.same(told('left'), [{ memberId: 'm2', principal: 'ann' }])
    t.equal(told('updated').length, 1, 'who says it again is no news')
    t.equal(told('joined').length, 30)
  })
}

t.test('a member that moves to another node has not left, and both nodes know all', async t => {
  const [one, two] = await nodes(t, { authorize: byHeader })
  await createSession(one.url, 's')
  const seen: Message[] = []
  const stream = await follow(t, 'sse', two.url, 's')
  void (async () => {
    for (;;) seen.push((await stream.next()).message)
  })().catch(() => {})
  await eventually(t, 'it is live', () => seen.some(({ type }) => type === 'caught-up'))
  const changes = () => seen.filter(({ type }) => type === 'presence.changed')
  const first = await enter(one.url, 'tab', 1)
  await eventually(t, 'the other node tells', () => changes().length === 1)
  t.same(await names(two.url), ['ann/tab'])
  const moved = await enter(two.url, 'tab', 1)
  t.equal(moved.body.since, first.body.since)
  await enter(two.url, 'other', 1)
  await eventually(t, 'the next change', () => changes().length === 2)
  t.match(changes()[1], { data: { joined: [{ memberId: 'other' }], updated: [], left: [] } })
  t.equal((changes()[1]?.data?.['joined'] as unknown[] | undefined)?.length, 1)
  t.same(await names(one.url), ['ann/other', 'ann/tab'])
  await leave(one.url, 'other')
  await eventually(t, 'a leave by the other node', () => changes().length === 3)
  t.same(await names(two.url), ['ann/tab'])
})

t.test('who is silent has left, unless another node has heard of it', async t => {
  const log = createMemoryLog()
  t.teardown(() => log.close())
  const journal = new Journal(log)
  const nodes = [new Presence(journal, 500), new Presence(journal, 500)] as const
  t.teardown(() => nodes.map(node => node.close()))
  await journal.create('s', {})
  const told: { joined: Members; left: Members }[] = []
  t.teardown(
    journal.follow('s', {
      events() {},
      ephemeral: json => told.push((JSON.parse(json) as { data: (typeof told)[number] }).data),
      deleted() {},
    }),
  )
  await nodes[0].enter('s', { memberId: 'stays', principal: 'ann' })
  await nodes[0].enter('s', { memberId: 'goes', principal: 'ann' })
  const left = () => told.flatMap(({ left }) => left)
  await eventually(t, 'one has left', async () => {
    await nodes[1].enter('s', { memberId: 'stays', principal: 'ann' })
    return left().length > 0
  })
  t.same(left(), [{ memberId: 'goes', principal: 'ann' }])
  t.match((await nodes[0].list('s')).members, [{ memberId: 'stays' }])
  await eventually(t, 'the other one, too', () => left().length === 2)
  t.same(await nodes[0].list('s'), { members: [] })
  t.equal(told.flatMap(({ joined }) => joined).length, 2)
})
