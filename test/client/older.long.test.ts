import t from 'tap'
import { useSession } from '../../client/react/index.ts'
import { mount } from './page.ts'
import { connect, stage, until } from './stage.ts'

t.test('loadOlder brings the runs that the view dropped, page by page', async t => {
  const client = connect(t, await stage(t), { transport: 'sse' })
  const session = client.session('long')
  await session.create()
  const slow = session.run('echoing', { query: 'works' }, { runId: 'works' })
  await slow.started
  for (let i = 0; i < 130; i += 1) await session.run('playback', { count: 30, rate: 0, seed: i + 1 }).done
  const all = mount(t, () => useSession(client, 'long', { run: 'works' }))
  await until(() => all.last()?.status === 'running')
  t.equal(all.last().hasOlder, false)
  const { last } = mount(t, () => useSession(client, 'long'))
  await until(() => last()?.caughtUp)
  t.match(last(), { hasOlder: true, runs: { length: 101 }, isLoading: true })
  t.equal(last().runs[0]!.runId, 'works', 'a run that works is kept')
  await slow.steer('on')
  await until(() => last().runs[0]!.messages[1]!.text === 'works on ')
  const messages = last().messages
  while (await last().loadOlder());
  await until(() => !last().hasOlder)
  t.equal(last().runs.length, 131)
  t.equal(last().messages.length, 131 * 2 + 1)
  t.equal(last().messages.at(-1), messages.at(-1), 'what was there keeps its identity')
  t.equal(
    last().runs.some(({ torn }) => torn),
    false,
  )
  await slow.steer('end')
  await until(() => !last().isLoading)
  t.equal(last().runs.length, 131, 'what was loaded stays')
  await last().start('playback', { count: 1, rate: 0 })
  await until(() => last().runs.at(-1)!.status === 'completed' && last().runs.at(-1)!.offset !== '')
  const shown = last().runs
  const fresh = mount(t, () => useSession(client, 'long', { last: 40 }))
  await until(() => fresh.last()?.caughtUp)
  t.equal(fresh.last().hasOlder, true)
  while (await fresh.last().loadOlder());
  await until(() => !fresh.last().hasOlder)
  t.same(fresh.last().runs.slice(1 - shown.length), shown.slice(1), 'the same as from the start')
})
