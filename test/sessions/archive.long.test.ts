/** Export and import of sessions: from each log to each, from a server, and what is refused. */
import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { Journal } from '../../src/bus/journal.ts'
import { openLmdbLog } from '../../src/log/lmdb.ts'
import type { EventLog } from '../../src/log/log.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { createRedisLog } from '../../src/log/redis.ts'
import { copiesOf } from '../../src/sessions/archive/copies.ts'
import { importArchive } from '../../src/sessions/archive/import.ts'
import { readArchive } from '../../src/sessions/archive/read.ts'
import { chunksOf, eventsIn, exported, sealed, textOf } from '../fixtures/archive.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
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
  type Wire,
} from '../fixtures/wire-server.ts'

const exportOf = (log: EventLog, ids?: string[]) => textOf('log', copiesOf(new Journal(log), ids))

const importInto = (log: EventLog, text: string, options?: Parameters<typeof importArchive>[2]) =>
  importArchive(new Journal(log), () => chunksOf(text), options)

/** The lines of sessions, without header and end, which tell the time. */
const bare = (text: string) => text.split('\n').slice(1, -2)

const sorted = (text: string) => bare(text).sort()

/** Fills a server with all that sessions have. */
async function fill({ url }: Wire, t: Test): Promise<{ runId: string; open: string; started: object }> {
  const runId = await startRun(url, 's', 'asking', { questions: [{ requestId: 'q' }] })
  await eventually(t, 'it asks', async () => (await state(url, 's')).pendingInputs?.length === 1)
  await command(url, 's', { type: 'input.answer', requestId: 'q', value: { fine: ['ü', null] } })
  await terminalOf(url, 's', runId)
  const open = 'open-run'
  const start = { type: 'run.start', runId: open, agent: 'idle', input: {}, key: 'start-key' }
  const { body: started } = await command(url, 's', start)
  const many = Array.from({ length: 2500 }, (_, i) => ({ type: 'x.n', data: { i, text: '👩\u2028' } }))
  await ingest(url, 's', many.slice(0, 1200), '?producer=p&seq=1')
  await ingest(url, 's', many.slice(1200), '?producer=p&seq=1201')
  await ingest(url, 'other', [{ type: 'x.n', data: 1 }])
  return { runId, open, started: started as object }
}

/** A server over the log behaves as the one that was exported. */
async function behavesAlike(
  t: Test,
  log: EventLog,
  { runId, open, started }: { runId: string; open: string; started: object },
) {
  const { url } = await serve(t, { log: { ...log, close: async () => {} } as EventLog })
  const again = await command(url, 's', {
    type: 'run.start',
    runId: open,
    agent: 'idle',
    input: {},
    key: 'start-key',
  })
  const { id: _, ...ack } = started as { id?: string }
  t.match(again.body, ack, 'a repeated command gets its first ack')
  const repeated = await ingest(url, 's', [{ type: 'x.n', data: 'lost' }], '?producer=p&seq=2500')
  t.match(repeated, { body: { count: 1 } })
  t.notMatch(JSON.stringify((await fetchPage(url, 's', { last: 5 })).events), 'lost')
  t.match(await command(url, 's', { type: 'run.cancel', runId }), { body: { code: 'run-ended' } })
  const late = { type: 'input.answer', requestId: 'q', value: 'late' }
  t.match(await command(url, 's', late), { body: { code: 'already-answered' } })
}

