/** The cache of session states: what it reads from the log, and when it saves snapshots. */
import t from 'tap'
import { SessionStates } from '../../src/sessions/states.ts'
import { recordingJournal } from '../fixtures/recording-journal.ts'

t.test('get reads each event once and returns a copy', async t => {
  const { journal, reads, startRun, numbers } = recordingJournal()
  const states = new SessionStates(journal)
  await startRun('one')
  const first = await states.get(await journal.session('s'))
  t.match(first, { seq: 1, runs: [{ runId: 'one', status: 'running' }] })
  await numbers(5)
  await startRun('two')
  const second = await states.get(await journal.session('s'))
  t.same(
    second.runs.map(({ runId }) => runId),
    ['one', 'two'],
  )
  t.equal(first.runs.length, 1, 'the first copy has not changed')
  await states.get(await journal.session('s'))
  t.same(reads, [0, 1], 'each event was read once')
})

t.test('two concurrent calls of get read the log once', async t => {
  const { journal, reads, startRun } = recordingJournal()
  const states = new SessionStates(journal)
  await startRun('one')
  const session = await journal.session('s')
  const [a, b] = await Promise.all([states.get(session), states.get(session)])
  t.same(a, b)
  t.same(reads, [0])
})

t.test('a snapshot is saved every 1000 events, and another process starts from it', async t => {
  const { log, journal, reads, startRun, numbers } = recordingJournal()
  const states = new SessionStates(journal)
  await startRun('one')
  const { epoch } = await journal.session('s')
  await numbers(998)
  await states.appended('s', epoch, 2, 999)
  t.equal(await log.loadSnapshot('s', epoch), undefined)
  await numbers(1)
  await states.appended('s', epoch, 1000, 1000)
  t.match(await log.loadSnapshot('s', epoch), { seq: 1000, state: { runs: [{ runId: 'one' }] } })
  await numbers(2)
  reads.length = 0
  const state = await new SessionStates(journal).get(await journal.session('s'))
  t.match(state, { seq: 1002, runs: [{ runId: 'one' }] })
  t.same(reads, [1000])
})

t.test('events that another process trimmed are taken from the snapshot of that process', async t => {
  const { log, journal, startRun, numbers } = recordingJournal()
  const [here, there] = [new SessionStates(journal), new SessionStates(journal)]
  await startRun('one')
  await here.get(await journal.session('s'))
  await startRun('two')
  await numbers(5)
  const session = await journal.session('s')
  const state = await there.get(session)
  await log.trim('s', session.epoch, 5, { seq: state.seq, state })
  await numbers(1)
  t.match(await here.get(await journal.session('s')), {
    seq: 8,
    runs: [{ runId: 'one' }, { runId: 'two' }],
  })
})

t.test('a session that is deleted and created again has a new state', async t => {
  const { log, journal, startRun } = recordingJournal()
  const states = new SessionStates(journal)
  await startRun('one')
  await states.get(await journal.session('s'))
  await log.delete('s')
  await startRun('two')
  t.match(await states.get(await journal.session('s')), { seq: 1, runs: [{ runId: 'two' }] })
})

t.test('folding a long session leaves the event loop to others', async t => {
  const { journal, startRun } = recordingJournal()
  await startRun('one')
  // Questions are parsed one by one, a few ms for each page of them.
  for (let i = 0; i < 40; i++) {
    await journal.append(
      's',
      Array.from({ length: 500 }, (_, j) => ({
        type: 'input.requested',
        runId: 'one',
        data: { requestId: `q${i}.${j}`, kind: 'question', message: 'x'.repeat(500) },
      })),
    )
  }
  let turns = 0
  const count = setInterval(() => turns++, 0)
  t.teardown(() => clearInterval(count))
  const { pendingInputs } = await new SessionStates(journal).get(await journal.session('s'))
  t.equal(pendingInputs.length, 20_000)
  t.ok(turns > 2, `timers came ${turns} times meanwhile`)
})
