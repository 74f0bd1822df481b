/** A session has at most so many open runs and questions, whichever way they come. */
import t from 'tap'
import { z } from 'zod'
import { defineAgent } from '../../src/agents/agent.ts'
import { Journal } from '../../src/bus/journal.ts'
import { keys } from '../../src/log/keys.ts'
import { createMemoryLog } from '../../src/log/memory.ts'
import { copiesOf } from '../../src/sessions/archive/copies.ts'
import { importArchive } from '../../src/sessions/archive/import.ts'
import { chunksOf, sealed, textOf } from '../fixtures/archive.ts'
import {
  agents,
  command,
  eventually,
  headOf,
  ingest,
  ingestLines,
  serve,
  startRun,
  state,
  terminalOf,
  type Wire,
} from '../fixtures/wire-server.ts'

/** Asks all questions at once, and says how each ended. */
const curious = defineAgent({
  name: 'curious',
  description: 'Asks many questions at once',
  input: z.object({ ids: z.array(z.string()) }),
  async *run({ ids }, { ask }) {
    const outcomes = ids.map(requestId =>
      ask({ requestId, kind: 'question', message: 'Well?' }).then(
        ({ value }) => ({ type: 'x.answered' as const, data: { requestId, value } }),
        ({ code, message, details }) => ({
          type: 'x.refused' as const,
          data: { requestId, code, message, details },
        }),
      ),
    )
    while (outcomes.length > 0) {
      const { event, at } = await Promise.race(outcomes.map(async (one, at) => ({ event: await one, at })))
      outcomes.splice(at, 1)
      yield event
    }
  },
})

const LIMITS = { runs: 2, questions: 3, questionsOfRun: 2 }

const started = (runId: string) => ({ type: 'run.started', runId, data: { agent: 'theirs', input: null } })
const completed = (runId: string) => ({ type: 'run.completed', runId, data: { finishReason: 'stop' } })
const asked = (requestId: string, runId: string) => ({
  type: 'input.requested',
  runId,
  data: { requestId, kind: 'question', message: 'Well?' },
})
const expired = (requestId: string, runId: string) => ({
  type: 'input.expired',
  runId,
  data: { requestId },
})
const lines = (events: readonly object[]) => events.map(event => JSON.stringify(event)).join('\n')

const start = (wire: Wire, runId: string) =>
  command(wire.url, 's', { type: 'run.start', agent: 'idle', input: null, runId })

const tooManyRuns = {
  code: 'conflict',
  message: 'the session has 2 open runs, which is the maximum; end or cancel some first',
  details: { open: 'runs', max: 2 },
}

const serveLimited = (t: Parameters<typeof serve>[0]) =>
  serve(t, { open: LIMITS, agents: [...agents, curious] })

t.test('a run too many is refused by every door, and one that ends makes room', async t => {
  const wire = await serveLimited(t)
  const { url } = wire
  t.equal((await start(wire, 'a')).status, 200)
  t.equal((await ingest(url, 's', started('b'))).status, 200)
  const head = await headOf(url, 's')

  t.match(await start(wire, 'c'), { status: 409, body: tooManyRuns }, 'a command')
  t.match(await ingest(url, 's', started('c')), { status: 409, body: { error: tooManyRuns } }, 'ingest')
  const list = await ingest(url, 's', [{ type: 'x.n', data: {} }, started('c')])
  t.match(list, { status: 409, body: { error: tooManyRuns } }, 'a list, as a whole')
  t.equal(await headOf(url, 's'), head, 'nothing was appended')

  t.equal((await start(wire, 'a')).status, 200, 'a repeated start is no new run')
  await command(url, 's', { type: 'run.cancel', runId: 'early' })
  t.match(await start(wire, 'early'), { status: 409, body: tooManyRuns }, 'a start that was cancelled before')

  const seq = await ingestLines(url, 's', lines([{ type: 'x.n', data: {} }, started('c'), started('d')]))
  t.match(seq, { status: 409, body: { error: { code: 'conflict', details: { open: 'runs', count: 1 } } } })
  t.match(
    seq.body.error?.message,
    /^line 2: the session has 2 open runs/,
    'lines stop at the first that is too many',
  )

  await command(url, 's', { type: 'run.cancel', runId: 'a' })
  t.match((await start(wire, 'early')).status, 200, 'it has room now, and ends at once')
  t.equal((await start(wire, 'c')).status, 200)
  t.match(await start(wire, 'd'), { status: 409, body: tooManyRuns })
  await ingest(url, 's', completed('b'))
  t.equal((await start(wire, 'd')).status, 200)
  t.equal((await state(url, 's')).runs?.filter(({ status }) => status === 'running').length, 2)

  await fetch(`${url}/v1/sessions/s`, { method: 'DELETE' })
  for (const runId of ['a', 'b']) t.equal((await start(wire, runId)).status, 200, 'deleting forgets them')
})

