/** The parts of the page that are no components: forms from schemas, blocks of a growing text, and the count of events. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import t from 'tap'
import { z } from 'zod'
import { formsOf, inputOf, textOf } from '../../client/playground/agent-form.ts'
import { Blocks } from '../../client/playground/blocks.ts'
import { countLine, Ledger } from '../../client/playground/ledger.ts'
import { PlaybackInput } from '../../src/agents/playback.ts'

const formOf = (schema: z.ZodType) => formsOf(z.toJSONSchema(schema, { io: 'input' }))

t.test('a form has a field of the fitting kind for each property', async t => {
  const [form] = formOf(
    z.object({
      maxSources: z.int().min(1).max(20).default(5).describe('At most this many'),
      query: z.string().max(2000),
      title: z.string().max(80).optional(),
      deep: z.boolean().optional(),
      style: z.enum(['short', 'long']).default('short'),
      tags: z.array(z.string()).optional(),
      weight: z.number().nullable().optional(),
      rest: z.record(z.string(), z.unknown()).optional(),
      whole: z.int(),
    }),
  )
  t.same(
    form!.fields.map(({ name, kind, required }) => [name, kind, required]),
    [
      ['query', 'text', true],
      ['whole', 'number', true],
      ['maxSources', 'number', false],
      ['title', 'line', false],
      ['deep', 'check', false],
      ['style', 'choice', false],
      ['tags', 'lines', false],
      ['weight', 'number', false],
      ['rest', 'json', false],
    ],
    'what a user says first, then what is required',
  )
  const field = (name: string) => form!.fields.find(field => field.name === name)!
  t.match(field('maxSources'), {
    label: 'Max sources',
    hint: 'At most this many',
    initial: '5',
    minimum: 1,
    maximum: 20,
    whole: true,
  })
  t.same(field('style').options, ['short', 'long'])
  t.equal(field('whole').maximum, undefined, 'the bound of safe integers is no hint')
  t.equal(textOf(z.toJSONSchema(z.object({ query: z.string() }))), 'query')
  t.equal(textOf(z.toJSONSchema(z.object({ count: z.number() }))), undefined)
})

t.test('an input of several shapes has a form for each, and one without a shape is JSON', async t => {
  const forms = formOf(PlaybackInput)
  t.equal(forms.length, 2)
  t.same(
    forms.map(({ fields }) => fields.filter(({ required }) => required).map(({ name }) => name)),
    [['count', 'rate'], ['events']],
  )
  for (const schema of [undefined, true, {}, { type: 'string' }, { anyOf: [{ type: 'string' }, {}] }]) {
    const [form, ...others] = formsOf(schema)
    t.same(others, [])
    t.match(form, { title: 'JSON', fields: [{ name: '', kind: 'json', initial: '{}' }] })
    t.same(inputOf(form!, { '': '[1]' }), [1])
  }
})

t.test('what was filled in becomes the input that the schema accepts', async t => {
  const schema = z.object({
    query: z.string(),
    count: z.int().optional(),
    deep: z.boolean().optional(),
    sure: z.boolean(),
    tags: z.array(z.string()).optional(),
    rest: z.unknown().optional(),
  })
  const [form] = formOf(schema)
  const input = inputOf(form!, { query: 'why?', count: '3', tags: 'a\n\n b', rest: '{"a":[1]}' })
  t.same(input, { query: 'why?', count: 3, sure: false, tags: ['a', ' b'], rest: { a: [1] } })
  t.ok(schema.safeParse(input).success)
  t.same(inputOf(form!, { query: '', deep: 'false', sure: 'true' }), { query: '', deep: false, sure: true })
  t.throws(() => inputOf(form!, { query: '', rest: '{' }), { message: /^Rest: expected JSON/ })
})

/** Texts of the pieces that blocks are made of, so that cuts meet them in every order. */
const markdown = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '\n',
        '\n\n',
        '# A heading\n',
        '```\ncode\n\nmore\n```\n',
        '- one\n- two\n',
        ' ',
        '. ',
        '   ',
      ),
      fc.string({ unit: 'grapheme', maxLength: 12 }),
      fc.nat(60).map(count => 'word '.repeat(count)),
    ),
    { maxLength: 60 },
  )
  .map(pieces => pieces.join(''))

