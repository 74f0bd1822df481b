/** Endpoints that misbehave: each fault has its code, and what came before it stays. */
import type { ServerResponse } from 'node:http'
import t from 'tap'
import { RunError } from '../../src/agents/agent.ts'
import { type HttpAgentOptions, httpAgent, type UpstreamDialectName } from '../../src/upstream/http-agent.ts'
import { fakeRun, flaws, play, textOf } from '../fixtures/run-context.ts'
import { answers, upstream } from '../fixtures/upstream.ts'
import { command, eventually, logged, serve, startRun, terminalOf } from '../fixtures/wire-server.ts'

interface Fault {
  code: string
  retryable?: boolean
  answer(response: ServerResponse, sent: { type: string; begin: string; end: string }): void
  /** Whether what `begin` says must be in the log. */
  keeps?: boolean
  options?: Partial<HttpAgentOptions>
  /** Dialects that cannot show the fault. */
  except?: readonly string[]
}

const head = (response: ServerResponse, type: string) => response.writeHead(200, { 'content-type': type })

const faults: Record<string, Fault> = {
  '404': { code: 'upstream-refused', answer: response => response.writeHead(404).end('no') },
  '429': { code: 'upstream-refused', retryable: true, answer: response => response.writeHead(429).end() },
  '503': { code: 'upstream-error', retryable: true, answer: response => response.writeHead(503).end() },
  'a redirect to another server': {
    code: 'upstream-redirect',
    answer: response => response.writeHead(307, { location: 'http://127.0.0.2:1/' }).end(),
  },
  'a redirect for ever': {
    code: 'upstream-redirect',
    answer: response => response.writeHead(307, { location: '/agent' }).end(),
  },
  'a web page': {
    code: 'upstream-no-stream',
    answer: response => head(response, 'text/html; charset=utf-8').end('<h1>Sign in</h1>'),
  },
  'headers that do not come': {
    code: 'upstream-timeout',
    retryable: true,
    answer: () => {},
    options: { headersTimeoutMs: 50 },
  },
  'silence in the middle': {
    code: 'upstream-timeout',
    retryable: true,
    keeps: true,
    answer: (response, { type, begin }) => head(response, type).write(begin),
    options: { silenceTimeoutMs: 200 },
  },
  'a connection that breaks off': {
    code: 'upstream-lost',
    retryable: true,
    keeps: true,
    answer: (response, { type, begin }) => head(response, type).write(begin, () => response.destroy()),
  },
  'an end that comes too early': {
    code: 'upstream-lost',
    retryable: true,
    keeps: true,
    answer: (response, { type, begin }) => head(response, type).end(begin),
    // Their answer ends with the connection.
    except: ['sse', 'ndjson', 'text'],
  },
  'bytes that are not UTF-8': {
    code: 'upstream-invalid',
    keeps: true,
    answer: (response, { type, begin }) => {
      head(response, type).write(begin, () => response.end(Buffer.from([0xff, 0xfe, 0x0a, 0x0a])))
    },
  },
  'a frame without end': {
    code: 'upstream-too-large',
    keeps: true,
    answer: (response, { type, begin }) => {
      head(response, type).write(begin)
      response.write('data: ')
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
      }
      response.on('drain', more)
      more()
    },
    options: { maxFrameChars: 1_000_000 },
    // Every piece of text is a frame.
    except: ['text'],
  },
}

for (const [name, { code, retryable = false, answer, keeps, options, except }] of Object.entries(faults)) {
  t.test(name, async t => {
    for (const [dialect, sent] of Object.entries(answers)) {
      if (except?.includes(dialect)) continue
      const { url } = await upstream(t, response => answer(response, sent))
      const agent = httpAgent({ name: 'up', url, dialect: dialect as UpstreamDialectName, ...options })
      const { events, error } = await play(agent, { prompt: 'Hi' }, fakeRun())
      t.ok(error instanceof RunError, dialect)
      t.match(error, { code, retryable }, dialect)
      if (!keeps) continue
      t.equal(textOf(events), 'Hello, world', `${dialect} keeps what came before`)
      t.same(flaws(events), [], dialect)
    }
  })
}

t.test('a server that is not there', async t => {
  const agent = httpAgent({ name: 'up', url: 'http://127.0.0.1:1/', dialect: 'text' })
  const { error } = await play(agent, { prompt: 'Hi' }, fakeRun())
  t.match(error, { code: 'upstream-unreachable', retryable: true, message: /ECONNREFUSED/ })
})

