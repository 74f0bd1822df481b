import t, { type Test } from 'tap'
import { runCommand } from '../../src/cli/run.ts'
import { tailCommand } from '../../src/cli/tail.ts'
import { type StageOptions, shown, stage } from './stage.ts'

const deepsearch = { agent: 'deepsearch', input: 'why?' }
const schema = { type: 'object', properties: { approved: { type: 'boolean' } }, required: ['approved'] }

const asked = (data: object) => ({
  type: 'input.requested',
  data: { requestId: 'q1', kind: 'approval', message: 'Shall I?', ...data },
})
const completed = { type: 'run.completed', data: { finishReason: 'stop' } }

/** A run that ends as soon as it is answered. */
function waiting(t: Test, question: object, options: StageOptions = {}) {
  return stage(t, {
    events: [asked(question)],
    open: true,
    tty: true,
    answer: ({ type, value }, fake) => {
      if (type !== 'input.answer') return undefined
      if (value === 'bad') {
        const nack = {
          type: 'nack',
          id: '1',
          code: 'bad-request',
          message: 'value: too bad',
          retryable: false,
        }
        return { status: 400, body: nack }
      }
      fake.say({ type: 'input.answered', data: { requestId: 'q1', value } })
      fake.say(completed)
      return undefined
    },
    ...options,
  })
}

t.test('an approval is answered by y in the form that its schema asks for', async t => {
  const { options, stdin, stderr, commands } = await waiting(t, { schema })
  const running = runCommand({ ...options, ...deepsearch })
  await shown(stderr, '[y/n, or JSON]>')
  stdin.write('perhaps\n')
  await shown(stderr, 'Type y, n')
  stdin.write('y\n')
  t.equal(await running, 0)
  t.match(commands.at(-1), { type: 'input.answer', requestId: 'q1', value: { approved: true } })
  t.match(stderr.text, '? Shall I?')
})

t.test('a question is answered by text, and asked again when refused', async t => {
  const { options, stdin, stderr, commands } = await waiting(t, { kind: 'question', message: 'Which?' })
  const running = runCommand({ ...options, ...deepsearch })
  await shown(stderr, '> ')
  stdin.write('bad\n')
  await shown(stderr, 'value: too bad')
  stdin.write('the second one\n')
  t.equal(await running, 0)
  t.match(commands.at(-1), { type: 'input.answer', value: 'the second one' })
})

t.test('the prompt is withdrawn when another client answers', async t => {
  const { options, fake, stderr, commands } = await waiting(t, {})
  const running = runCommand({ ...options, ...deepsearch })
  await shown(stderr, '[y/n, or JSON]>')
  fake.say({ type: 'input.answered', by: 'ann', data: { requestId: 'q1', value: true } })
  fake.say(completed)
  t.equal(await running, 0)
  t.equal(commands.length, 1, 'only the start')
  t.match(stderr.text, '↳ true (ann)')
})

t.test('Ctrl-C at the prompt interrupts', async t => {
  const { options, stdin, stderr, commands } = await waiting(
    t,
    {},
    {
      answer: ({ type }, fake) => {
        if (type === 'run.cancel') fake.say({ type: 'run.cancelled', data: { reason: 'interrupted' } })
        return undefined
      },
    },
  )
  const running = runCommand({ ...options, ...deepsearch })
  await shown(stderr, '[y/n, or JSON]>')
  stdin.write('\x03')
  t.equal(await running, 130)
  t.match(commands.at(-1), { type: 'run.cancel' })
})

t.test('without a terminal it says how to answer', async t => {
  const { options, fake, stderr } = await waiting(t, {}, { tty: false })
  const running = runCommand({ ...options, ...deepsearch })
  await shown(stderr, 'To answer')
  t.match(stderr.text, `${fake.url}/#`)
  t.match(stderr.text, '"type":"input.answer","requestId":"q1"')
  fake.say(completed)
  t.equal(await running, 0)
})

t.test('asks nothing that the backlog answers', async t => {
  const { options, stderr } = await stage(t, {
    events: [asked({}), { type: 'input.answered', data: { requestId: 'q1', value: true } }, completed],
    tty: true,
  })
  t.equal(await tailCommand({ ...options, sessionId: 's1' }), 0)
  t.notMatch(stderr.text, 'y/n')
})
