/** The index of leases in Redis by itself, over commands that keep everything in this process. */
import t from 'tap'
import { type LeaseCommands, LeaseIndex } from '../../src/log/redis/leases.ts'

/** What the scripts do, on maps. Sessions in `down` cannot be read. */
class Commands implements LeaseCommands {
  now = 1000
  readonly index = new Map<string, number>()
  readonly leases = new Map<string, string>()
  readonly down = new Set<string>()
  /** Sessions that were asked for, in order. */
  readonly asked: string[] = []
  touched = 0

  async touch(member: string, ms: number): Promise<number> {
    this.touched++
    this.index.set(member, this.now + ms)
    return this.now + ms
  }

  async settle(member: string, seen: string, real: string): Promise<void> {
    if (String(this.index.get(member)) !== seen) return
    if (real === '') this.index.delete(member)
    else this.index.set(member, Number(real))
  }

  async due(limit: number) {
    const due = [...this.index].filter(([, score]) => score <= this.now).sort(([, a], [, b]) => a - b)
    const members = due.slice(0, limit).map(([member, score]) => ({ member, score: String(score) }))
    return { now: this.now, members }
  }

  async held(sessionId: string, runId: string) {
    this.asked.push(sessionId)
    if (this.down.has(sessionId)) throw new Error('its shard is down')
    return { epoch: '7', lease: this.leases.get(`${sessionId} ${runId}`) ?? null }
  }

  /** A lease that ran out, with its entry. */
  expire(sessionId: string, runId: string, at: number): void {
    this.index.set(`${sessionId} ${runId}`, at)
    this.leases.set(`${sessionId} ${runId}`, `${at} token`)
  }
}

const lease = (sessionId: string, runId: string) => ({ sessionId, epoch: 7, runId, token: 'token' })

function made() {
  const commands = new Commands()
  return { commands, index: new LeaseIndex(commands, () => commands.now) }
}

t.test('leases that ran out come oldest first, as many as are wanted', async t => {
  const { commands, index } = made()
  for (const [at, session] of ['c', 'a', 'b'].entries()) commands.expire(session, 'r', 100 + at)
  t.same(await index.expired(2), [lease('c', 'r'), lease('a', 'r')])
  t.same(await index.expired(0), [])
  t.same(await index.expired(9), [lease('c', 'r'), lease('a', 'r'), lease('b', 'r')], 'they stay')
})

t.test('entries that are wrong are corrected and make room for others', async t => {
  const { commands, index } = made()
  commands.index.set('released r', 100)
  commands.index.set('renewed r', 101)
  commands.leases.set('renewed r', '5000 token')
  commands.expire('lost', 'r', 102)
  t.same(await index.expired(1), [lease('lost', 'r')])
  t.same(
    [...commands.index],
    [
      ['renewed r', 5000],
      ['lost r', 102],
    ],
  )
})

t.test('any number of unreadable sessions delays no younger lease', async t => {
  const { commands, index } = made()
  for (let i = 0; i < 10; i++) {
    commands.expire(`down${i}`, 'r', 100 + i)
    commands.down.add(`down${i}`)
  }
  commands.expire('up', 'r', 500)
  t.same(await index.expired(3), [lease('up', 'r')])
  commands.asked.length = 0
  t.same(await index.expired(3), [lease('up', 'r')])
  t.same(commands.asked, ['up'], 'they are left out for a while: each look may take until a deadline')
  commands.down.clear()
  commands.now += 10_000
  t.equal((await index.expired(20)).length, 11, 'and looked at again')
})

t.test('the caller gets the error when nothing can be read', async t => {
  const { commands, index } = made()
  commands.expire('down', 'r', 100)
  commands.down.add('down')
  await t.rejects(index.expired(5), { message: 'its shard is down' })
})

t.test('a lease is announced once for as long as it lasts, and again after it was forgotten', async t => {
  const { commands, index } = made()
  const leases = [{ runId: 'r', token: 'token', ttlMs: 1000 }]
  t.same(await index.announce('s', leases), [2000])
  t.same(await index.announce('s', leases), [2000])
  t.equal(commands.touched, 1)
  index.forget('s', ['r'])
  commands.now += 1
  t.same(await index.announce('s', leases), [2001])
  commands.now += 1000
  t.same(await index.announce('s', leases), [3001], 'the entry was due')
  t.equal(commands.touched, 3)
})

t.test('a lease that is shorter than its known entry is announced again', async t => {
  const { commands, index } = made()
  await index.announce('s', [{ runId: 'r', token: 'token', ttlMs: 1000 }])
  t.same(await index.announce('s', [{ runId: 'r', token: 'token', ttlMs: 10 }]), [1010])
  t.equal(commands.touched, 2)
})