const dense = (text: string) => text.replace(/\s/g, '')

t.test('blocks of a growing text', async t => {
  fc.assert(
    fc.property(markdown, fc.array(fc.nat(200), { maxLength: 30 }), (text, steps) => {
      const blocks = new Blocks()
      let at = 0
      let before: readonly string[] = []
      for (const step of [...steps, text.length]) {
        at = Math.min(text.length, at + step)
        const now = blocks.of(text.slice(0, at))
        if (dense(now.join('')) !== dense(text.slice(0, at))) return false
        // All but the last one that there was are complete.
        if (!before.slice(0, -1).every((block, i) => block === now[i])) return false
        if (now.some(block => block.trim() === '')) return false
        before = now
      }
      return true
    }),
  )
  const blocks = new Blocks()
  t.same(blocks.of('One.\n\n# Two\n```\na\n\nb\n```\n- x\n- y'), [
    'One.',
    '# Two',
    '```\na\n\nb\n```',
    '- x\n- y',
  ])
  t.same(blocks.of('Another text'), ['Another text'], 'another text starts anew')
  t.same(blocks.of('Another'), ['Another'], 'and a shorter one')
  const long = 'A sentence of a long paragraph. '.repeat(400)
  const cut = new Blocks().of(long)
  t.ok(cut.every(block => block.length <= 2000))
  t.equal(dense(cut.join('')), dense(long))
})

t.test('blocks that somebody keeps do not keep the text that they were cut from', async t => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const heap = () => {
    collect()
    return process.memoryUsage().heapUsed
  }
  const blocks = new Blocks()
  /** As React keeps the properties of a component that did not change: by value. */
  const kept: string[] = []
  const before = heap()
  let text = ''
  for (let paragraph = 0; paragraph < 200; paragraph++) {
    // A block is seen complete before the next one begins.
    for (const piece of ['A word '.repeat(250), String(paragraph), '\n\nNext: ']) {
      text += piece
      for (const [i, block] of blocks.of(text).entries()) if (kept[i] !== block) kept[i] = block
    }
  }
  const grown = heap() - before
  t.comment(`${(text.length / 1e6).toFixed(1)} M characters, ${(grown / 1e6).toFixed(1)} MB`)
  t.ok(grown < 10e6, `${grown} bytes for ${text.length} characters in ${kept.length} blocks`)
})

t.test('a ledger counts by offsets what was lost and what came twice', async t => {
  const ledger = new Ledger()
  const event = (seq: number, more = {}) => ({ type: 'text.delta', runId: 'r', offset: `7-${seq}`, ...more })
  for (const seq of [1, 2, 3]) ledger.add(event(seq))
  ledger.add(event(6, { from: '7-4' }))
  t.same(
    ledger.of('r'),
    { last: 6, seen: 6, twice: 0, ended: false },
    'a folded event counts as those that it joins',
  )
  ledger.add(event(6))
  ledger.add(event(7, { from: '7-5' }))
  t.match(ledger.of('r'), { seen: 7, twice: 3 })
  ledger.add(event(9, { type: 'run.completed' }))
  t.match(ledger.of('r'), { seen: 8, twice: 3, ended: true })
  t.equal(ledger.seq, 9)
  ledger.add({ type: 'caught-up', offset: '7-9' })
  ledger.add({ type: 'x.note', offset: '7-10' })
  t.equal(ledger.seq, 10, 'events of no run move the place only')
  t.match(ledger.of('other'), { seen: 0, twice: 0, ended: false })

  const whole = { seen: 9, twice: 0, ended: true }
  t.equal(countLine(9, [whole, whole]), '9 of 9 events on both rails: 0 lost, 0 twice')
  t.equal(
    countLine(9, [whole, { ...whole, seen: 8, twice: 2 }]),
    '9 on rail A and 8 on rail B of 9 events: 1 lost, 2 twice',
  )
  ledger.add({ type: 'reset' })
  t.equal(ledger.seq, 0)
  t.match(ledger.of('r'), { seen: 0 }, 'another life of the log')
  for (let run = 0; run < 150; run++) ledger.add({ ...event(run + 1), runId: `run-${run}` })
  t.match(ledger.of('run-149'), { seen: 1 })
  t.match(ledger.of('run-0'), { seen: 0 }, 'the oldest runs are forgotten')
})