t.test('runs that follow one another fit, however many a body has', async t => {
  const wire = await serveLimited(t)
  const runs = Array.from({ length: 300 }, (_, i) => [started(`r${i}`), completed(`r${i}`)]).flat()
  t.match(await ingest(wire.url, 's', runs), { status: 200, body: { count: 600 } })
  t.match(await ingestLines(wire.url, 's2', lines(runs)), { status: 200, body: { count: 600 } })
})

t.test('a question too many is refused by ingest, of a run and of the session', async t => {
  const { url } = await serveLimited(t)
  await ingest(url, 's', [started('a'), started('b'), asked('a1', 'a'), asked('a2', 'a')])
  t.match(await ingest(url, 's', asked('a3', 'a')), {
    status: 409,
    body: {
      error: {
        code: 'conflict',
        message: 'the run has 2 open questions, which is the maximum; answer some first',
        details: { open: 'questions', max: 2, runId: 'a' },
      },
    },
  })
  t.equal((await ingest(url, 's', asked('b1', 'b'))).status, 200)
  const tooMany = {
    status: 409,
    body: {
      error: {
        message: /^the session has 3 open questions, which is the maximum/,
        details: { open: 'questions', max: 3 },
      },
    },
  }
  t.match(await ingest(url, 's', asked('b2', 'b')), tooMany)
  await command(url, 's', { type: 'input.answer', requestId: 'a1', value: 1 })
  t.equal((await ingest(url, 's', asked('b2', 'b'))).status, 200, 'an answer makes room')
  t.match(await ingest(url, 's', asked('a3', 'a')), tooMany)
  await ingest(url, 's', expired('a2', 'a'))
  t.equal((await ingest(url, 's', asked('a3', 'a'))).status, 200, 'so does one that has expired')
  await ingest(url, 's', completed('b'))
  t.equal(
    (await ingest(url, 's', asked('a4', 'a'))).status,
    200,
    'the end of a run takes its questions along',
  )
  await ingest(url, 's', [started('c'), asked('c1', 'c')])
  t.match(await ingest(url, 's', asked('c2', 'c')), tooMany)
  t.equal((await state(url, 's')).pendingInputs?.length, 3)
})

t.test('the questions of a session take so many bytes at most, of all its runs together', async t => {
  const { url } = await serve(t, { open: { questionBytes: 100_000 }, agents })
  const long = (requestId: string, runId: string, length: number) => {
    const { data, ...event } = asked(requestId, runId)
    return { ...event, data: { ...data, message: 'x'.repeat(length) } }
  }
  await ingest(url, 's', [started('a'), started('b'), long('a1', 'a', 50_000)])
  const tooMuch = {
    code: 'conflict',
    message: "the session's open questions would take more than 100000 bytes of JSON; answer some first",
    details: { open: 'questionBytes', max: 100_000 },
  }
  t.match(await ingest(url, 's', long('b1', 'b', 50_000)), { status: 409, body: { error: tooMuch } })
  t.equal((await ingest(url, 's', long('b1', 'b', 49_000))).status, 200, 'a smaller one fits')
  await command(url, 's', { type: 'input.answer', requestId: 'a1', value: 1 })
  t.equal((await ingest(url, 's', long('a2', 'a', 50_000))).status, 200, 'an answer makes room')
})

t.test('what was declared as expired before it was asked counts none the less', async t => {
  const { url } = await serveLimited(t)
  const ids = ['q1', 'q2']
  await ingest(url, 's', [started('a'), ...ids.map(id => expired(id, 'a'))])
  await ingest(
    url,
    's',
    ids.map(id => asked(id, 'a')),
  )
  t.equal((await state(url, 's')).pendingInputs?.length, 2)
  t.match(await ingest(url, 's', asked('q3', 'a')), { status: 409 })
})

