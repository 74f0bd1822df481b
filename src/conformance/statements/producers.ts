/** Producers that number their events, writers, members of a session. */
import { pushed } from '../channels.ts'
import type { Answer, Check } from '../check.ts'
import { type Statement, statement } from '../statement.ts'

const HTTP = ['http'] as const
const seq = (offset = '') => Number(offset.split('-')[1])
const one = { type: 'x.a', data: 1 }
const json = { 'content-type': 'application/json' }

const send = (check: Check, query: string, events: object | object[] = one): Promise<Answer> =>
  check.post(check.path(`/events?${query}`), events)

const put = (check: Check, body: object): Promise<Answer> =>
  check.request(check.path('/presence'), { method: 'PUT', headers: json, body: JSON.stringify(body) })

const idsIn = (list: unknown) => ((list ?? []) as { memberId: string }[]).map(({ memberId }) => memberId)

export const producers: readonly Statement[] = [
  statement(260, 'A producer’s numbers begin at 0 or 1', HTTP, async check => {
    await check.create()
    const { status, body } = await send(check, 'producer=p&seq=5')
    check.equal([status, body.error?.details?.expected], [409, 1], 'another beginning')
    check.equal((await send(check, 'producer=zero&seq=0')).status, 200, '0')
    check.equal((await send(check, 'producer=one&seq=1')).status, 200, '1')
  }),
  statement(261, 'Producers number their events independently', HTTP, async check => {
    await send(check, 'producer=p&seq=1', [one, one])
    check.equal((await send(check, 'producer=q&seq=1')).status, 200, 'another producer')
    check.equal((await send(check, 'producer=p&seq=3')).status, 200, 'the first one again')
  }),
  statement(262, 'A newer epoch of a writer ends the older ones', HTTP, async check => {
    check.equal((await send(check, 'producer=a&seq=1&writer=w&epoch=1')).status, 200, 'the first epoch')
    check.equal((await send(check, 'producer=b&seq=1&writer=w&epoch=2')).status, 200, 'the second one')
    const { status, body } = await send(check, 'producer=a&seq=2&writer=w&epoch=1')
    check.equal([status, body.error?.code], [409, 'conflict'], 'the older one')
    const { writer, epoch } = body.error?.details ?? {}
    check.equal([writer, epoch], ['w', 2], 'writer and epoch')
  }),
  statement(263, 'What a replaced producer repeats is still acknowledged', HTTP, async check => {
    const first = await send(check, 'producer=a&seq=1&writer=w&epoch=1')
    await send(check, 'producer=b&seq=1&writer=w&epoch=2')
    const again = await send(check, 'producer=a&seq=1&writer=w&epoch=1')
    check.equal([again.status, again.body.first], [200, first.body.first], 'the repeat')
  }),
  statement(264, 'Epochs of a writer have no holes', HTTP, async check => {
    await send(check, 'producer=a&seq=1&writer=w&epoch=1')
    const { status, body } = await send(check, 'producer=b&seq=1&writer=w&epoch=3')
    check.equal([status, body.error?.details?.epoch], [409, 1], 'the answer')
  }),
  statement(265, 'An epoch belongs to one producer', HTTP, async check => {
    await send(check, 'producer=a&seq=1&writer=w&epoch=1')
    check.equal((await send(check, 'producer=b&seq=1&writer=w&epoch=1')).status, 409, 'another producer')
    check.equal((await send(check, 'producer=a&seq=2&writer=w&epoch=1')).status, 200, 'the same one')
  }),

  statement(270, 'A member that says again that it is there keeps its `since`', HTTP, async check => {
    await check.create()
    const first = await put(check, { memberId: 'm' })
    const again = await put(check, { memberId: 'm' })
    check.equal([again.status, again.body.since], [200, first.body.since], 'the second answer')
  }),
  statement(
    271,
    'Members are listed with their principals, those first that joined first',
    HTTP,
    async check => {
      await check.create()
      for (const memberId of ['b', 'a', 'c']) {
        const { since } = (await put(check, { memberId })).body
        // Of two that joined in the same ms neither is first.
        while (Date.now() <= since) await new Promise(resolve => setTimeout(resolve, 1))
      }
      const { members } = (await check.request(check.path('/presence'))).body
      check.equal(idsIn(members), ['b', 'a', 'c'], 'the members')
      for (const { principal, since } of members) {
        check.equal([typeof principal, typeof since], ['string', 'number'], 'principal and since')
      }
    },
  ),
  statement(272, 'A `state` above 1 KiB is `bad-request`', HTTP, async check => {
    await check.create()
    const { status, body } = await put(check, { memberId: 'm', state: 'x'.repeat(1025) })
    check.equal([status, body.error?.code], [400, 'bad-request'], 'the answer')
  }),
  statement(273, 'Presence in a missing session is `session-not-found`', HTTP, async check => {
    check.equal((await put(check, { memberId: 'm' })).body.error?.code, 'session-not-found', 'PUT')
    check.equal((await check.request(check.path('/presence'))).body.error?.code, 'session-not-found', 'GET')
  }),
  statement(274, 'Another `state` replaces the first, and is told as `updated`', pushed, async check => {
    await check.create()
    const stream = await check.follow()
    await stream.backlog()
    await put(check, { memberId: 'm', state: 1 })
    // Changes of 200 ms are told together, and who came and changed has come.
    await stream.until('presence.changed')
    await put(check, { memberId: 'm', state: 2 })
    const changed = (await stream.until('presence.changed')).at(-1)?.message
    const updated = (changed?.data?.['updated'] ?? []) as { state: unknown }[]
    check.equal(
      updated.map(({ state }) => state),
      [2],
      'the members that changed',
    )
    const { members } = (await check.request(check.path('/presence'))).body
    check.equal([members.length, members[0].state], [1, 2], 'the list')
  }),
  statement(275, 'Live subscriptions are told who has left', pushed, async check => {
    await check.create()
    const stream = await check.follow()
    await stream.backlog()
    await put(check, { memberId: 'm' })
    await stream.until('presence.changed')
    await check.request(check.path('/presence?memberId=m'), { method: 'DELETE' })
    const changed = (await stream.until('presence.changed')).at(-1)?.message
    check.equal(idsIn(changed?.data?.['left']), ['m'], 'the members that left')
  }),
  statement(276, 'An event above `hello.limits.eventBytes` is `too-large`', HTTP, async check => {
    await check.create()
    const socket = await check.socket()
    const { message } = await socket.inbox.next()
    const most = message.limits?.['eventBytes'] ?? 0
    // The body is larger than the event's data, and may itself be too large.
    const { status, body } = await check.post(check.path('/events'), { type: 'x.a', data: 'x'.repeat(most) })
    check.equal([status, body.error?.code], [413, 'too-large'], 'the answer')
    const small = await check.post(check.path('/events'), { type: 'x.a', data: 'x'.repeat(most - 1000) })
    check.equal([small.status, seq(small.body.head)], [200, 1], 'one that fits')
  }),
]
