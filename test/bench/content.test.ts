import { Validator } from '@cfworker/json-schema'
import t from 'tap'
import { approvals, requests } from '../../bench/content/approvals.ts'
import { binary, PIECE_MS } from '../../bench/content/binary.ts'
import { chat, PACE } from '../../bench/content/chat.ts'
import { Board } from '../../bench/content/connect-four.ts'
import { type Content, type Cue, during } from '../../bench/content/content.ts'
import { dashboard } from '../../bench/content/dashboards.ts'
import { documents, SUMMARY_TOKENS_PER_SECOND, summary, terms } from '../../bench/content/documents.ts'
import { editing, KEYS_PER_SECOND, Replica, textAfter } from '../../bench/content/editing.ts'
import { game, type Moved } from '../../bench/content/game.ts'
import { mobile } from '../../bench/content/mobile.ts'
import { sections, tokens } from '../../bench/content/repository.ts'
import { STEPS_PER_SECOND, training } from '../../bench/content/training.ts'
import { seeded, shuffled } from '../../bench/random.ts'
import { isTerminal, parseEventBody } from '../../src/protocol/index.ts'

const contents: Record<string, (seed: number) => Content> = {
  chat,
  editing,
  game,
  training,
  documents,
  dashboards: seed => dashboard(seed, 3),
  binary,
  mobile,
  approvals,
}

const MINUTE = 60_000

/** Events per second. */
const rate = (cues: readonly Cue[], ms: number) => (1000 * cues.length) / ms

const of = (cues: readonly Cue[], type: string) => cues.filter(cue => cue.type === type)

for (const [name, content] of Object.entries(contents)) {
  t.test(name, async t => {
    const cues = during(content(7), MINUTE)
    t.ok(cues.length >= 5, `${cues.length} events in a minute`)
    // As text: tap compares thousands of objects for half a minute.
    const text = JSON.stringify(cues)
    t.ok(JSON.stringify(during(content(7), MINUTE)) === text, 'the same for the same seed')
    t.ok(JSON.stringify(during(content(8), MINUTE)) !== text, 'other for another')
    t.ok(
      cues.every(({ atMs }, i) => atMs >= (cues[i - 1]?.atMs ?? 0)),
      'in the order of their time',
    )
    for (const { type, data, runId } of cues) parseEventBody({ type, data, ...(runId && { runId }) })
    t.ok(
      cues.every(({ data }) => Object.keys(data).length > 0),
      'none is empty',
    )
    t.ok(
      cues.every(({ type, ephemeral }) => !ephemeral || type.startsWith('x.')),
      'only own types are ephemeral',
    )
    const runs = new Map<string, Cue[]>()
    for (const cue of cues) if (cue.runId) runs.set(cue.runId, [...(runs.get(cue.runId) ?? []), cue])
    for (const [index, [runId, events]] of [...runs].entries()) {
      t.equal(events[0]?.type, 'run.started', runId)
      const ends = events.filter(({ type }) => isTerminal(type))
      t.equal(ends.length, index === runs.size - 1 ? ends.length : 1, `${runId} ends once`)
      if (ends.length > 0) t.equal(events.at(-1), ends[0], `${runId}: nothing follows`)
    }
  })
}

