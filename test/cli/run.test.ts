import t from 'tap'
import { runCommand } from '../../src/cli/run.ts'
import { shown, stage, stream } from './stage.ts'

const deepsearch = { agent: 'deepsearch', input: 'why?' }

const text = (delta: string) => ({ type: 'text.delta', data: { partId: 'p', delta } })
const completed = { type: 'run.completed', data: { finishReason: 'stop' } }

const answer = [
  { type: 'run.started', data: { agent: 'deepsearch', input: { query: 'why?' } } },
  { type: 'run.status', data: { status: 'searching', message: 'three queries' } },
  { type: 'source.added', data: { sourceId: 'a', title: 'First', url: 'https://a.example/1' } },
  { type: 'source.added', data: { sourceId: 'b', title: 'Second' } },
  { type: 'text.start', data: { partId: 'p' } },
  text('Because '),
  text('of this [1].'),
  { type: 'text.end', data: { partId: 'p' } },
  completed,
]

t.test('in a pipe, stdout holds the content and nothing else', async t => {
  const { options, stdout, stderr, commands } = await stage(t, { events: answer })
  t.equal(await runCommand({ ...options, ...deepsearch }), 0)
  t.equal(stdout.text, 'Because of this [1].\n\nSources\n1. First https://a.example/1\n2. Second\n')
  t.match(stderr.text, '· searching: three queries\n')
  t.match(stderr.text, /✓ completed \(stop\) · 8\.0 s\n$/)
  t.notMatch(stdout.text + stderr.text, '\x1b')
  t.match(commands, [
    { type: 'run.start', agent: 'deepsearch', input: { query: 'why?' }, runId: /^\w{32}$/, key: /./ },
  ])
})

t.test('follows only its own run', async t => {
  const { options, fake, commands } = await stage(t, { events: [completed] })
  await runCommand({ ...options, ...deepsearch, sessionId: 'mine' })
  const url = new URL(fake.requests.at(-1)!.url!, fake.url)
  t.equal(url.pathname, '/v1/sessions/mine/events')
  t.equal(url.searchParams.get('run'), commands[0]!['runId'])
})

t.test('--json prints one event per line, as received', async t => {
  const { options, stdout, stderr, fake } = await stage(t, { events: answer })
  t.equal(await runCommand({ ...options, ...deepsearch, json: true }), 0)
  t.equal(stdout.text, fake.events.map(event => `${JSON.stringify(event)}\n`).join(''))
  t.match(stderr.text, /✓ completed \(stop\)\n$/)
})

t.test('a failed run exits 1 and says why', async t => {
  const failed = {
    type: 'run.failed',
    data: { code: 'producer-lost', message: 'Its process died', retryable: true },
  }
  const { options, stderr } = await stage(t, { events: [text('Half'), failed] })
  t.equal(await runCommand({ ...options, ...deepsearch }), 1)
  t.match(stderr.text, '✗ failed producer-lost: Its process died')
})

t.test('a run that another client cancelled exits 1', async t => {
  const { options, stderr } = await stage(t, {
    events: [{ type: 'run.cancelled', data: { reason: 'no-viewers' } }],
  })
  t.equal(await runCommand({ ...options, ...deepsearch }), 1)
  t.match(stderr.text, '■ cancelled: no-viewers')
})

t.test('Ctrl-C cancels the run, shows its end and exits 130', async t => {
  const { options, stop, stdout, stderr, commands } = await stage(t, {
    events: [text('Half')],
    open: true,
    answer: ({ type }, fake) => {
      if (type === 'run.cancel') fake.say({ type: 'run.cancelled', data: { reason: 'interrupted' } })
      return undefined
    },
  })
  const running = runCommand({ ...options, ...deepsearch })
  await shown(stdout, 'Half')
  stop.abort()
  t.equal(await running, 130)
  t.match(commands[1], { type: 'run.cancel', runId: commands[0]!['runId'] })
  t.match(stderr.text, '■ cancelled: interrupted')
})

t.test('Ctrl-C leaves when the run cannot be cancelled', async t => {
  const nack = { type: 'nack', id: '1', code: 'forbidden', message: 'Not yours', retryable: false }
  const { options, stop, stdout, stderr } = await stage(t, {
    events: [text('Half')],
    open: true,
    answer: ({ type }) => (type === 'run.cancel' ? { status: 403, body: nack } : undefined),
  })
  const running = runCommand({ ...options, ...deepsearch })
  await shown(stdout, 'Half')
  stop.abort()
  t.equal(await running, 130)
  t.match(stderr.text, 'could not be cancelled: Not yours')
  t.match(stderr.text, 'twinrail tail')
})

