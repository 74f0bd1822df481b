import { register } from 'node:module'
import t from 'tap'
import { fakeRun, play } from '../fixtures/run-context.ts'

// In this thread the packages that only the thread of the documents needs cannot be found.
const hook = `export function resolve(specifier, context, next) {
  const isParser = specifier === 'htmlparser2' || specifier === 'marked'
  return next(isParser ? 'no-such-package' : specifier, context)
}`
register(`data:text/javascript,${encodeURIComponent(hook)}`)

t.test('htmlparser2 and marked are not imported with the agent', async t => {
  const { createDeepsearch } = await import('../../src/agents/deepsearch/deepsearch.ts')
  const agent = createDeepsearch({ corpus: 'test/fixtures/corpus', cache: false })
  const input = { query: 'What is a session?', confirm: true }
  const declined = await play(agent, input, fakeRun({ answer: () => ({ approved: false }) }))
  t.equal(declined.result?.finishReason, 'declined')
})
