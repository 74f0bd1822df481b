import t from 'tap'
import { tailCommand } from '../../src/cli/tail.ts'
import { shown, stage } from './stage.ts'

const text = (delta: string, partId = 'p', runId = 'r1') => ({
  type: 'text.delta',
  runId,
  data: { partId, delta },
})

t.test('shows a session until Ctrl-C, and cancels nothing', async t => {
  const { options, fake, stop, stdout, commands } = await stage(t, { events: [text('one ')], open: true })
  const tailing = tailCommand({ ...options, sessionId: 's1' })
  await shown(stdout, 'one')
  fake.say(text('two'))
  await shown(stdout, 'two')
  stop.abort()
  t.equal(await tailing, 130)
  t.equal(commands.length, 0)
  t.equal(stdout.text, 'one two\n')
})

t.test('keeps the text of different parts on lines of their own', async t => {
  const events = [text('a', 'p1', 'r1'), text('b', 'p2', 'r2'), text('c', 'p1', 'r1')]
  const { options, stdout } = await stage(t, { events })
  t.equal(await tailCommand({ ...options, sessionId: 's1' }), 0)
  t.equal(stdout.text, 'a\nb\nc\n')
})

t.test('hands its choices to the server', async t => {
  const { options, fake } = await stage(t)
  await tailCommand({ ...options, sessionId: 's1', last: 20, replay: 'full' })
  const { searchParams } = new URL(fake.requests[0]!.url!, fake.url)
  t.same(Object.fromEntries(searchParams), { last: '20', replay: 'full' })
})

t.test('with a run it exits with the run’s outcome', async t => {
  const failed = { type: 'run.failed', data: { code: 'x', message: 'broke' } }
  const { options } = await stage(t, { events: [failed] })
  t.equal(await tailCommand({ ...options, sessionId: 's1', run: 'r1' }), 1)
})

t.test('an unknown session exits 2', async t => {
  const { options, stderr, fake } = await stage(t)
  fake.plans.push({
    refuse: { status: 404, body: { error: { code: 'session-not-found', message: 'No such session' } } },
  })
  t.equal(await tailCommand({ ...options, sessionId: 'nope' }), 2)
  t.match(stderr.text, '✗ session-not-found: No such session')
})

t.test('reports a lost connection when there is no status line', async t => {
  const { options, stderr, fake } = await stage(t, { events: [text('a')] })
  fake.plans.push({ cutAfter: 1 })
  t.equal(await tailCommand({ ...options, sessionId: 's1' }), 0)
  t.match(stderr.text, /; reconnecting in [\d.]+ s\n/)
})