t.test('sessions go from each log to each', async t => {
  const redis = noRedis ? undefined : await RedisServer.start(t)
  const makers: Record<string, (t: Test) => Promise<EventLog>> = {
    memory: async () => createMemoryLog(),
    lmdb: async t => openLmdbLog({ folder: t.testdir() }),
    ...(redis && {
      redis: async () => createRedisLog({ url: redis.url, warn: () => {}, prefix: `${randomUUID()}:` }),
    }),
  }
  if (!redis) t.comment('redis is left out: it is not installed')
  for (const [from, make] of Object.entries(makers)) {
    await t.test(`from ${from}`, async t => {
      const log = await make(t)
      t.teardown(() => log.close())
      // The lease of the open run lasts for the test.
      const wire = await serve(t, { log: { ...log, close: async () => {} } as EventLog, leaseMs: 600_000 })
      const known = await fill(wire, t)
      const events = await logged(wire, 's')
      const text = await exportOf(log)
      t.match(text.split('\n')[0], /^\{"format":"twinrail","version":1,/)
      for (const [to, make] of Object.entries(makers)) {
        await t.test(`to ${to}`, async t => {
          const copy = await make(t)
          t.teardown(() => copy.close())
          const done = await importInto(copy, text)
          t.match(done, { sessions: 2, events: events.length + 1, skipped: 0, renewed: [] })
          t.strictSame(sorted(await exportOf(copy)), sorted(text), 'its export is the same')
          const there = await serve(t, { log: { ...copy, close: async () => {} } as EventLog })
          t.strictSame(await logged(there, 's'), events, 'byte for byte, with the same offsets')
          t.strictSame(await state(there.url, 's'), await state(wire.url, 's'))
          await behavesAlike(t, copy, known)
        })
      }
    })
  }
})

t.test('an export of a server has the events, and keys that follow from them', async t => {
  const wire = await serve(t)
  const known = await fill(wire, t)
  const text = await exported(wire.url)
  const events = await logged(wire, 's')
  t.equal(text.split('\n').length, events.length + 1 + 2 + 2 + 1, 'events, sessions, header, end, newline')
  const log = createMemoryLog()
  await importInto(log, text)
  const copy = await serve(t, { log })
  t.strictSame((await logged(copy, 's')).slice(0, events.length), events)
  await eventually(t, 'the open run has ended', async () =>
    (await state(copy.url, 's')).runs?.every(({ status }) => status !== 'running'),
  )
  t.match(JSON.parse((await logged(copy, 's')).at(-1) as string), {
    type: 'run.failed',
    runId: known.open,
    data: { code: 'producer-lost' },
  })
  t.match(await command(copy.url, 's', { type: 'run.cancel', runId: known.runId }), {
    body: { code: 'run-ended' },
  })
  const late = { type: 'input.answer', requestId: 'q', value: 'late' }
  t.match(await command(copy.url, 's', late), { body: { code: 'already-answered' } })
  const retry = { type: 'input.answer', requestId: 'q', value: { fine: ['ü', null] } }
  t.match(await command(copy.url, 's', retry), { status: 200 })
})

t.test('a trimmed session keeps its state', async t => {
  for (const by of ['log', 'server'] as const) {
    const log = createMemoryLog()
    const wire = await serve(t, { log })
    await fill(wire, t)
    const { head = '' } = await state(wire.url, 's')
    const [epoch = 0, last = 0] = head.split('-').map(Number)
    const { runs, pendingInputs } = await state(wire.url, 's')
    await new Journal(log).trim('s', epoch, last - 10, {
      seq: last,
      state: { seq: last, runs, pendingInputs },
    })
    const before = await state(wire.url, 's')
    const text = by === 'log' ? await exportOf(log, ['s']) : await exported(wire.url, 's')
    const copy = createMemoryLog()
    await importInto(copy, text)
    const there = await serve(t, { log: copy })
    t.match(await state(there.url, 's'), {
      head: before.head,
      earliest: before.earliest,
      metadata: before.metadata,
    })
    t.match((await state(there.url, 's')).runs?.[0], before.runs?.[0] ?? {}, by)
    const [first] = before.runs ?? []
    t.match(await command(there.url, 's', { type: 'run.cancel', runId: first?.runId }), {
      body: { code: 'run-ended' },
    })
  }
})

t.test('a session that exists is refused, skipped or replaced', async t => {
  const source = createMemoryLog()
  for (const id of ['a', 'b']) await source.append(id, [eventOf(id, 1), eventOf(id, 2)], { create: true })
  const text = await exportOf(source)
  const log = createMemoryLog()
  await log.append('b', [eventOf('b', 'mine')], { create: true })
  await t.rejects(importInto(log, text), { code: 'conflict', details: { sessionId: 'b' } })
  t.equal(await log.session('a'), undefined, 'nothing was imported')
  t.match(await importInto(log, text, { existing: 'skip' }), { sessions: 1, skipped: 1 })
  t.match(await log.session('b'), { head: 1 })
  t.match(await importInto(log, text, { existing: 'replace' }), { sessions: 2 })
  t.strictSame(sorted(await exportOf(log)), sorted(text))
})

t.test('a session gets another id, and another epoch when its own is in use', async t => {
  const log = createMemoryLog()
  const { epoch } = (await log.create('s', { title: 'one' })).session
  await log.append('s', [eventOf('s', 1), eventOf('s', 2)], {})
  t.match(await importInto(log, await exportOf(log, ['s']), { sessionId: 'copy' }), { renewed: ['copy'] })
  const copy = await log.session('copy')
  t.match(copy, { head: 2, metadata: { title: 'one' } })
  t.not(copy?.epoch, epoch)
  t.match((await eventsIn(await exportOf(log, ['copy'])))[1], {
    offset: `${copy?.epoch}-2`,
    sessionId: 'copy',
  })
  const both = await exportOf(log)
  await t.rejects(importInto(createMemoryLog(), both, { sessionId: 'x' }), { code: 'bad-request' })
})

t.test('an export of a log in use is as the log was at one moment', async t => {
  const log = createMemoryLog()
  await log.append('s', [eventOf('s', 1)], { create: true, producer: { id: 'p', seq: 1 } })
  const copies = copiesOf(new Journal(log))
  const { value: copy } = await copies.next()
  await log.append('s', [eventOf('s', 'other')])
  await log.append('s', [eventOf('s', 2)], { producer: { id: 'p', seq: 2 }, once: [{ key: 'late' }] })
  const text = await textOf(
    'log',
    (async function* () {
      if (copy) yield copy
    })(),
  )
  t.equal((await eventsIn(text)).length, 1)
  t.match(text, '{"kind":"producer","name":"p","next":2,"stretches":[[1,1]]}')
  t.notMatch(text, 'late')
})

t.test('a changed or truncated archive is refused before anything is imported', async t => {
  const log = createMemoryLog()
  await log.append(
    's',
    [1, 2, 3].map(data => eventOf('s', data)),
    { create: true, once: [{ key: 'k' }] },
  )
  const text = await exportOf(log)
  const lines = text.split('\n')
  const [header = '', session = '', first = '', second = '', third = '', record = ''] = lines
  const seal = (body: string[], events = 3) => sealed(body, { sessions: 1, events })
  const spoilt: Record<string, [text: string, why: RegExp]> = {
    changed: [text.replace('"data":2', '"data":4'), /checksum/],
    cut: [lines.slice(0, 3).join('\n'), /incomplete/],
    'without its end': [`${lines.slice(0, 6).join('\n')}\n`, /last line is missing/],
    missing: [
      await seal([header, session, first, third, record], 2),
      /^line 4: expected .*-2 here, got .*-3/,
    ],
    'missing at the end': [await seal([header, session, first, second, record], 2), /has no event .*-3/],
    swapped: [await seal([header, session, second, first, third, record]), /^line 3: expected .*-1/],
    'an event too many': [await seal([header, session, first, second, third, third], 4), /expected no event/],
    'an event behind a record': [await seal([header, session, first, second, record, third]), /has no event/],
    'before a session': [await seal([header, first]), /expected a session/],
    'of another session': [
      await seal([header, session, first.replace('"sessionId":"s"', '"sessionId":"z"'), second, third]),
      /^line 3: the event is of the session z/,
    ],
    'bad event': [
      await seal([header, session, first.replace('"x.test"', '"run.started"'), second, third]),
      /^line 3: /,
    ],
    'bad record': [
      await seal([header, session, first, second, third, '{"record":{"kind":"key"}}']),
      /^line 6: record/,
    ],
    'counted wrongly': [await seal([header, session, first, second, third, record], 2), /counts other/],
    'twice in the file': [
      await sealed([header, session, first, second, third, session, first, second, third], {
        sessions: 2,
        events: 6,
      }),
      /twice/,
    ],
    version: [text.replace('"version":1', '"version":2'), /version 2 of the format, expected 1/],
    'no archive': ['{"a":1}\n', /^the first line/],
    'no JSON': ['hello\n', /^line 1: not JSON/],
    'no end of line': ['x'.repeat(17 * 1024 * 1024), /more than 16777216 bytes/],
    empty: ['', /last line is missing/],
  }
  const target = createMemoryLog()
  for (const [what, [bad, message]] of Object.entries(spoilt)) {
    await t.rejects(importInto(target, bad), { message }, what)
  }
  t.same(await target.list(undefined, 9), [])
  await importInto(target, text)
})

t.test('what fails in the middle leaves no half of a session', async t => {
  const source = createMemoryLog()
  const big = (id: string, count: number) =>
    Array.from({ length: count }, (_, i) => eventOf(id, `${i} ${'x'.repeat(1000)}`))
  await source.append('a', big('a', 100), { create: true })
  await source.append('b', big('b', 5000), { create: true })
  const text = await exportOf(source)
  const log = createMemoryLog({ maxLogBytes: 2_000_000 })
  await t.rejects(importInto(log, text), { code: 'rate-limited' })
  t.match(await log.list(undefined, 9), [{ sessionId: 'a', head: 100 }])
})

t.test('the playback agent replays an export at its recorded pace', async t => {
  const { url } = await serve(t)
  const runId = await startRun(url, 's', 'playback', { count: 20, rate: 100 })
  await terminalOf(url, 's', runId)
  const events = await eventsIn(await exported(url, 's'))
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

t.test('lines are read from chunks of any size', async t => {
  const log = createMemoryLog()
  await log.append(
    's',
    ['ü', '👩'].map(data => eventOf('s', data)),
    { create: true },
  )
  const text = await exportOf(log)
  for (const size of [1, 2, 3, 7, 100_000]) {
    let parts = 0
    for await (const _ of readArchive(chunksOf(text, size))) parts++
    t.equal(parts, 4, `${size}`)
  }
})

function eventOf(sessionId: string, data: unknown): string {
  return JSON.stringify({ sessionId, type: 'x.test', time: 1_700_000_000_000, by: 'ann', data })
}
