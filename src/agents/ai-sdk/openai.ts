/** A chat agent over any OpenAI-compatible server, set up by environment variables. */
import type { Agent } from '../agent.ts'
import { type AiSdkAgentOptions, aiSdkAgent } from '../ai-sdk.ts'
import type { ChatInput } from './conversation.ts'
import { loadPeer, requirePeer } from './peer.ts'
import type { Model } from './sdk.ts'
import { streamingFetch } from './streaming-fetch.ts'

/** What is used of `@ai-sdk/openai-compatible`: generation 2 goes with ai 6, generation 3 with ai 7. */
export interface OpenAiCompatible {
  createOpenAICompatible(settings: {
    name: string
    baseURL: string
    apiKey?: string
    includeUsage?: boolean
    fetch?: typeof fetch
  }): (model: string) => Model
}

export interface OpenAiAgentOptions extends Omit<AiSdkAgentOptions, 'model'> {
  /** The module `@ai-sdk/openai-compatible`. @default loaded at the first run */
  provider?: OpenAiCompatible
}

/**
 * The agent `chat` when `OPENAI_BASE_URL` or `OPENAI_API_KEY` is set, else `undefined`. Without a base URL it talks
 * to OpenAI; a server that needs no key needs no `OPENAI_API_KEY`. An empty variable counts as not set.
 * @throws Error when `OPENAI_MODEL` is missing then; RunError `not-installed` when a package is that it needs
 */
export function openAiAgentFromEnv(
  env: Readonly<Record<string, string | undefined>> = process.env,
  { provider, ...options }: OpenAiAgentOptions = {},
): Agent<ChatInput> | undefined {
  const { OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: apiKey, OPENAI_MODEL: modelId } = env
  if (!baseURL && !apiKey) return undefined
  if (!modelId) {
    const set = baseURL ? 'OPENAI_BASE_URL' : 'OPENAI_API_KEY'
    throw new Error(
      `${set} is set, but not which model to use: set OPENAI_MODEL to its name, or unset ${set}`,
    )
  }
  const packages = 'ai @ai-sdk/openai-compatible'
  if (!options.ai) requirePeer('ai', packages)
  if (!provider) requirePeer('@ai-sdk/openai-compatible', packages)
  return aiSdkAgent({
    description: `Chats with ${modelId}.`,
    ...options,
    model: async () => {
      const { createOpenAICompatible } = provider ?? (await loadProvider())
      return createOpenAICompatible({
        name: 'openai',
        baseURL: baseURL || 'https://api.openai.com/v1',
        ...(apiKey && { apiKey }),
        includeUsage: true,
        fetch: streamingFetch,
      })(modelId)
    },
  })
}

function loadProvider(): Promise<OpenAiCompatible> {
  return loadPeer('ai @ai-sdk/openai-compatible', () => import('@ai-sdk/openai-compatible'))
}
