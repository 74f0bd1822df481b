/** Runs of producers count as open until they end here, or the log says that they have ended elsewhere. */
import t, { type Test } from 'tap'
import { ProducerRuns } from '../../src/sessions/producer-runs.ts'

const EVERY_MS = 40

/** Runs whose state in the log the test decides, and how often each was asked for. */
function counted(t: Test, everyMs = EVERY_MS) {
  const ended = new Set<string>()
  const closed: string[] = []
  const looks: { runId: string; at: number }[] = []
  let heard = () => {}
  const runs = new ProducerRuns(everyMs, async (_, runId) => {
    looks.push({ runId, at: performance.now() })
    queueMicrotask(() => heard())
    if (ended.has(`${runId} fails`)) throw new Error('the log is away')
    return !ended.has(runId)
  })
  // Its own timers do not keep the process alive.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => {
    clearInterval(alive)
    runs.close()
  })
  return {
    runs,
    ended,
    closed,
    looks,
    add: (runId: string, sessionId = 's') => runs.add(sessionId, runId, () => closed.push(runId)),
    /** Resolves when a run was asked for so many times. */
    looked: (runId: string, times: number) =>
      new Promise<void>(resolve => {
        heard = () => {
          if (looks.filter(look => look.runId === runId).length >= times) resolve()
        }
        heard()
      }),
  }
}

t.test('a run counts until it ends here', async t => {
  const { runs, closed, add } = counted(t)
  add('a')
  t.ok(runs.has('s', 'a'))
  t.notOk(runs.has('other', 'a'))
  t.notOk(runs.has('s', 'b'))
  runs.ended('other', 'a')
  t.same(closed, [])
  runs.ended('s', 'a')
  runs.ended('s', 'a')
  t.same(closed, ['a'], 'and is closed once')
  t.notOk(runs.has('s', 'a'))
  add('b')
  add('b')
  t.same(closed, ['a', 'b'], 'one that is opened again is closed first')
})

t.test('the log is asked for each run at intervals, and closes what has ended elsewhere', async t => {
  const { runs, ended, closed, looks, add, looked } = counted(t)
  const addedAt = new Map<string, number>()
  const addNow = (runId: string) => {
    addedAt.set(runId, performance.now())
    add(runId)
  }
  addNow('a')
  await looked('a', 1)
  // In the middle of two looks at the first run, which must not be looks at this one.
  const sooner = counted(t, EVERY_MS / 2)
  sooner.add('x')
  await sooner.looked('x', 1)
  addNow('b')
  await looked('b', 2)
  for (const [runId, at] of addedAt) {
    const times = [at, ...looks.filter(look => look.runId === runId).map(look => look.at)]
    for (let i = 1; i < times.length; i++) {
      // A timer of Node may be a millisecond early.
      const since = (times[i] as number) - (times[i - 1] as number)
      t.ok(since >= EVERY_MS - 2, `${runId} after ${since} ms`)
    }
  }
  t.same(closed, [])
  ended.add('b fails')
  const before = looks.filter(({ runId }) => runId === 'b').length
  await looked('b', before + 2)
  t.ok(runs.has('s', 'b'), 'while the log is away it counts')
  ended.delete('b fails')
  ended.add('b')
  await looked('b', looks.filter(({ runId }) => runId === 'b').length + 1)
  await looked('a', looks.filter(({ runId }) => runId === 'a').length + 1)
  t.same(closed, ['b'])
  t.notOk(runs.has('s', 'b'))
  t.ok(runs.has('s', 'a'))
})

t.test('nothing is asked for after close', async t => {
  const { runs, closed, looks, add } = counted(t)
  add('a')
  runs.close()
  add('late')
  const other = counted(t)
  other.add('b')
  await other.looked('b', 2)
  t.same(looks, [])
  t.same(closed, [])
})
