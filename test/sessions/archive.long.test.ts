/** Export and import of a session, and playback of an export. */
import t from 'tap'
import { Journal } from '../../src/bus/journal.ts'
import { download } from '../../src/cli/download.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { archiveLines, importArchive, readArchive } from '../../src/sessions/archive.ts'
import { fetchPage } from '../fixtures/wire-clients.ts'
import {
  command,
  eventually,
  ingest,
  logged,
  serve,
  startRun,
  state,
  terminalOf,
} from '../fixtures/wire-server.ts'

async function exported(url: string, sessionId: string): Promise<string> {
  const { events, ...header } = await download(url, sessionId)
  let text = ''
  for await (const line of archiveLines(header, events)) text += line
  return text
}

/** The events without the fields that differ between two logs. */
const bare = (texts: string[]) =>
  texts.map(text => {
    const { offset: _, sessionId: __, ...rest } = JSON.parse(text)
    return rest
  })

t.test('an imported session has the same events and refuses repeated commands', async t => {
  const wire = await serve(t)
  const { url } = wire
  const runId = await startRun(url, 's', 'asking', { questions: [{ requestId: 'q' }] })
  await eventually(t, 'it asks', async () => (await state(url, 's')).pendingInputs?.length === 1)
  await command(url, 's', { type: 'input.answer', requestId: 'q', value: { fine: ['ü', null] } })
  await terminalOf(url, 's', runId)
  const open = await startRun(url, 's', 'idle', {})
  await ingest(
    url,
    's',
    Array.from({ length: 2500 }, (_, i) => ({ type: 'x.n', data: { i, text: '👩\u2028' } })),
  )
  const text = await exported(url, 's')
  t.equal(
    text.split('\n').length,
    2506 + 2 + 1,
    'a header, one line per event, a checksum, and a final newline',
  )

  const log = createMemoryLog()
  t.match(await importArchive(new Journal(log), readArchive(text), 'copy'), {
    sessionId: 'copy',
    events: 2507,
  })
  const copy = await serve(t, { log })
  const [before, after] = [await logged(wire, 's'), await logged(copy, 'copy')]
  t.strictSame(bare(after.slice(0, -1)), bare(before), 'types, data, times and authors')
  t.match(JSON.parse(after.at(-1) as string), {
    type: 'run.failed',
    runId: open,
    data: { code: 'producer-lost' },
  })
  t.match((await state(copy.url, 'copy')).runs, [
    { runId, status: 'completed' },
    { runId: open, status: 'failed' },
  ])
  t.match(await command(copy.url, 'copy', { type: 'run.cancel', runId }), { body: { code: 'run-ended' } })
  const late = { type: 'input.answer', requestId: 'q', value: 'late' }
  t.match(await command(copy.url, 'copy', late), { body: { code: 'already-answered' } })
  await t.rejects(importArchive(new Journal(log), readArchive(text), 'copy'), { code: 'conflict' })
})

t.test('a changed or truncated archive is refused', async t => {
  const { url } = await serve(t)
  await ingest(
    url,
    's',
    [1, 2, 3].map(data => ({ type: 'x.n', data })),
  )
  const text = await exported(url, 's')
  const lines = text.split('\n')
  readArchive(text)
  const spoilt = {
    changed: text.replace('"data":2', '"data":4'),
    cut: lines.slice(0, 3).join('\n'),
    missing: lines.filter((_, i) => i !== 2).join('\n'),
    swapped: [lines[0], lines[2], lines[1], ...lines.slice(3)].join('\n'),
    header: text.replace('"twinrail":1', '"twinrail":2'),
    'no archive': '{"a":1}\n',
    'no JSON': 'hello\n',
    empty: '',
  }
  for (const [what, bad] of Object.entries(spoilt)) {
    t.throws(() => readArchive(bad), { code: 'bad-request' }, what)
  }
})

t.test('the playback agent replays an export at its recorded pace', async t => {
  const { url } = await serve(t)
  const runId = await startRun(url, 's', 'playback', { count: 20, rate: 100 })
  await terminalOf(url, 's', runId)
  const { events } = readArchive(await exported(url, 's'))
  const played = await startRun(url, 'again', 'playback', { events })
  await terminalOf(url, 'again', played)
  const page = await fetchPage(url, 'again', { replay: 'full' })
  const deltas = (all: { type: string; data?: unknown }[]) => all.filter(({ type }) => type === 'text.delta')
  t.same(
    deltas(page.events).map(({ data }) => (data as { delta: string }).delta),
    deltas(events).map(({ data }) => (data as { delta: string }).delta),
  )
  const times = (all: { type: string; time?: number }[], type: string) =>
    all.filter(event => event.type === type).map(({ time = 0 }) => time)
  const recorded = times(events, 'text.delta')
  const span = (recorded.at(-1) ?? 0) - (recorded[0] ?? 0)
  // A busy machine delays events, also the first one. None comes before its time, counted from the run's start.
  const [begun = 0] = times(page.events, 'run.started')
  const took = (times(page.events, 'text.delta').at(-1) ?? 0) - begun
  t.ok(took >= span - 25, `${took} ms, recorded in ${span} ms`)
})