t.test('a frame that is no JSON, and an error in the stream', async t => {
  for (const dialect of ['ai-sdk', 'ag-ui', 'openai', 'openai-responses', 'genie'] as const) {
    const { url } = await upstream(t, response => head(response, 'text/event-stream').end('data: {oops\n\n'))
    const { error } = await play(httpAgent({ name: 'up', url, dialect }), { prompt: 'Hi' }, fakeRun())
    t.match(error, { code: 'upstream-invalid', message: /no JSON object/ }, dialect)
  }
  const errors = {
    'ai-sdk': { type: 'error', errorText: 'quota' },
    'ag-ui': { type: 'RUN_ERROR', message: 'quota', code: 'quota-exceeded' },
    openai: { error: { message: 'quota', code: 'insufficient_quota' } },
    'openai-responses': { type: 'error', code: 'insufficient_quota', message: 'quota' },
    sse: { error: 'quota' },
  }
  for (const [dialect, value] of Object.entries(errors) as [UpstreamDialectName, object][]) {
    const { url } = await upstream(t, response =>
      head(response, 'text/event-stream').end(`data: ${JSON.stringify(value)}\n\n`),
    )
    const { error } = await play(httpAgent({ name: 'up', url, dialect }), { prompt: 'Hi' }, fakeRun())
    t.match(
      error,
      { code: /^(upstream-error|quota-exceeded|insufficient_quota)$/, message: 'quota' },
      dialect,
    )
  }
})

t.test('a cancelled run closes the request and calls the stop endpoint', async t => {
  const up = await upstream(t, (response, { path }) => {
    if (path.startsWith('/stop')) response.end('{}')
    else head(response, 'text/event-stream').write('data: "one"\n\n')
  })
  const agent = httpAgent({ name: 'up', url: up.url, dialect: 'sse', stop: ({ runId }) => `/stop/${runId}` })
  const wire = await serve(t, { agents: [agent] })
  const runId = await startRun(wire.url, 's', 'up', { prompt: 'Hi' })
  await eventually(t, 'the request is there', () => up.requests.length > 0)
  await command(wire.url, 's', { type: 'run.cancel', id: 'c', runId })
  t.match(await terminalOf(wire.url, 's', runId), { type: 'run.cancelled' })
  await up.closed
  await eventually(t, 'the stop endpoint is called', () =>
    up.requests.some(({ path }) => path === `/stop/${runId}`),
  )
})

t.test('the upstream is read only as fast as the log takes its events', async t => {
  let written = 0
  const { url } = await upstream(t, response => {
    head(response, 'text/event-stream')
    const frame = `data: ${JSON.stringify('x'.repeat(1000))}\n\n`
    const more = () => {
      while (!response.destroyed && written < 200e6 && response.write(frame)) written += frame.length
    }
    response.on('drain', more)
    more()
  })
  const run = fakeRun()
  const agent = httpAgent({ name: 'up', url, dialect: 'sse' })
  const events = agent.run({ prompt: 'Hi' } as never, run.context)
  for (let i = 0; i < 10; i++) await events.next()
  // The reader does not read: the sender comes to a stop once the buffers of both sockets are full.
  let before = -1
  await eventually(t, 'the sender stops', async () => {
    const stopped = written === before
    before = written
    await new Promise(resolve => setTimeout(resolve, 200))
    return stopped
  })
  t.ok(written < 50e6, `${written} bytes were sent`)
  await events.return(undefined as never)
})

t.test('200 runs at once, each whole', async t => {
  const { url } = await upstream(t, (response, { body }) => {
    const { content } = body.messages.at(-1)
    head(response, 'text/event-stream').write(`data: {"delta":"${content} "}\n\n`, () =>
      setImmediate(() => response.end(`data: {"delta":"again"}\n\ndata: [DONE]\n\n`)),
    )
  })
  const wire = await serve(t, { agents: [httpAgent({ name: 'up', url, dialect: 'sse' })] })
  await Promise.all(
    Array.from({ length: 200 }, async (_, i) => {
      const runId = await startRun(wire.url, `s${i}`, 'up', { prompt: `n${i}` })
      t.match(await terminalOf(wire.url, `s${i}`, runId), { type: 'run.completed' })
      const events = (await logged(wire, `s${i}`)).map(json => JSON.parse(json))
      t.equal(textOf(events), `n${i} again`)
      t.equal(events.filter(({ type }) => type === 'run.completed').length, 1)
    }),
  )
})
