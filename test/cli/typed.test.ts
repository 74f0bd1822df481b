import t from 'tap'
import { agentInput, UsageError } from '../../src/cli/agent-input.ts'
import { hintOf, parseAnswer, type Question } from '../../src/cli/answers.ts'
import { statusText } from '../../src/cli/status-line.ts'
import { bytes, duration, oneLine } from '../../src/cli/text.ts'

const agent = (input: unknown) => ({ name: 'a', description: '', input })
const object = (properties: object, required: string[] = []) => ({ type: 'object', properties, required })
const string = { type: 'string' }

t.test('text is put into the field that the agent’s schema has for it', async t => {
  t.same(agentInput(agent(object({ query: string, limit: {} })), 'why?'), { query: 'why?' })
  t.same(agentInput(agent(object({ message: string, input: string })), 'why?'), { message: 'why?' })
  t.same(agentInput(agent(object({ query: string, input: string }, ['input'])), 'why?'), { input: 'why?' })
  t.same(agentInput(agent({ anyOf: [object({ count: {} }), object({ prompt: string })] }), 'why?'), {
    prompt: 'why?',
  })
  t.equal(agentInput(agent(string), 'why?'), 'why?')
  t.same(agentInput(agent(object({ query: string })), '2024'), { query: '2024' }, 'a number is text as well')
})

t.test('JSON is the input as it is', async t => {
  t.same(agentInput(agent(object({ query: string })), ' {"count": 3}'), { count: 3 })
  t.same(agentInput(agent(true), '[1]'), [1])
  t.throws(() => agentInput(agent(true), '{count: 3}'), UsageError)
})

t.test('says plainly where no text fits', async t => {
  t.throws(() => agentInput(agent(object({ count: {}, rate: {} })), 'why?'), {
    message: /with some of: count, rate/,
  })
  t.throws(() => agentInput(agent({}), 'why?'), UsageError)
})

const question = (kind: Question['kind'], schema?: Question['schema']): Question => ({
  requestId: 'q',
  kind,
  message: '?',
  ...(schema !== undefined && { schema }),
})

t.test('yes and no take the form of the schema', async t => {
  const plan = object({ approved: { type: 'boolean' }, questions: { type: 'array' } }, ['approved'])
  const cases: [Question['schema'], unknown][] = [
    [undefined, true],
    [{ type: 'boolean' }, true],
    [plan, { approved: true }],
    [{ anyOf: [{ type: 'string' }, plan] }, { approved: true }],
    [{ anyOf: [{ type: 'boolean' }, plan] }, true],
  ]
  for (const [schema, value] of cases) t.same(parseAnswer(question('approval', schema), 'Y'), { value })
  t.same(parseAnswer(question('approval', plan), 'no'), { value: { approved: false } })
  t.same(parseAnswer(question('approval', plan), '{"approved":true,"questions":["a"]}'), {
    value: { approved: true, questions: ['a'] },
  })
  t.match(parseAnswer(question('approval', plan), 'hm'), { complaint: /y, n/ })
})

t.test('other questions take text, or JSON where the schema wants it', async t => {
  t.same(parseAnswer(question('question'), ' blue '), { value: 'blue' })
  t.same(parseAnswer(question('question'), '{"a":1}'), { value: { a: 1 } })
  t.same(parseAnswer(question('question', { type: 'number' }), '4'), { value: 4 })
  t.match(parseAnswer(question('question', { type: 'number' }), 'four'), { complaint: /JSON/ })
  t.match(parseAnswer(question('question'), '  '), { complaint: /answer/ })
  t.equal(hintOf(question('question', { enum: ['red', 'blue'] })), '[red/blue]')
  t.equal(hintOf(question('tool', { type: 'object' })), '[JSON]')
})

t.test('the status line shows the state of the stream', async t => {
  const open = { transport: 'sse', state: 'open', attempts: 1, bytes: 31_400 } as const
  t.equal(statusText(open, 132, 4200), 'sse · open · 132 events · 4.2 s · 31.4 kB')
  const error = new Error('cut')
  const waiting = { ...open, state: 'waiting', retryInMs: 900, error, attempts: 3 } as const
  t.equal(
    statusText(waiting, 1, 65_000),
    'sse · reconnecting in 0.9 s (cut) · 1 event · 65 s · 31.4 kB · 2 reconnects',
  )
})

t.test('numbers and lines read well', async t => {
  t.same([bytes(999), bytes(1000), bytes(2_345_678)], ['999 B', '1.0 kB', '2.3 MB'])
  t.same([duration(40), duration(59_600), duration(125_000)], ['0.0 s', '60 s', '2 min 5 s'])
  t.equal(oneLine('a\n b\x1b', 10), 'a b␛')
  t.equal(oneLine('x'.repeat(20), 10), `${'x'.repeat(9)}…`)
  t.equal(oneLine('😀'.repeat(20), 10), `${'😀'.repeat(4)}…`, 'cut between characters')
})