t.test('bad usage exits 2, says what to do and starts nothing', async t => {
  const cases = [
    [{ agent: 'nobody', input: 'x' }, /There is no agent nobody. The server has: deepsearch, playback/],
    [{ agent: 'playback', input: 'some text' }, /takes no plain text.*JSON, with some of: count/],
    [{ agent: 'playback', input: '{"count": }' }, /looks like JSON but is not/],
  ] as const
  for (const [given, said] of cases) {
    const { options, stderr, commands } = await stage(t)
    t.equal(await runCommand({ ...options, ...given }), 2)
    t.match(stderr.text, said)
    t.equal(commands.length, 0)
  }
})

t.test('a refused start exits 2 with the server’s words', async t => {
  const body = {
    type: 'nack',
    id: '1',
    code: 'bad-request',
    message: 'input: query: too short',
    retryable: false,
  }
  const { options, stderr } = await stage(t, { answer: () => ({ status: 400, body }) })
  t.equal(await runCommand({ ...options, ...deepsearch }), 2)
  t.match(stderr.text, '✗ bad-request: input: query: too short')
})

t.test('without a server it says how to get one', async t => {
  const { options, stderr } = await stage(t)
  t.equal(await runCommand({ ...options, ...deepsearch, url: 'http://127.0.0.1:1' }), 2)
  t.match(stderr.text, /Is there a server at http:\/\/127\.0\.0\.1:1\?/)
})

t.test('shows a result when there was no text', async t => {
  const { options, stdout } = await stage(t, {
    events: [{ type: 'run.completed', data: { finishReason: 'stop', result: { sum: 3 } } }],
  })
  await runCommand({ ...options, ...deepsearch })
  t.same(JSON.parse(stdout.text), { sum: 3 })
})

t.test('shows a plan once and then its changes', async t => {
  const plan = (...statuses: string[]) => ({
    type: 'plan.updated',
    data: { title: 'Plan', steps: statuses.map((status, i) => ({ title: `Step ${i}`, status })) },
  })
  const { options, stderr } = await stage(t, {
    events: [plan('running', 'pending'), plan('done', 'pending'), plan('done', 'failed'), completed],
  })
  await runCommand({ ...options, ...deepsearch })
  t.match(stderr.text, 'Plan\n  ▸ Step 0\n  ○ Step 1\n  ✓ Step 0\n  ✗ Step 1\n')
  t.equal(stderr.text.match(/^Plan$/gm)?.length, 1)
})

t.test('shows every kind of event, unknown ones in one line', async t => {
  const { options, stderr, stdout } = await stage(t, {
    events: [
      { type: 'step.started', data: { stepId: 's', name: 'Look' } },
      { type: 'reasoning.delta', data: { partId: 'r', delta: 'Hm. ' } },
      { type: 'reasoning.delta', data: { partId: 'r', delta: 'So.' } },
      { type: 'tool.called', data: { toolCallId: 't', toolName: 'add', input: { a: 1 } } },
      { type: 'tool.finished', data: { toolCallId: 't', output: 'out of reach', isError: true } },
      { type: 'artifact.start', data: { artifactId: 'a', kind: 'csv', name: 'data.csv' } },
      { type: 'artifact.delta', data: { artifactId: 'a', delta: '1,2' } },
      { type: 'input.steered', data: { inputId: 'i', text: 'shorter' } },
      { type: 'x.progress', data: { done: 3 } },
      { type: 'some.future', data: { a: 'multi\nline' } },
      completed,
    ],
  })
  await runCommand({ ...options, ...deepsearch })
  const said = stderr.text.split('\n')
  for (const line of [
    '▸ Look',
    'Hm. So.',
    '⚙ add {"a":1}',
    '✗ out of reach',
    '▤ data.csv (csv)',
    '↳ shorter',
    '· x.progress {"done":3}',
    '· some.future {"a":"multi\\nline"}',
  ]) {
    t.ok(said.includes(line), line)
  }
  t.equal(stdout.text, '1,2\n')
})

t.test('what an agent sends cannot control the terminal, and is visible', async t => {
  const { options, stdout, stderr } = await stage(t, {
    events: [
      text('a\x1b[2Jb\x9b31mc\td\n'),
      { type: 'run.failed', data: { code: 'x', message: '\x1b]0;title\x07' } },
    ],
  })
  await runCommand({ ...options, ...deepsearch })
  t.equal(stdout.text, 'a␛[2Jb<U+009B>31mc\td\n')
  t.notMatch(stderr.text, '\x1b')
  t.match(stderr.text, '✗ failed x: ␛]0;title␇')
})

