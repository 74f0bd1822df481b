/** Commands that talk to a server with authorization: the token in the environment, on the command line, and as a header. */
import { createHash } from 'node:crypto'
import t from 'tap'
import { finished, serve, twinrail } from './stage.ts'

const KEY = 'a-key-that-nobody-prints'
const digest = createHash('sha256').update(KEY).digest('hex')

t.test('a server that takes one API key', async t => {
  const { url } = await serve(t, ['--api-key', `cli=sha256:${digest}`])
  const call = (args: string[], env = {}) => finished(twinrail([...args, '--url', url], env))

  for (const [way, transport, flags, env] of [
    ['the variable', 'sse', [], { TWINRAIL_TOKEN: KEY }],
    ['the flag', 'websocket', ['--token', KEY], {}],
    [
      'a header',
      'long-poll',
      ['--header', `authorization: Bearer ${KEY}`],
      { TWINRAIL_TOKEN: 'not-this-one' },
    ],
  ] as const) {
    t.test(`${way}, ${transport}`, async t => {
      const rest = ['--session', transport, '--transport', transport, '--json', ...flags]
      const run = await call(['run', 'playback', '{"count":2,"rate":100}', ...rest], env)
      t.equal(run.code, 0, run.stderr)
      const runId = JSON.parse(run.stdout.split('\n')[0] as string).runId
      const tail = ['tail', transport, '--run', runId, '--transport', transport, '--json', ...flags]
      const shown = await call(tail, env)
      t.equal(shown.code, 0, shown.stderr)
      t.match(shown.stdout, '"run.completed"')
      t.notMatch(run.stdout + run.stderr + shown.stderr, KEY)
    })
  }

  for (const [what, env] of [
    ['none', {}],
    ['a wrong one', { TWINRAIL_TOKEN: 'wrong' }],
  ] as const) {
    t.test(`${what}: the refusal says how to give one`, async t => {
      for (const args of [
        ['run', 'playback', '{"count":2,"rate":100}'],
        ['tail', 'sse'],
      ]) {
        const { code, stderr } = await call(args, env)
        t.equal(code, 2)
        t.match(stderr, /unauthorized.*TWINRAIL_TOKEN/)
      }
    })
  }

  t.test('what cannot be a token is refused, and not repeated', async t => {
    const { code, stderr } = await call(['tail', 'sse'], { TWINRAIL_TOKEN: 'two words' })
    t.equal(code, 2)
    t.match(stderr, '--token: expected')
    t.notMatch(stderr, 'two words')
  })

  t.test('export sends it as well', async t => {
    const { code, stdout, stderr } = await call(['export', 'sse'], { TWINRAIL_TOKEN: KEY })
    t.equal(code, 0, stderr)
    t.match(stdout, '"run.completed"')
  })
})
