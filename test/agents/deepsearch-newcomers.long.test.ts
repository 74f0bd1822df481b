/** What newcomers ask about Twinrail is answered from its documents, with the right page first; other questions are refused. */
import t from 'tap'
import { createDeepsearch } from '../../src/agents/deepsearch/deepsearch.ts'
import { ownDocuments } from '../../src/cli/own-documents.ts'
import { fakeRun, play } from '../fixtures/run-context.ts'

const corpus = ownDocuments(new URL('../../', import.meta.url))
const deepsearch = createDeepsearch({ corpus, cache: false })

async function ask(query: string) {
  const { result, error } = await play(deepsearch, { query }, fakeRun())
  if (error || !result) throw error
  const { answer, sources } = result.result as { answer: string; sources: { url: string }[] }
  return { answer, pages: sources.map(({ url }) => url), finishReason: result.finishReason }
}

/** Each question with the pages of which one must be the first source, and a word that the answer must have. */
const questions: readonly [question: string, pages: readonly string[], word: RegExp][] = [
  ['How do I authenticate users?', ['docs/authorization.md'], /token/i],
  ['How do I use it with Next.js?', ['docs/mount.md', 'docs/guides/existing-app.md'], /Next\.js/],
  ['How do I run it in Docker?', ['docs/how-to.md'], /Dockerfile/],
  ['How do I build a React chat?', ['docs/guides/react-chat.md'], /useSession|chat/i],
  ['How do I migrate from Socket.IO?', ['docs/coming-from/socket.io.md'], /Socket\.IO/],
  [
    'How do I list a user’s sessions?',
    ['docs/pages.md', 'docs/guides/react-chat.md'],
    /useSessions|sessionList/,
  ],
  ['How do I deploy several nodes?', ['docs/several-nodes.md'], /Redis/],
  [
    'How do I keep nginx from buffering?',
    ['docs/proxies.md', 'docs/troubleshooting.md', 'docs/several-nodes.md'],
    /proxy_buffering off|x-accel-buffering/,
  ],
  ['How do I cancel a run?', ['docs/how-to.md'], /run\.cancel/],
  ['How long is data kept?', ['docs/guides/retention-and-privacy.md'], /retain|deleted/],
  ['How do I delete a session?', ['docs/guides/retention-and-privacy.md'], /DELETE/],
  ['如何选择传输方式？', ['docs/zh/choosing-a-transport.md'], /SSE|WebSocket/],
  [
    '断线重连后如何续传？',
    ['docs/zh/choosing-a-transport.md', 'docs/zh/getting-started.md', 'README.zh-CN.md'],
    /Last-Event-ID|偏移量/,
  ],
]

for (const [question, pages, word] of questions) {
  t.test(question, async t => {
    const result = await ask(question)
    t.comment(`${result.pages.join(', ')}\n${result.answer}`)
    const [first = ''] = result.pages[0]?.split('#') ?? []
    t.ok(pages.includes(decodeURIComponent(first)), `the first source is ${result.pages[0]}`)
    t.match(result.answer, word)
  })
}

/** Off the topic, or about something that Twinrail does not have although it has the other words. */
const refused = [
  'How do I bake bread?',
  'What is the capital of France?',
  'How do I train a neural network?',
  'How do I use it with Kafka Streams?',
  'How do I migrate from SignalR?',
  '如何烤面包？',
]

for (const question of refused) {
  t.test(`${question} is refused`, async t => {
    const { answer, pages, finishReason } = await ask(question)
    t.comment(answer)
    t.equal(finishReason, 'no-results')
    t.same(pages, [])
  })
}