/** A text that would clear the screen, ring, retitle the window, go back, and show what follows from right to left. */
const hostile = 'a\x1b[2J\x07\x1b]0;t\x07\b\r\x9b1m\x7f\u202eb\u2066\u200f'
/** All that a terminal may obey. Styles and the status line are this program's own. */
const obeyed =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is searched
  /[\0-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]|\x1b(?!\[[\d;]*m)/

t.test('in no field of any event', async t => {
  const events = [
    { type: 'run.started', data: { agent: hostile, input: { query: hostile } } },
    { type: 'run.status', data: { status: hostile, message: hostile } },
    { type: 'plan.updated', data: { title: hostile, steps: [{ title: hostile, status: 'failed' }] } },
    { type: 'step.started', data: { stepId: hostile, name: hostile } },
    { type: 'step.finished', data: { stepId: hostile, name: hostile } },
    { type: 'reasoning.delta', data: { partId: 'r', delta: hostile } },
    { type: 'artifact.start', data: { artifactId: 'a', name: hostile, kind: hostile } },
    { type: 'artifact.delta', data: { artifactId: 'a', delta: hostile } },
    { type: 'tool.called', data: { toolCallId: 't', toolName: hostile, input: { [hostile]: hostile } } },
    { type: 'tool.finished', data: { toolCallId: 't', output: hostile, isError: true } },
    { type: 'input.requested', data: { requestId: 'q', kind: 'question', message: hostile } },
    { type: 'input.answered', by: hostile, data: { requestId: 'q', value: hostile } },
    { type: 'input.steered', data: { inputId: 'i', text: hostile } },
    { type: 'source.added', data: { sourceId: 's', title: hostile, url: hostile } },
    { type: `x.${hostile}`, data: hostile },
  ]
  for (const end of [
    { type: 'run.completed', data: { finishReason: hostile, result: { [hostile]: hostile } } },
    { type: 'run.failed', data: { code: hostile, message: hostile } },
    { type: 'run.cancelled', data: { reason: hostile } },
  ]) {
    for (const json of [false, true]) {
      const { options, stdout, stderr } = await stage(t, {
        events: [...events, text(hostile), end],
      })
      await runCommand({ ...options, ...deepsearch, json })
      t.notMatch(stdout.text, obeyed)
      t.notMatch(stderr.text, obeyed)
      if (!json) continue
      const printed = stdout.text
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line).data)
      t.same(
        printed,
        [...events, text(hostile), end].map(({ data }) => data),
        'JSON keeps its value',
      )
    }
  }
  const { options, stdout } = await stage(t, {
    events: [{ type: 'run.completed', data: { finishReason: 'stop', result: { [hostile]: hostile } } }],
  })
  await runCommand({ ...options, ...deepsearch })
  t.notMatch(stdout.text, obeyed, 'nor in a result that is the only content')
})

t.test('characters that were cut between two deltas are printed whole', async t => {
  const reasoning = (delta: string) => ({ type: 'reasoning.delta', data: { partId: 'r', delta } })
  const { options, stdout, stderr } = await stage(t, {
    events: [
      ...[text('a\ud83d'), text('\ude00b\ud83d'), text(''), text('\ude01')],
      ...[reasoning('\ud83d'), reasoning('\ude02')],
      ...[text('\ud83d'), text('alone')],
      completed,
    ],
  })
  const chunks: Buffer[] = []
  stdout.on('data', chunk => chunks.push(chunk))
  await runCommand({ ...options, ...deepsearch })
  t.match(stdout.text, 'a😀b😁')
  t.match(stdout.text, '\ufffdalone')
  t.match(stderr.text, '😂')
  for (const chunk of chunks) t.notMatch(String(chunk).replaceAll('\ufffdalone', ''), '\ufffd')
})

t.test('on a terminal, colours and a status line come and go', async t => {
  const { options, stderr, stdout } = await stage(t, { events: answer, tty: true })
  t.equal(await runCommand({ ...options, ...deepsearch }), 0)
  t.match(stderr.text, '\x1b[32m✓ completed')
  t.match(stderr.text, '\x1b[1;23r')
  t.match(stderr.text, '\x1b[r')
  t.notMatch(stdout.text, '\x1b', 'the content has none')
})

t.test('NO_COLOR takes colours away, a dumb terminal everything', async t => {
  for (const [env, forbidden] of [
    [{ NO_COLOR: '1' }, '\x1b[32m'],
    [{ TERM: 'dumb' }, '\x1b'],
  ] as const) {
    const { options, stderr } = await stage(t, { events: answer, tty: true })
    await runCommand({ ...options, ...deepsearch, env })
    t.notMatch(stderr.text, forbidden)
  }
})

t.test('stops when its output is closed', async t => {
  const { options } = await stage(t, { events: [text('Half')], open: true })
  const stdout = stream()
  const running = runCommand({ ...options, ...deepsearch, stdout })
  await shown(stdout, 'Half')
  stdout.destroy(new Error('EPIPE'))
  t.equal(await running, 1)
})
