/** Nothing is lost between the readings with which a subscription begins and the events that it follows. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { Bus } from '../../src/bus/bus.ts'
import { Journal } from '../../src/bus/journal.ts'
import { encodeEvent } from '../../src/log/event.ts'
import { keys } from '../../src/log/keys.ts'
import type { EventLog } from '../../src/log/log.ts'
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
