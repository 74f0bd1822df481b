/** The agent `chat`: a language model when the environment names one, otherwise the built-in assistant. */
import type { Agent } from 'twinrail'
import { aiSdkAgent } from 'twinrail/agents/ai-sdk'
import { builtInAgent } from './built-in.ts'
import type { Shop } from './shop.ts'
import { createTools } from './tools.ts'

const system = `You are the assistant of a bicycle shop. Use the tools to look up and refund orders and to search the help
pages. Never guess what a tool can tell you. Answer briefly, in Markdown.`

/**
 * @param env `OPENAI_BASE_URL` or `OPENAI_API_KEY` chooses a model, whose name is `OPENAI_MODEL`
 * @throws Error when the model has no name
 */
export async function chatAgent(shop: Shop, env: NodeJS.ProcessEnv): Promise<Agent> {
  const tools = createTools(shop)
  const { OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: apiKey, OPENAI_MODEL: model } = env
  if (!baseURL && !apiKey) return builtInAgent(tools)
  if (!model)
    throw new Error('OPENAI_BASE_URL or OPENAI_API_KEY is set. Set OPENAI_MODEL to the name of the model.')
  const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible')
  const provider = createOpenAICompatible({
    name: 'openai',
    baseURL: baseURL || 'https://api.openai.com/v1',
    includeUsage: true,
    ...(apiKey && { apiKey }),
  })
  return aiSdkAgent({ model: provider(model), description: `Model ${model}`, system, tools })
}