t.test('an agent that asks too much gets the refusal, and its run goes on', async t => {
  const { url } = await serveLimited(t)
  const ids = ['q1', 'q2', 'q3']
  const runId = await startRun(url, 's', 'curious', { ids })
  await eventually(t, 'it asks', async () => (await state(url, 's')).pendingInputs?.length === 2)
  for (const requestId of ids.slice(0, 2)) {
    await command(url, 's', { type: 'input.answer', requestId, value: 'yes' })
  }
  t.match(await terminalOf(url, 's', runId), { type: 'run.completed' })
  const page = await fetch(`${url}/v1/sessions/s/events`, { headers: { accept: 'application/json' } })
  const { events } = (await page.json()) as { events: { type: string; data: object }[] }
  const outcomes = events
    .filter(({ type }) => type.startsWith('x.'))
    .map(({ type, data }) => ({ type, data }))
  t.match(outcomes.find(({ type }) => type === 'x.refused')?.data, {
    requestId: 'q3',
    code: 'conflict',
    message: /^the run has 2 open questions/,
    details: { open: 'questions', max: 2, runId },
  })
  t.equal(outcomes.filter(({ type }) => type === 'x.answered').length, 2)
})

t.test('what was open in an archive is open after its import, and counts', async t => {
  const source = new Journal(createMemoryLog())
  for (const id of ['a', 'b', 'c']) {
    const once = [{ key: keys.run(id), note: {} }]
    t.match(await source.append('s', [started(id)], { create: true, once }), { accepted: true })
  }
  await source.append('s', [completed('a')], { once: [{ key: keys.end('a') }] })
  const text = await textOf('log', copiesOf(source))
  const server = text.replace('"source":"log"', '"source":"server"').split('\n')
  const kept = server.slice(0, -2).filter(line => !line.startsWith('{"record"'))
  for (const archive of [text, await sealed(kept, { sessions: 1, events: 4 })]) {
    const journal = new Journal(createMemoryLog(), LIMITS)
    t.match(await importArchive(journal, () => chunksOf(archive)), { events: 4 })
    const open = (id: string) =>
      journal.append('s', [started(id)], { once: [{ key: keys.run(id), note: {} }] })
    t.match(await open('d'), { accepted: false, reason: 'open' })
    await journal.append('s', [completed('b')], { once: [{ key: keys.end('b') }] })
    t.match(await open('d'), { accepted: true })
  }
})

t.test('runs that were open before they were counted do not count, and end as any', async t => {
  const log = createMemoryLog()
  // As a version without tallies has written them.
  for (const id of ['old1', 'old2', 'old3']) {
    await log.append('s', [], { create: true, once: [{ key: keys.run(id), note: {} }] })
  }
  const journal = new Journal(log, LIMITS)
  const open = (id: string) =>
    journal.append('s', [started(id)], { once: [{ key: keys.run(id), note: {} }] }).then(one => one.accepted)
  t.same([await open('a'), await open('b'), await open('c')], [true, true, false])
  await journal.append('s', [completed('old1')], { once: [{ key: keys.end('old1') }] })
  t.equal(await open('c'), false)
  await journal.append('s', [completed('a')], { once: [{ key: keys.end('a') }] })
  t.equal(await open('c'), true)
})

t.test('the defaults', async t => {
  const log = createMemoryLog()
  const journal = new Journal(log)
  const batch = (kind: 'run' | 'input', count: number, from: number, note?: object) => {
    const ids = Array.from({ length: count }, (_, i) => `${from + i}`)
    const bodies = ids.map(id => (kind === 'run' ? started(id) : asked(id, '7')))
    const once = ids.map((id, index) => ({ key: keys[kind](id), note, index }))
    return journal.append('s', bodies, { create: true, once })
  }
  t.match(await batch('run', 1001, 0), { reason: 'open', max: 1000 })
  t.match(await batch('run', 1000, 0), { accepted: true })
  t.match(await batch('input', 101, 0, { runId: '7' }), { reason: 'open', max: 100, group: '7' })
  t.match(await batch('input', 1001, 0), { reason: 'open', max: 1000 })
  t.match(await batch('input', 100, 0, { runId: '7' }), { accepted: true })
  t.match(await batch('input', 900, 100), { accepted: true })
  t.match(await batch('input', 1, 2000), { reason: 'open', tally: 'questions', max: 1000 })
})
