/** A log with a limit on its size. */
import type { Test } from 'tap'
import type { EventLog } from '../log.ts'
import { onWire, put, readAll, reasonOf, START, text } from './setting.ts'

/** Opens an empty log with room for about so many bytes of events. */
export type MakeLimited = (
  t: Test,
  options: { clock: () => number; roomBytes: number },
) => Promise<EventLog> | EventLog

/** An event of 200 KiB. */
const large = text('x'.repeat(200 * 1024))

/** What a full log says. */
const refusal = {
  code: 'rate-limited',
  message: /has reached its limit of \d+ bytes \(--max-log-bytes\); delete sessions, keep fewer events, or/,
  retryAfterMs: 5000,
  details: { reason: 'max-log-bytes', maxBytes: Number },
}

export async function limiting(t: Test, make: MakeLimited): Promise<void> {
  /** A log with a session that has used up the room, so that the smallest append has none. */
  const full = async (t: Test) => {
    const log = await make(t, { clock: () => START, roomBytes: 4 * 1024 * 1024 })
    t.teardown(() => log.close())
    await put(log, [text('first')], {
      create: true,
      once: [{ key: 'taken' }],
      producer: { id: 'p', seq: 1 },
    })
    const refusals: unknown[] = []
    for (const one of [large, text('small')]) {
      const before = refusals.length
      while (refusals.length === before) {
        await log.append('s', [one]).catch(error => refusals.push(error))
        if ((await log.session('s'))!.head > 10_000) throw new Error('the log never refused')
      }
    }
    // Beyond the limit for certain, though a driver may measure roughly.
    await put(log, [large], { beyondLimit: true })
    const { epoch, head } = (await log.session('s'))!
    return { log, refusals, epoch, head }
  }

  t.test('beyond its limit a log refuses what adds to it, and keeps what it has', async t => {
    const { log, refusals, epoch, head } = await full(t)
    t.match(refusals, [refusal, refusal])
    await t.rejects(log.append('s', [large]), refusal)
    await t.rejects(log.append('s', [], { once: [{ key: 'new' }] }), refusal, 'a key')
    await t.rejects(log.append('s', [large], { once: [{ key: 'new' }] }), refusal)
    await t.rejects(log.append('new', [large], { create: true }), refusal, 'an append that makes a session')
    t.same(await log.list(undefined, 10), [await log.session('s')])
    t.same(await log.lookup('s', ['new']), [undefined])
    t.match(await log.session('s'), { epoch, head }, 'nothing was added')
    const events = await readAll(log)
    t.equal(events[0]?.json, onWire(epoch, 1, text('first')))
    const total = events.reduce((sum, event) => sum + event.bytes, 0)
    t.ok(
      total > 2 * 1024 * 1024 && total <= 4 * 1024 * 1024 + large.length,
      `${total} bytes of events fitted`,
    )
    const { bytes, maxBytes } = (await log.size?.()) ?? { bytes: 0, maxBytes: 0 }
    // A driver may measure roughly: what it stores is a little shorter than what it hands out, and buffers may count.
    t.ok(bytes >= 0.9 * total && bytes < 1.5 * maxBytes, `it has ${bytes} of ${maxBytes} bytes`)
    t.ok((log.counts?.()['over-limit'] ?? 0) >= 5, 'and the refusals are counted')
  })

  t.test('what adds nothing, and what ends work, goes through', async t => {
    const { log, head, epoch } = await full(t)
    t.equal(reasonOf(await log.append('s', [text(1)], { once: [{ key: 'taken' }] })), 'key', 'a refusal')
    t.equal(reasonOf(await log.append('s', [text(1)], { epoch: epoch + 1 })), 'epoch')
    const repeated = await log.append('s', [text('first')], { producer: { id: 'p', seq: 1 } })
    t.match(repeated, { accepted: true, first: 1, head }, 'a producer’s repeat')
    t.match(await log.append('s', [], { leases: [{ runId: 'r', token: 'a', ttlMs: 1000 }] }), {
      accepted: true,
    })
    t.equal(await log.renew('s', { runId: 'r', token: 'a', ttlMs: 1000 }), true)
    await log.saveSnapshot('s', epoch, { seq: 1, state: {} })
    t.match(await log.append('s', [text('end')], { once: [{ key: 'end:r' }], beyondLimit: true }), {
      accepted: true,
      head: head + 1,
    })
  })

  t.test('it is not ready, and no session can be made', async t => {
    const { log } = await full(t)
    await t.rejects(log.ready(), { ...refusal, code: 'unavailable' })
    await t.rejects(log.create('new', {}), refusal)
    t.equal((await log.create('s', {})).created, false, 'one that is there is found')
  })

  t.test('trimming makes room, and so does deleting', async t => {
    const { log, epoch, head } = await full(t)
    await log.trim('s', epoch, head - 1, { seq: head, state: {} })
    await takes(log, 's', 8)
    await log.ready()
    await takes(log, 's2', 1)
    t.equal(await log.delete('s'), true)
    await takes(log, 's2', 8)
    t.equal((await readAll(log, 's2')).length, 9)
  })
}

/** Resolves when the log has taken so many large events; a driver may free room in the background. */
async function takes(log: EventLog, sessionId: string, events: number): Promise<void> {
  for (let left = events; left > 0; ) {
    const appended = await log.append(sessionId, [large], { create: true }).catch(() => undefined)
    if (appended?.accepted) left--
    else await new Promise(resolve => setTimeout(resolve, 10))
  }
}
