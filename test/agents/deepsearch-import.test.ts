import { register } from 'node:module'
import t from 'tap'
import { fakeRun, play } from '../fixtures/run-context.ts'

// In this process the packages that only a search needs cannot be found.
const hook = `export function resolve(specifier, context, next) {
  const isParserOrIndex = specifier === 'htmlparser2' || specifier === 'marked'
  return next(isParserOrIndex ? 'no-such-package' : specifier, context)
}`
register(`data:text/javascript,${encodeURIComponent(hook)}`)

t.test('htmlparser2 and marked are imported by the first search and not before', async t => {
  const { createDeepsearch } = await import('../../src/agents/deepsearch/deepsearch.ts')
  const agent = createDeepsearch({ corpus: 'test/fixtures/corpus' })
  const input = { query: 'What is a session?', confirm: true }
  const declined = await play(agent, input, fakeRun({ answer: () => ({ approved: false }) }))
  t.equal(declined.result?.finishReason, 'declined')
  const approved = await play(agent, input, fakeRun({ answer: () => ({ approved: true }) }))
  t.match(approved.error, { code: 'ERR_MODULE_NOT_FOUND' })
})
