import t from 'tap'
import { createClient } from '../../client/index.ts'
import { deltas, fakeServer } from './fake.ts'

t.test('the text of a run is cut between characters, however its deltas are', async t => {
  const pieces = ['a\ud83d', '\ude00b', '', 'c\ud83d', '', '\ude01', '\ud83d', '\ude02']
  const event = (seq: number, body: object) => ({ ...deltas(1, seq)[0]!, runId: 'r', ...body })
  const events = [
    ...pieces.map((delta, i) => event(i + 1, { type: 'text.delta', data: { partId: 'p', delta } })),
    event(pieces.length + 1, { type: 'run.completed', data: { finishReason: 'stop' } }),
  ]
  const fake = await fakeServer(t, { events, ends: true })
  const client = createClient({ url: fake.url, transport: 'sse' })
  t.teardown(() => client.close())
  const texts: string[] = []
  for await (const text of client.session('s').attach('r').text) texts.push(text)
  t.same(texts, ['a', '😀b', 'c', '😁', '😂'])
})
