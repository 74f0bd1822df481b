/** Nothing is lost between the readings with which a subscription begins and the events that it follows. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Bus } from '../../src/bus/bus.ts'
import { Journal } from '../../src/bus/journal.ts'
import { encodeEvent } from '../../src/log/event.ts'
import { keys } from '../../src/log/keys.ts'
import type { EventLog, Follower } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { TestSink } from '../fixtures/sink.ts'

const event = (type: string) => encodeEvent({ sessionId: 's', runId: 'r', type, time: 1, data: {} })

/** Readings after which something can happen. */
const readings = ['session', 'lookup', 'read', 'marks'] as const

/** A log with a run, in which another writer appends an event as soon as the reading of this number has been made. */
async function interrupted(at: number): Promise<{ log: EventLog; count(): number; head(): Promise<number> }> {
  const log = createMemoryLog()
  await log.append('s', [event('run.started')], { create: true, once: [{ key: keys.run('r') }] })
  let count = 0
  const made = { ...log }
  for (const name of readings) {
    const call = log[name] as (...args: unknown[]) => Promise<unknown>
    const then = async (...args: unknown[]) => {
      const result = await call(...args)
      if (count++ === at) await log.append('s', [event('x.between')])
      return result
    }
    Object.assign(made, { [name]: then })
  }
  return { log: made, count: () => count, head: async () => (await log.session('s'))?.head ?? 0 }
}

for (const run of [undefined, 'r']) {
  t.test(`an event that comes right after any reading reaches a subscriber of ${run ?? 'all'}`, async t => {
    let made = 1
    for (let at = 0; at < made; at++) {
      const { log, count, head } = await interrupted(at)
      const bus = new Bus(new Journal(log))
      const sink = new TestSink()
      const options = { run, after: undefined, last: undefined, replay: 'full', coalesceMs: 0 } as const
      const subscription = await bus.subscribe({ sessionId: 's', options, sink, onEnd() {} })
      subscription.start()
      for (let turn = 0; turn < 10; turn++) await nextTurn()
      made = count()
      t.equal(await head(), 2)
      t.same(sink.seen, [...new Set(sink.seen)], 'nothing twice')
      t.same(sink.seen.filter(Number), [1, 2], `the reading of number ${at}`)
      subscription.close()
    }
    t.ok(made >= 2, `${made} readings`)
  })
}

t.test('a listener gets it, or is told of it', async t => {
  for (let at = 0, made = 1; at < made; at++) {
    const { log, count } = await interrupted(at)
    const heard: number[] = []
    const bus = new Bus(new Journal(log))
    const listener = { event: ({ seq }: { seq: number }) => heard.push(seq), deleted() {}, lost() {} }
    const { head, stop } = await bus.listen('s', listener)
    for (let turn = 0; turn < 10; turn++) await nextTurn()
    made = count()
    t.equal(heard.at(-1) ?? head, 2, `the reading of number ${at}`)
    stop()
  }
})

/**
 * A log that loses its data with the reading of this number: it has another epoch and other events from then on. Followers are
 * told before that reading is answered.
 */
async function forgetful(at: number): Promise<{ log: EventLog; count(): number }> {
  const logs = [1, 2].map(epoch => createMemoryLog({ clock: () => epoch })) as [EventLog, EventLog]
  for (const log of logs) {
    await log.append('s', [event('run.started')], { create: true, once: [{ key: keys.run('r') }] })
  }
  let [current] = logs
  await logs[1].append('s', [event('x.new'), event('x.new')])
  let count = 0
  const followers = new Set<Follower>()
  const made: EventLog = {
    ...current,
    follow(sessionId, follower) {
      followers.add(follower)
      const stops = logs.map(log => log.follow(sessionId, follower))
      return () => {
        followers.delete(follower)
        for (const stop of stops) stop()
      }
    },
  }
  for (const name of readings) {
    const then = async (...args: unknown[]) => {
      if (count++ === at) {
        current = logs[1]
        for (const follower of [...followers]) follower.lost?.(2, 3)
      }
      return (current[name] as (...args: unknown[]) => Promise<unknown>)(...args)
    }
    Object.assign(made, { [name]: then })
  }
  return { log: made, count: () => count }
}

/** The events that a client holds in the end, which forgets what it has at each `reset`. */
function heldBy(t: Test, { got }: TestSink, after: string | undefined): string[] {
  let epoch = after?.split('-')[0]
  let events: string[] = []
  for (const message of got) {
    if ('event' in message) {
      const { offset = '' } = message.event
      epoch ??= offset.split('-')[0]
      t.equal(offset.split('-')[0], epoch, `${offset} belongs to the epoch that was announced`)
      events.push(offset)
    } else if (message.control.type === 'reset') {
      const [announced] = message.control.head.split('-')
      t.not(announced, epoch, 'a reset announces another epoch')
      epoch = announced
      events = []
    } else t.not(message.control.type, 'end')
  }
  return events
}

for (const run of [undefined, 'r']) {
  for (const after of [undefined, '1-1', '2-1']) {
    for (const isFollowed of [false, true]) {
      const whose = `${run ?? 'all'} after ${after}${isFollowed ? ', one of several,' : ''}`
      t.test(`a log that forgets with any reading: a subscriber of ${whose} gets the new one`, async t => {
        const all = ['2-1', '2-2', '2-3']
        for (let at = 0; ; at++) {
          const { log, count } = await forgetful(at)
          const bus = new Bus(new Journal(log))
          const stop = isFollowed ? await bus.follow('s') : () => {}
          const sink = new TestSink()
          const options = { run, after, last: undefined, replay: 'full', coalesceMs: 0 } as const
          const subscription = await bus.subscribe({ sessionId: 's', options, sink, onEnd() {} })
          // What is found out later makes a cursor of the new log one of an unknown log, until it is found out.
          const keeps = after === '2-1' && count() > at
          subscription.start()
          for (let turn = 0; turn < 20; turn++) await nextTurn()
          subscription.close()
          stop()
          if (count() <= at) return t.ok(at >= 2, `${at} readings`)
          t.same(heldBy(t, sink, after), keeps ? all.slice(1) : all, `the reading of number ${at}`)
        }
      })
    }
  }
}

t.test('a listener of a log that forgets while it is opened is told, or hears the new one', async t => {
  for (let at = 0; ; at++) {
    const { log, count } = await forgetful(at)
    const bus = new Bus(new Journal(log))
    const follows = await bus.follow('s')
    let isLost = false
    const listener = { event() {}, deleted() {}, lost: () => (isLost = true) }
    const { head, stop } = await bus.listen('s', listener)
    for (let turn = 0; turn < 10; turn++) await nextTurn()
    stop()
    follows()
    if (count() <= at) return t.ok(at >= 2, `${at} readings`)
    t.ok(isLost || head === 3, `the reading of number ${at}`)
  }
})
