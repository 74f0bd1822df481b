import { getEventListeners } from 'node:events'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { z } from 'zod'
import { createDeepsearch } from '../../src/agents/deepsearch/deepsearch.ts'
import { type EventBody, type eventData, ProviderId } from '../../src/protocol/index.ts'
import { type FakeRunOptions, fakeRun, flaws, type Played, play, textOf } from '../fixtures/run-context.ts'

const corpus = 'test/fixtures/corpus'
const deepsearch = createDeepsearch({ corpus, cache: false })

interface Result {
  answer: string
  sources: { sourceId: string; title: string; url: string }[]
  questions: string[]
}

function ask(query: string, input: object = {}, options: FakeRunOptions = {}): Promise<Played> {
  return play(deepsearch, { query, ...input }, fakeRun(options))
}

function resultOf({ result }: Played): Result {
  return result?.result as Result
}

function dataOf<T extends keyof typeof eventData>(events: EventBody[], type: T) {
  return events
    .filter(event => event.type === type)
    .map(({ data }) => data as z.output<(typeof eventData)[T]>)
}

function plans(events: EventBody[]): string[][] {
  return dataOf(events, 'plan.updated').map(({ steps }) =>
    steps.map(({ title, status }) => `${title} ${status}`),
  )
}

/** Checks what must hold for every run. */
function checkRun(t: Test, played: Played): void {
  const { answer, sources } = resultOf(played)
  t.same(flaws(played.events), [])
  t.equal(textOf(played.events), answer)
  t.same(
    dataOf(played.events, 'source.added').map(({ sourceId, title, url }) => ({ sourceId, title, url })),
    sources,
  )
  t.equal(new Set(sources.map(({ url }) => url)).size, sources.length, 'each source once')
  const cited = [...answer.matchAll(/ \[(\d+)\]$/gm)].map(([, number]) => Number(number))
  t.same(
    [...new Set(cited)].sort((a, b) => a - b),
    sources.map((_source, i) => i + 1),
    'what is cited is a source, and each source is cited',
  )
}

// The documents are read now, so that no test hears how far that is, however slow the machine is.
await ask('What is a session?')

