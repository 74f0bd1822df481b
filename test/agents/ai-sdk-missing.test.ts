import { register } from 'node:module'
import t from 'tap'
import { fakeRun, play } from '../fixtures/run-context.ts'

// In this process the optional peers cannot be found.
const hook = `export function resolve(specifier, context, next) {
  const isPeer = specifier === 'ai' || specifier.startsWith('@ai-sdk/')
  return next(isPeer ? 'twinrail-has-no-such-package' : specifier, context)
}`
register(`data:text/javascript,${encodeURIComponent(hook)}`)

t.test('the modules load without the AI SDK; functions that need it say what to install', async t => {
  const { aiSdkAgent } = await import('../../src/agents/ai-sdk.ts')
  const { openAiAgentFromEnv } = await import('../../src/agents/ai-sdk/openai.ts')
  const ai = { streamText: () => t.fail('called') as never }
  const env = { OPENAI_API_KEY: 'sk-1', OPENAI_MODEL: 'm' }

  const chat = await play(aiSdkAgent({ model: 'any/model' }), { prompt: 'Hi' }, fakeRun())
  t.match(chat.error, { name: 'RunError', code: 'not-installed', message: /npm install ai$/ })

  t.throws(() => openAiAgentFromEnv(env, { ai }), {
    code: 'not-installed',
    message: /npm install ai @ai-sdk\/openai-compatible$/,
  })
  t.throws(() => openAiAgentFromEnv(env), { code: 'not-installed' })
  t.equal(openAiAgentFromEnv({}), undefined, 'nothing is asked for')
})
