import { Validator } from '@cfworker/json-schema'
import t from 'tap'
import * as Y from 'yjs'
import { isTerminal, parseEventBody } from '../package/protocol.ts'
import { seeded, shuffled } from '../random.ts'
import { type Cue, during, play, takesOf } from '../workloads/trace.ts'
import { workloads } from '../workloads/workloads.ts'

const MINUTE = 60_000
const names = Object.keys(workloads).filter(name => name !== 'idle' && name !== 'buffered')

const of = (cues: readonly Cue[], type: string) => cues.filter(cue => cue.type === type)

for (const name of names) {
  t.test(
    `${name}: valid events in order, equal for equal seeds; each run starts once and ends once`,
    async t => {
      const cues = during(play(name, 7), MINUTE)
      t.ok(cues.length >= 5, `${cues.length} events in a minute`)
      // As text: tap takes half a minute to compare thousands of objects.
      const text = JSON.stringify(cues)
      t.ok(JSON.stringify(during(play(name, 7), MINUTE)) === text, 'equal seeds give equal events')
      t.ok(JSON.stringify(during(play(name, 8), MINUTE)) !== text, 'other seeds give other events')
      t.ok(
        cues.every(({ atMs }, i) => atMs >= (cues[i - 1]?.atMs ?? 0)),
        'in the order of their time',
      )
      for (const { type, data, runId } of cues) parseEventBody({ type, data, ...(runId && { runId }) })
      t.ok(
        cues.every(({ data }) => Object.keys(data).length > 0),
        'no event is empty',
      )
      t.ok(
        cues.every(({ type, ephemeral }) => !ephemeral || type.startsWith('x.')),
        'only custom types are ephemeral',
      )
      t.notMatch(text, /\$run/, 'every run has its id')
      const runs = groupByRun(cues)
      for (const [index, [runId, events]] of [...runs].entries()) {
        t.equal(events[0]?.type, 'run.started', runId)
        const ends = events.filter(({ type }) => isTerminal(type))
        t.equal(ends.length, index === runs.size - 1 ? ends.length : 1, `${runId} ends once`)
        if (ends.length > 0) t.equal(events.at(-1), ends[0], `${runId}: nothing follows its end`)
      }
    },
  )
}

function groupByRun(cues: readonly Cue[]): Map<string, Cue[]> {
  const runs = new Map<string, Cue[]>()
  for (const cue of cues) if (cue.runId) runs.set(cue.runId, [...(runs.get(cue.runId) ?? []), cue])
  return runs
}

t.test('each workload has the rate that its description promises', async t => {
  const rates: Record<string, [least: number, most: number]> = {
    chat: [20, 100],
    editing: [20, 60],
    training: [20, 25],
    game: [38, 44],
    documents: [15, 40],
    dashboards: [1.9, 2.1],
    mobile: [0.5, 1.5],
    binary: [19, 22],
    approvals: [10, 30],
  }
  t.same(Object.keys(rates).sort(), [...names].sort())
  for (const [name, [least, most]] of Object.entries(rates)) {
    const perSecond = during(play(name, 1), 2 * MINUTE).length / 120
    t.ok(perSecond >= least && perSecond <= most, `${name}: ${perSecond} events/s`)
  }
})

t.test('sessions of a recording without runs begin at different places', async t => {
  const first = [1, 2, 3, 4, 5].map(seed => play('mobile', seed).next().value.atMs)
  t.equal(new Set(first).size, 5, first.join())
})

t.test('recorded edits are Yjs updates: any order gives the same text, a missing one shows', async t => {
  const [take] = takesOf('editing')
  const cues = take?.lines.map(line => JSON.parse(line) as Cue) ?? []
  const updates = of(cues, 'x.edit').map(({ data }) => Buffer.from(data['update'] as string, 'base64'))
  const textOf = (all: readonly Buffer[]) => {
    const document = new Y.Doc()
    for (const update of all) Y.applyUpdate(document, update)
    return document.getText('text').toString()
  }
  const text = textOf(updates)
  t.ok(text.length > 100, text)
  t.equal(textOf(shuffled(updates, seeded(1))), text)
  t.not(textOf(updates.slice(0, -1)), text)
})

t.test('recorded moves alternate; each game ends with its result', async t => {
  for (const { lines } of takesOf('game')) {
    const cues = lines.map(line => JSON.parse(line) as Cue)
    const moves = of(cues, 'x.move').map(({ data }) => data['by'])
    t.ok(moves.every((by, i) => by === (i % 2 === 0 ? 'player' : 'ai')))
    t.equal(cues.at(-1)?.type, 'x.over')
  }
})

t.test('the pieces of recorded sound are one WAV file', async t => {
  const cues = takesOf('binary')[0]?.lines.map(line => JSON.parse(line) as Cue) ?? []
  const file = Buffer.from(
    of(cues, 'artifact.delta')
      .map(({ data }) => data['delta'])
      .join(''),
    'base64',
  )
  t.equal(file.toString('latin1', 0, 4), 'RIFF')
  t.equal(file.readUInt32LE(4), file.length - 8)
})

t.test('recorded answers of users fit the schema of their request', async t => {
  for (const { lines } of takesOf('approvals')) {
    const cues = lines.map(line => JSON.parse(line) as Cue)
    const [request] = of(cues, 'input.requested')
    const [answer] = of(cues, 'input.answered')
    t.equal(answer?.data['requestId'], request?.data['requestId'])
    const validator = new Validator(request?.data['schema'] as object)
    t.ok(validator.validate(answer?.data['value']).valid)
    t.notOk(validator.validate(17).valid)
  }
})