t.test('the documents are read as sentences', async t => {
  t.ok(sections().length > 20)
  t.ok(sections().every(({ text }) => !/\*\*|`|^\s*\|/m.test(text)))
  t.notOk(sections().some(({ file }) => file.endsWith('selection-guide.md')))
  const { text } = sections()[0] as { text: string }
  t.equal(tokens(text).join(''), text, 'tokens are the whole text')
})

t.test('chat speaks at a model’s pace', async t => {
  const cues = during(chat(1), 5 * MINUTE)
  const answers = of(cues, 'text.start')
  t.ok(answers.length > 5, 'one conversation after the other')
  for (const start of answers.slice(0, -1)) {
    const deltas = of(cues, 'text.delta').filter(({ runId }) => runId === start.runId)
    const ms = (deltas.at(-1)?.atMs ?? 0) - start.atMs
    if (deltas.length < 50) continue
    const perSecond = rate(deltas, ms)
    t.ok(perSecond > PACE[0] * 0.75 && perSecond < PACE[1] * 1.1, `${perSecond} tokens/s`)
    const text = deltas.map(({ data }) => data['delta']).join('')
    t.ok(sections().some(section => section.text === text))
  }
})

t.test('editors that get each other’s updates in any order hold the same text', async t => {
  const cues = during(editing(3), MINUTE)
  const updates = of(cues, 'x.edit').map(({ data }) => data['update'] as string)
  const text = textAfter(updates)
  t.ok(text.length > 200)
  t.equal(textAfter(shuffled(updates, seeded(1))), text)
  t.equal(textAfter([...updates, ...updates]), text, 'twice is once')
  t.not(textAfter(updates.slice(0, -1)), text, 'a lost update shows')
  const editors = new Set(of(cues, 'x.edit').map(({ data }) => data['editor']))
  t.same([...editors].sort(), [0, 1, 2, 3])
  const perSecond = rate(of(cues, 'x.edit'), MINUTE)
  t.ok(perSecond > KEYS_PER_SECOND && perSecond < KEYS_PER_SECOND * 4, `${perSecond} keys/s`)
  t.ok(of(cues, 'x.cursor').every(({ ephemeral }) => ephemeral))
  t.ok(of(cues, 'x.cursor').length > 100)
})

t.test('deletions are among the edits', async t => {
  const replica = new Replica(0)
  let shrank = 0
  for (const { data } of of(during(editing(3, 1), MINUTE), 'x.edit')) {
    const before = replica.length
    replica.apply(data['update'] as string)
    if (replica.length < before) shrank++
  }
  t.ok(shrank > 5)
})

t.test('games are legal, alternate, keep the tick and end', async t => {
  const cues = during(game(5, 50), MINUTE)
  const winners = of(cues, 'x.over').map(({ data }) => data['winner'])
  t.ok(winners.length > 20)
  t.ok(winners.includes('ai'))
  t.ok(winners.filter(winner => winner === 'ai').length > winners.length / 2, 'the AI looks further ahead')
  let board = new Board()
  let number = 1
  for (const { atMs, type, data } of cues) {
    if (type === 'x.over') {
      board = new Board()
      number += 1
      continue
    }
    const { game, by, column, row, move } = data as unknown as Moved
    const expected = {
      game: number,
      by: board.moves % 2 === 0 ? 'player' : 'ai',
      inTick: board.moves % 2 === 0 ? 0 : 25,
      row: board.play(column, by === 'player' ? 1 : 2).row,
      move: board.moves,
    }
    const got = { game, by, inTick: atMs % 50, row, move }
    if (JSON.stringify(got) !== JSON.stringify(expected)) t.same(got, expected)
  }
})

t.test('connect four knows who has won', async t => {
  const play = (columns: number[]) => {
    const board = new Board()
    const wins = columns.map((column, i) => board.wins(board.play(column, i % 2 === 0 ? 1 : 2)))
    return wins.at(-1)
  }
  t.ok(play([0, 1, 0, 1, 0, 1, 0]), 'upright')
  t.ok(play([0, 0, 1, 1, 2, 2, 3]), 'flat')
  t.ok(play([0, 1, 1, 2, 2, 3, 2, 3, 3, 6, 3]), 'rising')
  t.notOk(play([0, 1, 0, 1, 0, 1, 1]))
  const board = new Board()
  for (const [i, column] of [0, 1, 0, 1, 0].entries()) board.play(column, i % 2 === 0 ? 1 : 2)
  t.equal(board.best(2, 4).column, 0, 'keeps the other from winning')
  t.throws(() => [0, 0, 0, 0].map(column => board.play(column, 1)), RangeError)
})

t.test('the network learns', async t => {
  const cues = during(training(2), 11_000)
  const steps = of(cues, 'x.metrics')
  const mean = (part: Cue[], key: string) =>
    part.reduce((sum, { data }) => sum + (data[key] as number), 0) / part.length
  const first = steps.slice(0, 20)
  const last = steps.slice(180, 200)
  t.ok(mean(last, 'loss') < mean(first, 'loss') / 2, 'loss falls')
  t.ok(mean(last, 'accuracy') > 0.9)
  t.ok(steps.every(({ data }) => (data['gradientNorm'] as number) > 0))
  t.ok(Math.abs(rate(steps, 11_000) - STEPS_PER_SECOND) < 1)
  t.equal(of(cues, 'run.completed').length, 1)
})

t.test('documents are counted and summed up in their own words', async t => {
  t.same(terms('A cursor is a cursor; the stream has events, and events have offsets.', 2), [
    { term: 'cursor', times: 2 },
    { term: 'events', times: 2 },
  ])
  const text = 'Events are kept. A log keeps events in order. Cats sleep.'
  t.equal(summary(text, 2), 'Events are kept. A log keeps events in order.')
  const cues = during(documents(1), MINUTE)
  const deltas = of(cues, 'text.delta').filter(({ runId }) => runId === 'documents-1-1')
  const ms = (deltas.at(-1)?.atMs ?? 0) - (deltas[0]?.atMs ?? 0)
  t.ok(Math.abs(rate(deltas.slice(1), ms) - SUMMARY_TOKENS_PER_SECOND) < 1)
})

t.test('dashboards report at their interval, each service for itself', async t => {
  const [one, two] = [0, 1].map(service => during(dashboard(1, service), MINUTE)) as [Cue[], Cue[]]
  t.equal(one.length, 60)
  t.equal(two.length, 60)
  t.not(one[0]?.data['service'], two[0]?.data['service'])
  t.ok(one.every(({ data }) => (data['cpu'] as number) > 0 && (data['cpu'] as number) < 1))
})

t.test('the pieces of a file put together are a WAV file', async t => {
  const pieces = of(during(binary(1), MINUTE), 'artifact.delta')
  t.ok(Math.abs(rate(pieces, MINUTE) - 1000 / PIECE_MS) < 1)
  const first = pieces.filter(({ runId }) => runId === 'binary-1-1')
  const file = Buffer.from(first.map(({ data }) => data['delta']).join(''), 'base64')
  t.equal(file.toString('latin1', 0, 4), 'RIFF')
  t.equal(file.readUInt32LE(4), file.length - 8)
  t.equal(file.readUInt32LE(40), file.length - 44)
})

t.test('notifications are as rare as asked for', async t => {
  const cues = during(mobile(1, 2000), 20 * MINUTE)
  t.ok(cues.length > 500 && cues.length < 700, `${cues.length}`)
})

t.test('what users answer is what the agent asks for', async t => {
  for (const { schema, answers, message } of requests) {
    const validator = new Validator(schema)
    for (const answer of answers) t.ok(validator.validate(answer).valid, message)
    t.notOk(validator.validate(17).valid)
  }
  const cues = during(approvals(1), MINUTE)
  for (const { runId, data, atMs } of of(cues, 'input.answered')) {
    const asked = cues.find(cue => cue.type === 'input.requested' && cue.runId === runId) as Cue
    t.equal(asked.data['requestId'], data['requestId'])
    t.ok(atMs >= asked.atMs)
  }
})
