/** A log that lost events: every subscriber is told, forgets, and starts over on what is left. */
import t, { type Test } from 'tap'
import type { EventLog, Follower } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { follow, type Got, isEvent } from '../fixtures/wire-clients.ts'
import { command, ingest, logged, serve, startRun, terminalOf } from '../fixtures/wire-server.ts'

/** The log in memory, whose sessions can be thrown back to their first `kept` events. */
function forgetful(): EventLog & { lose(sessionId: string, kept: number): Promise<void> } {
  const log = createMemoryLog()
  const followers = new Map<Follower, Follower>()
  let losing = false
  return {
    ...log,
    follow(sessionId, follower) {
      const wrapped: Follower = {
        events: (epoch, events) => losing || follower.events(epoch, events),
        ephemeral: json => follower.ephemeral(json),
        deleted: () => losing || follower.deleted(),
      }
      followers.set(follower, wrapped)
      let stop = log.follow(sessionId, wrapped)
      wrapped.lost = (epoch, head) => {
        stop = log.follow(sessionId, wrapped)
        follower.lost?.(epoch, head)
      }
      return () => {
        followers.delete(follower)
        stop()
      }
    },
    async lose(sessionId, kept) {
      const texts = (await log.read(sessionId, 0, { events: kept, bytes: 1e9 }))?.events ?? []
      losing = true
      await log.delete(sessionId)
      const bare = texts.slice(0, kept).map(({ json }) => `{${json.slice(json.indexOf(',') + 1)}`)
      const once = texts.flatMap(({ type, runId }, index) =>
        type === 'run.started' ? [{ key: `run:${runId}`, index }] : [],
      )
      const appended = await log.append(sessionId, bare, { create: true, once })
      losing = false
      for (const wrapped of [...followers.values()]) wrapped.lost?.(appended.epoch ?? 0, kept)
    },
  }
}

const shown = (got: readonly Got[]) =>
  got
    .filter(({ message }) => !['hello', 'ping', 'ack'].includes(message.type))
    .map(({ message }) => (message.type.includes('.') ? message.offset : message.type))

async function scene(t: Test) {
  const log = forgetful()
  const wire = await serve(t, { log })
  await ingest(
    wire.url,
    's',
    [1, 2, 3, 4].map(data => ({ type: 'x.n', data })),
  )
  return { log, wire, url: wire.url }
}

t.test('subscribers get reset, the remaining events, caught-up again, and new events', async t => {
  const { log, wire, url } = await scene(t)
  const sse = await follow(t, 'sse', url, 's')
  const ws = await follow(t, 'websocket', url, 's')
  const poll = await follow(t, 'long-poll', url, 's')
  for (const stream of [sse, ws, poll]) await stream.until('caught-up')
  const polled = poll.until('reset')

  await log.lose('s', 2)
  const again = await Promise.all([sse.until('caught-up'), ws.until('caught-up')])
  const left = (await logged(wire, 's')).map(json => JSON.parse(json).offset as string)
  t.equal(left.length, 2)
  for (const got of again) {
    t.same(shown(got), ['reset', ...left, 'caught-up'])
    t.match(got.find(({ message }) => message.type === 'reset')?.message, { reason: 'lost', head: left[1] })
  }
  t.match((await polled).at(-1)?.message, { reason: 'epoch' })

  await ingest(url, 's', { type: 'x.n', data: 'new' })
  for (const stream of [sse, ws, poll]) {
    const got = (await stream.until(one => isEvent(one) && one.message.data === ('new' as never))).at(-1)
    t.equal(got?.json, (await logged(wire, 's')).at(-1), 'and the same bytes for all')
  }
  t.equal(wire.server.bus.topics, 1)
})

t.test('a subscription of a run that is left starts over with the run', async t => {
  const { log, url } = await scene(t)
  const events = [1, 2, 3].map(data => ({ type: 'x.n', data }))
  const runId = await startRun(url, 's', 'steered', {})
  const sse = await follow(t, 'sse', url, 's', { run: runId })
  await sse.until('caught-up')
  await ingest(url, 's', events)
  await log.lose('s', 5)
  const got = await sse.until('caught-up')
  t.equal(got.filter(isEvent).length, 1, 'run.started, and nothing else of the session')
  t.equal(got[0]?.message.type, 'reset')
})

t.test('a subscription of a run that is lost ends', async t => {
  const { log, url } = await scene(t)
  const runId = await startRun(url, 's', 'steered', {})
  const sse = await follow(t, 'sse', url, 's', { run: runId })
  await sse.until('caught-up')
  await log.lose('s', 2)
  t.match((await sse.until('end')).at(-1)?.message, { reason: 'deleted', runId })
})

t.test('runs of the lost log append nothing to the new one', async t => {
  const { log, wire, url } = await scene(t)
  const runId = await startRun(url, 's', 'endless', {})
  const sse = await follow(t, 'sse', url, 's', { run: runId })
  await sse.until(({ message }) => message.type === 'text.delta')
  await log.lose('s', 5)
  const before = await logged(wire, 's')
  await command(url, 's', { type: 'publish', event: { type: 'x.n', data: 'after' } })
  t.equal((await logged(wire, 's')).length, before.length + 1)
  t.equal(wire.server.sessions.runner.active, 0)
  const next = await startRun(url, 's', 'script', { events: [] })
  t.match(await terminalOf(url, 's', next), { type: 'run.completed' })
})