t.test('a question', async t => {
  t.test('is planned, searched and answered in this order', async t => {
    const played = await ask('When should I use SSE and when WebSocket?')
    checkRun(t, played)
    const phases = played.events.map(({ type, data }) =>
      type === 'run.status' ? (data as { status: string }).status : type,
    )
    t.same(
      phases.filter((phase, i) => phase !== phases[i - 1]),
      [
        'query_decomposition',
        'plan.updated',
        'searching',
        ...['step.started', 'tool.started', 'tool.called'],
        ...['step.started', 'tool.started', 'tool.called'],
        'plan.updated',
        ...['tool.finished', 'source.added', 'step.finished', 'plan.updated'],
        ...['tool.finished', 'source.added', 'step.finished', 'plan.updated'],
        'generating',
        'text.start',
        'text.delta',
        'text.end',
      ],
    )
    t.same(plans(played.events), [
      ['When should I use SSE? pending', 'When should I use WebSocket? pending'],
      ['When should I use SSE? running', 'When should I use WebSocket? running'],
      ['When should I use SSE? done', 'When should I use WebSocket? running'],
      ['When should I use SSE? done', 'When should I use WebSocket? done'],
    ])
    t.equal(played.result?.finishReason, 'stop')
  })

  t.test('is answered part by part, with quotes and their sources', async t => {
    const { answer, sources, questions } = resultOf(await ask('When should I use SSE and when WebSocket?'))
    t.same(questions, ['When should I use SSE?', 'When should I use WebSocket?'])
    t.match(answer, /^\*\*When should I use SSE\?\*\*\n\nUse SSE when the server talks .* \[1\]$/m)
    t.match(
      answer,
      /^\*\*When should I use WebSocket\?\*\*\n\nUse WebSocket when the client sends .* \[2\]$/m,
    )
    t.same(sources, [
      {
        sourceId: 's1',
        title: 'Choosing a transport > Server-sent events',
        url: 'transports.md#server-sent-events',
      },
      { sourceId: 's2', title: 'Choosing a transport > WebSocket', url: 'transports.md#websocket' },
    ])
  })

  t.test('alone has no heading; code comes with the sentence that introduces it', async t => {
    t.equal(
      resultOf(await ask('How do I cancel a run?')).answer,
      [
        'To cancel a run, send the command `run.cancel` with its id: [1]',
        "```js\nawait session.cancel(runId, { reason: 'not needed' })\n```",
        'The run ends at once, and everybody who watches it sees `run.cancelled`. Closing a connection never cancels a run. [1]',
      ].join('\n\n'),
    )
  })

  t.test('finds HTML, and shows a table as a list', async t => {
    t.equal(
      resultOf(await ask('What happens when a client falls behind?')).answer,
      [
        'A client that falls behind keeps its cursor and reads on from the log; the server keeps no queue for it. What happens next is the client’s `policy`: [1]',
        '',
        '- `conflate` – what it does: joins neighbouring deltas into one event; good for: chat.',
        '- `skip` – what it does: jumps to the newest event; good for: dashboards & games. [1]',
      ].join('\n'),
    )
  })

  t.test('may be Chinese or German, or misspelt', async t => {
    const chinese = await ask('客户端断线重连后会怎样？')
    checkRun(t, chinese)
    t.equal(
      resultOf(chinese).answer,
      '客户端断线重连后，会从游标处继续读取日志。服务器先补发错过的事件，再发送实时事件。 [1]',
    )
    t.equal(resultOf(chinese).sources[0]?.url, 'zh/%E6%8C%87%E5%8D%97.md#断线重连')
    t.match(resultOf(await ask('长轮询适合什么？')).answer, /^长轮询适合两者都被防火墙拦截的网络。 \[1\]$/)
    t.match(resultOf(await ask('Wie lösche ich eine Sitzung?')).answer, /löscht man mit `DELETE/)
    t.match(resultOf(await ask('How much does compresion save?')).answer, /saves 80 %/)
  })

  t.test('is answered with escaped HTML', async t => {
    const { answer } = resultOf(await ask('onerror img tags'))
    t.match(answer, /`<script>` tags such as \\<img src=x onerror=alert\(1\)>/)
  })

  t.test('cites at most `maxSources` sources', async t => {
    const played = await ask('When should I use SSE and when WebSocket?', { maxSources: 1 })
    checkRun(t, played)
    t.equal(resultOf(played).sources.length, 1)
    t.match(resultOf(played).answer, /WebSocket\?\*\*\n\nNot answered: the limit `maxSources` is reached\.$/)
  })
})

/** Letters and digits only: what stays the same when markup, line breaks and punctuation change. */
function letters(text: string): string {
  return (text.match(/[\p{L}\p{N}]/gu) ?? []).join('')
}

/** The letters that a reader of a Markdown or HTML file sees. */
async function visibleLetters(file: string): Promise<string> {
  const source = await readFile(file, 'utf8')
  return letters(source.replace(/<\/?\w[^>]*>|<!--[\s\S]*?-->|&#?\w+;|\]\([^)]*\)/g, ''))
}

/** The quotes of an answer with the number of their source; table rows and items are split at what joins their cells. */
function quotesOf(answer: string): { number: number; text: string }[] {
  return [...answer.matchAll(/^(- )?(.*) \[(\d+)\]$/gm)].flatMap(([, bullet, text = '', number]) =>
    text.split(bullet ? / – |: |; / : /$^/).map(text => ({ number: Number(number), text })),
  )
}

t.test('every quote occurs literally in the file that it cites', async t => {
  const queries = [
    'When should I use SSE and when WebSocket?',
    'How do I cancel a run?',
    'What happens when a client falls behind?',
    'What are sessions, runs and cursors?',
    'How much does compression save?',
    'onerror img tags',
    'event limits',
    '客户端断线重连后会怎样？',
    '长轮询适合什么？',
    'Wie lösche ich eine Sitzung?',
  ]
  for (const query of queries) {
    const { answer, sources } = resultOf(await ask(query))
    const quotes = quotesOf(answer)
    t.not(quotes.length, 0, query)
    for (const { number, text } of quotes) {
      const [file = ''] = sources[number - 1]!.url.split('#')
      const visible = await visibleLetters(path.join(corpus, decodeURIComponent(file)))
      t.ok(visible.includes(letters(text)), `${file}: ${text}`)
    }
    for (const [, code = ''] of answer.matchAll(/^```\w*\n([\s\S]*?)\n```$/gm)) {
      const [file = ''] = sources[0]!.url.split('#')
      t.ok((await readFile(path.join(corpus, decodeURIComponent(file)), 'utf8')).includes(code), code)
    }
  }
})

t.test('nothing found', async t => {
  t.test('gives a plain notice instead of an answer', async t => {
    for (const query of [
      'What is the capital of France?',
      '如何烤面包？',
      'zebra, pelican, flamingo',
      '?!',
      'and',
    ]) {
      const played = await ask(query)
      checkRun(t, played)
      t.equal(played.result?.finishReason, 'no-results')
      t.same(resultOf(played).sources, [])
      t.match(
        resultOf(played).answer,
        /^(?:\*\*.*\*\*\n\n)?Nothing in the corpus answers “.+”\. The corpus has 6 documents\.$/m,
      )
      t.match(plans(played.events).at(-1)?.join(), / failed$/)
    }
  })

  t.test('for one of two questions leaves the other answer as it is', async t => {
    const played = await ask('How do I cancel a run? What is the capital of France?')
    checkRun(t, played)
    t.equal(played.result?.finishReason, 'stop')
    t.same(plans(played.events).at(-1), [
      'How do I cancel a run? done',
      'What is the capital of France? failed',
    ])
    t.match(
      resultOf(played).answer,
      /run\.cancel[\s\S]*Nothing in the corpus answers “What is the capital of France\?”/,
    )
  })

  t.test('in a corpus without documents says how to give it some', async t => {
    for (const corpus of [t.testdir({ 'picture.png': '' }), '/does/not/exist', []]) {
      const played = await play(createDeepsearch({ corpus }), { query: 'SSE vs WebSocket' }, fakeRun())
      checkRun(t, played)
      t.equal(played.result?.finishReason, 'no-results')
      t.match(
        resultOf(played).answer,
        /^The corpus has no documents.*Start the server with `--corpus DIR`.*$/,
      )
    }
  })
})

t.test('confirm', async t => {
  const query = 'SSE vs WebSocket'

  t.test('asks for approval of the plan before the first search', async t => {
    const run = fakeRun({ answer: () => ({ approved: true }) })
    const before: string[] = []
    const played = await play(deepsearch, { query, confirm: true }, run, ({ type }) => {
      if (run.asked.length === 0) before.push(type)
    })
    checkRun(t, played)
    t.same(before, ['run.status', 'plan.updated'])
    const [request, ...others] = run.asked
    t.same(others, [])
    t.equal(request?.kind, 'approval')
    t.equal(
      request?.message,
      'Search the documents for these questions?\n- SSE vs WebSocket\n- What is SSE?\n- What is WebSocket?',
    )
    t.match(request?.schema, {
      type: 'object',
      required: ['approved'],
      properties: { approved: { type: 'boolean' }, questions: { type: 'array', items: { type: 'string' } } },
    })
    t.equal(played.result?.finishReason, 'stop')
    t.equal(resultOf(played).questions.length, 3)
  })

  t.test('searches for the questions in the approval instead of the proposed ones', async t => {
    const questions = [' How do I cancel\n a run? ', ' ', 'What is a session?']
    const played = await ask(query, { confirm: true }, { answer: () => ({ approved: true, questions }) })
    checkRun(t, played)
    t.same(resultOf(played).questions, ['How do I cancel a run?', 'What is a session?'])
    t.same(plans(played.events)[1], ['How do I cancel a run? pending', 'What is a session? pending'])
  })

  t.test('keeps the proposed questions when all replacements are blank', async t => {
    const played = await ask(
      query,
      { confirm: true },
      { answer: () => ({ approved: true, questions: [' '] }) },
    )
    t.equal(resultOf(played).questions.length, 3)
  })

  t.test('searches nothing when the plan is declined', async t => {
    const played = await ask(query, { confirm: true }, { answer: () => ({ approved: false }) })
    checkRun(t, played)
    t.equal(played.result?.finishReason, 'declined')
    t.equal(resultOf(played).answer, 'The plan was not approved, so nothing was searched.')
    t.same(dataOf(played.events, 'tool.called'), [])
  })
})

t.test('a message sent into the run', async t => {
  const steer = 'and how do I cancel\na run?'
  const title = 'and how do I cancel a run?'

  for (const when of [
    'query_decomposition',
    'searching',
    'generating',
    'text.start',
    'last delta',
  ] as const) {
    t.test(`is answered as a further question when sent at ${when}`, async t => {
      const run = fakeRun()
      let deltas = dataOf((await ask('What is a session?')).events, 'text.delta').length
      const played = await play(deepsearch, { query: 'What is a session?' }, run, event => {
        const isStatus = event.type === 'run.status' && event.data.status === when
        const isLast = when === 'last delta' && event.type === 'text.delta' && --deltas === 0
        if (run.asked.length === 0 && (isStatus || isLast || event.type === when)) {
          run.said.push(steer)
          run.asked.push({ kind: 'question', message: 'said once' })
        }
      })
      checkRun(t, played)
      const { answer, questions } = resultOf(played)
      t.same(questions, ['What is a session?', title])
      t.match(plans(played.events).at(-1), ['What is a session? done', `${title} done`])
      t.match(answer, /^(?:\*\*What is a session\?\*\*\n\n)?- session – meaning: a durable, ordered log/)
      t.match(answer, /\n\n\*\*and how do I cancel a run\?\*\*\n\nTo cancel a run, send the command/)
    })
  }

  t.test('may find something where the query found nothing', async t => {
    const run = fakeRun()
    const played = await play(deepsearch, { query: 'zebra?' }, run, ({ type }) => {
      if (type === 'text.start') run.said.push('What is a session?', ' ')
    })
    checkRun(t, played)
    t.equal(played.result?.finishReason, 'stop')
    t.match(
      resultOf(played).answer,
      /^Nothing in the corpus[\s\S]*\n\n\*\*What is a session\?\*\*\n\n- session/,
    )
  })

  t.test('with a repeated question gets a reference to the answer above', async t => {
    const run = fakeRun()
    const played = await play(deepsearch, { query: 'How do I cancel a run?' }, run, ({ type }) => {
      if (type === 'text.start') run.said.push('How do I cancel a run?')
    })
    t.match(resultOf(played).answer, /The answer above covers this question too\.$/)
  })

  t.test('is bounded in length and number', async t => {
    const run = fakeRun()
    run.said.push('x'.repeat(10_000))
    let listeners = 0
    const played = await play(deepsearch, { query: 'zebra?' }, run, ({ type }) => {
      if (type === 'run.status') run.said.push('What is a session?')
      listeners = Math.max(listeners, getEventListeners(run.context.signal, 'abort').length)
    })
    checkRun(t, played)
    t.equal(listeners, 0, 'between two events nothing listens to the run’s signal')
    t.equal(resultOf(played).questions[1]?.length, 2000)
    t.equal(resultOf(played).questions.length, 100)
  })
})

t.test('a cancelled run yields nothing more', async t => {
  const reason = { name: 'AbortError' }
  for (const when of ['query_decomposition', 'searching', 'tool.finished', 'text.delta']) {
    const run = fakeRun()
    const agent = createDeepsearch({ corpus, paceMs: when === 'text.delta' ? 60_000 : 0 })
    const { events, error } = await play(agent, { query: 'SSE vs WebSocket' }, run, ({ type, data }) => {
      if (type === when || (data as { status?: string }).status === when) run.cancel()
    })
    t.match(error, reason, when)
    t.not(events.at(-1)?.type, 'text.end')
  }
})

t.test('input', async t => {
  t.same(deepsearch.input.parse({ query: ' a ' }), { query: 'a', confirm: false, maxSources: 8 })
  for (const wrong of [{}, { query: ' ' }, { query: 'x'.repeat(2001) }, { query: 'a', maxSources: 0 }]) {
    t.notOk(deepsearch.input.safeParse(wrong).success)
  }
})

t.test('runs share one corpus and keep their ids apart', async t => {
  const agent = createDeepsearch({ corpus })
  const runIds = ['a', 'b', `${'r'.repeat(127)}1`, `${'r'.repeat(127)}2`]
  const runs = await Promise.all(
    runIds.map(runId => play(agent, { query: 'SSE vs WebSocket' }, fakeRun({ runId }))),
  )
  const ids = runs.flatMap(({ events }) =>
    events.flatMap(({ type, data }) => {
      const { partId, stepId } = data as { partId?: string; stepId?: string }
      return type === 'text.start' ? [partId] : type === 'step.started' ? [stepId] : []
    }),
  )
  t.equal(new Set(ids.map(id => ProviderId.parse(id))).size, 4 * (1 + 3))
  t.equal(new Set(runs.map(run => resultOf(run).answer)).size, 1)
})

t.test('any query gets a valid run and an answer', async t => {
  const words = fc.constantFrom(
    'SSE',
    'WebSocket',
    'run',
    'session',
    'cancel',
    'and',
    'when',
    '会话',
    '断线',
    'a',
    '?',
    ',',
  )
  const questions = fc.oneof(
    fc.array(words, { minLength: 1, maxLength: 12 }).map(words => words.join(' ')),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }),
  )
  const isAsked = (query: string) => query.trim() !== ''
  await fc.assert(
    fc.asyncProperty(questions.filter(isAsked), async query => {
      const played = await ask(query)
      if (played.error) throw played.error
      const { answer, sources } = resultOf(played)
      t.same(flaws(played.events), [])
      t.not(answer, '')
      t.equal(textOf(played.events), answer)
      t.equal(played.result?.finishReason, sources.length > 0 ? 'stop' : 'no-results')
    }),
    { numRuns: 150 },
  )
})
