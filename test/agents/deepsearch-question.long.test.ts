import fc from 'fast-check'
import t from 'tap'
import { decompose, likelyAnswerWords, MAX_QUESTIONS } from '../../src/agents/deepsearch/question.ts'

const cases: { title: string; questions: Record<string, string[]> }[] = [
  {
    title: 'splits sentences, lines and semicolons',
    questions: {
      'What is a run? What is a session?': ['What is a run?', 'What is a session?'],
      'What is a run; what is a session': ['What is a run', 'what is a session'],
      'What is a run\n\nWhat is a session': ['What is a run', 'What is a session'],
      '什么是会话？如何取消运行？': ['什么是会话？', '如何取消运行？'],
    },
  },
  {
    title: 'splits clauses with their own question word',
    questions: {
      'When should I use SSE and when WebSocket?': ['When should I use SSE?', 'When should I use WebSocket?'],
      'When should I use SSE and when should I use WebSocket?': [
        'When should I use SSE?',
        'When should I use WebSocket?',
      ],
      'What happens when a client falls behind, and how do I cancel a run?': [
        'What happens when a client falls behind?',
        'How do I cancel a run?',
      ],
      'What is Twinrail, how do I install it?': ['What is Twinrail?', 'How do I install it?'],
      'Wann nutze ich SSE und wann WebSocket?': ['Wann nutze ich SSE?', 'Wann WebSocket?'],
      '什么时候用 SSE，什么时候用 WebSocket？': ['什么时候用 SSE？', '什么时候用 WebSocket？'],
    },
  },
  {
    title: 'splits comparisons, and keeps the comparison as a question',
    questions: {
      'SSE vs WebSocket': ['SSE vs WebSocket', 'What is SSE?', 'What is WebSocket?'],
      'What are the costs of SSE vs. WebSocket?': [
        'What are the costs of SSE vs. WebSocket?',
        'What is SSE?',
        'What is WebSocket?',
      ],
      'What’s the difference between a run and a session?': [
        'What’s the difference between a run and a session?',
        'What is run?',
        'What is session?',
      ],
      'Was ist der Unterschied zwischen SSE und WebSocket?': [
        'Was ist der Unterschied zwischen SSE und WebSocket?',
        'Was ist SSE?',
        'Was ist WebSocket?',
      ],
      'SSE 和长轮询有什么区别？': ['SSE 和长轮询有什么区别？', '什么是 SSE？', '什么是长轮询？'],
    },
  },
  {
    title: 'splits lists',
    questions: {
      'What are sessions, runs and events?': ['What are sessions?', 'What are runs?', 'What are events?'],
      'What is a cursor, an offset, and a session?': [
        'What is a cursor?',
        'What is an offset?',
        'What is a session?',
      ],
      'Should I use SSE or WebSocket?': ['Should I use SSE?', 'Should I use WebSocket?'],
      'lmdb and redis': ['lmdb', 'redis'],
      '会话、运行和事件分别是什么？': ['会话是什么？', '运行是什么？', '事件是什么？'],
    },
  },
  {
    title: 'splits two verbs of one subject',
    questions: {
      'How do I start the server and connect a client?': [
        'How do I start the server?',
        'How do I connect a client?',
      ],
      'How do I start and stop the server?': ['How do I start the server?', 'How do I stop the server?'],
    },
  },
  {
    title: 'keeps a single question whole',
    questions: {
      'How do I cancel a run?': ['How do I cancel a run?'],
      'How does drag and drop work?': ['How does drag and drop work?'],
      'What happens to a session, which is a log, when I delete it?': [
        'What happens to a session, which is a log, when I delete it?',
      ],
      'What happens if the server restarts and a client reconnects?': [
        'What happens if the server restarts and a client reconnects?',
      ],
      'Why SSE and not WebSocket?': ['Why SSE and not WebSocket?'],
      'Does it pass proxies, e.g. nginx?': ['Does it pass proxies, e.g. nginx?'],
      '如何取消运行？': ['如何取消运行？'],
      '?': ['?'],
      'and and and': ['and and and'],
    },
  },
]

for (const { title, questions } of cases) {
  t.test(title, async t => {
    for (const [query, expected] of Object.entries(questions)) t.same(decompose(query), expected, query)
  })
}

t.test('leaves out greetings, thanks and sentences about the asker', async t => {
  t.same(decompose('Hi! I have a Fastify server. How do I stream? Thanks!'), ['How do I stream?'])
  t.same(decompose('I want a session.'), ['I want a session.'])
})

t.test('drops repeated questions', async t => {
  t.same(decompose('What is a run? what is a RUN?'), ['What is a run?'])
})

t.test('joins the questions beyond the limit into the last one', async t => {
  t.same(decompose('alpha; beta; gamma; delta; epsilon; zeta; eta; theta'), [
    'alpha',
    'beta',
    'gamma',
    'delta',
    'epsilon',
    'zeta eta theta',
  ])
})

t.test('splits any query into one to six different questions', async t => {
  const words = fc.constantFrom(
    'and',
    'or',
    'when',
    'how',
    'do',
    'I',
    'a',
    'vs',
    'x',
    'SSE',
    ',',
    '?',
    ';',
    '和',
    '、',
    '是什么',
    '区别',
    ' ',
  )
  const queries = fc.oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 300 }),
    fc.array(words, { minLength: 1, maxLength: 60 }).map(words => words.join(' ')),
    fc.array(words, { minLength: 1, maxLength: 60 }).map(words => words.join('')),
  )
  fc.assert(
    fc.property(queries, query => {
      const questions = decompose(query)
      t.ok(questions.length >= 1 && questions.length <= MAX_QUESTIONS)
      t.notOk(questions.includes(''))
      t.equal(new Set(questions).size, questions.length)
      t.ok(questions.join('').length <= MAX_QUESTIONS * (query.length + 20))
    }),
    { numRuns: 500 },
  )
})

t.test('knows words that are likely in the answer', async t => {
  t.match(likelyAnswerWords('When should I use SSE?'), /\brecommended\b/)
  t.match(likelyAnswerWords('怎么取消运行？'), /调用/)
  t.equal(likelyAnswerWords('What is a cursor?'), '')
})
