/** A full room of members: its bounds and its cost. */
import t from 'tap'
import { MEMBERS } from '../../src/presence/members.ts'
import { byHeader, call, createSession, each, serve } from '../fixtures/wire-server.ts'

const address = (url: string) => `${url}/v1/sessions/s/presence`

const enter = (url: string, memberId: string, state?: unknown) =>
  call(address(url), {
    method: 'PUT',
    headers: { 'content-type': 'application/json', 'x-user': 'ann' },
    body: JSON.stringify({ memberId, state }),
  })

t.test('a room has a thousand members, and no more', async t => {
  const { url, server } = await serve(t, { authorize: byHeader })
  await createSession(url, 's')
  const mark = server.journal.mark.bind(server.journal)
  let marks = 0
  // They stay longer than it takes on any machine until all are there.
  server.journal.mark = (sessionId, name, lifeMs) => {
    marks++
    return mark(sessionId, name, lifeMs * 100)
  }
  await each(MEMBERS, async i => void (await enter(url, `m${i}`, 'x'.repeat(1000))), 16)
  t.match(await enter(url, 'late'), {
    status: 409,
    body: { error: { code: 'conflict', details: { max: MEMBERS } } },
  })
  marks = 0
  const { status, body } = await enter(url, 'm5', 'x'.repeat(1000))
  t.equal(status, 200)
  t.equal(body.renewMs, 25_000, 'the more there are, the less often each says so')
  t.equal(marks, 1)
  const answer = await (await fetch(address(url))).text()
  t.ok(answer.length < 2 ** 20, `${answer.length} bytes`)
  t.match(JSON.parse(answer), { truncated: true })
})
