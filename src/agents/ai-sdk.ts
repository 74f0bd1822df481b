/** Any language model of the Vercel AI SDK (`ai` 6 or 7, an optional peer) as an agent. */
import { type Agent, defineAgent } from './agent.ts'
import { ChatRun } from './ai-sdk/chat-run.ts'
import { ChatInput, conversation } from './ai-sdk/conversation.ts'
import { type AiSdk, loadAiSdk, type Model, type Tools } from './ai-sdk/sdk.ts'

export type { ChatInput, ChatMessage } from './ai-sdk/conversation.ts'
export type { AiSdk, Model, Tools } from './ai-sdk/sdk.ts'

/** The options of {@link aiSdkAgent}. */
export interface AiSdkAgentOptions {
  /** A model of any AI SDK provider, or a function that returns one for each run. */
  model: Model | (() => Model | Promise<Model>)
  /**
   * The AI SDK's tools by name. A call of one with `needsApproval` asks the session's users first
   * (`input.requested`, kind `approval`); one without `execute` asks a client to run it (kind `tool`).
   */
  tools?: Tools
  /** The model's instructions. Clients cannot change them. */
  system?: string
  /** @default "chat" */
  name?: string
  /** @default "Chats with a language model." */
  description?: string
  /** Maximum number of model calls in one run, including those after tools, answers and steering. @default 20 */
  maxSteps?: number
  /**
   * How often a model call that fails temporarily (network, 429, 5xx) is repeated, with growing pauses; 0 = never.
   * The AI SDK repeats only calls of whose response nothing has been read, so no text comes twice. A response that
   * breaks off later fails the run as retryable. @default 2
   */
  maxRetries?: number
  /**
   * Further settings for `streamText`: `temperature`, `maxOutputTokens`, `toolChoice`, `providerOptions`, `timeout`,
   * and so on. Those that the agent sets itself (`prepareStep`, `stopWhen`, `streamRetries`, `onError`, …) are
   * overruled.
   */
  settings?: Readonly<Record<string, unknown>>
  /** The module `ai`. @default loaded at the first run */
  ai?: AiSdk
}

/**
 * Creates an agent that answers with a language model and runs tools on the way.
 *
 * Its input is `{prompt}` or `{messages}`. With a prompt, the session's earlier runs are the conversation before it:
 * inputs and texts of all agents, and calls of this agent's tools with their results; the newest 100 of them, 200 000
 * characters and 50 000 of each, read from the newest 20 000 events. The model's text, reasoning, tool calls, sources
 * and steps become events; the run ends every part, tool call and step that it started. A message that a user sends
 * into the run (`input.steer`) is part of the next model call; when the model was done already, it causes one more call.
 *
 * A failing model fails the run with `model-error` and a message without the provider's words. A cancelled run closes
 * the request to the provider. A provider that answers with status 200 and a web page or JSON in place of a stream is
 * reported as such when the package of the provider passes the headers of the response on, which the packages of the
 * AI SDK do. Without headers the run fails with the error of that package, often as a connection that broke off, or
 * completes with an empty answer and finish reason `other` when that package reports no error.
 * @example
 * ```ts
 * import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
 * import { createServer } from 'twinrail'
 * import { aiSdkAgent } from 'twinrail/agents/ai-sdk'
 *
 * const provider = createOpenAICompatible({ name: 'local', baseURL: 'http://127.0.0.1:11434/v1' })
 * const chat = aiSdkAgent({ model: provider('qwen3'), system: 'Answer in one sentence.' })
 * const server = await createServer({ agents: [chat] })
 * ```
 */
export function aiSdkAgent(options: AiSdkAgentOptions): Agent<ChatInput> {
  const { name = 'chat', description = 'Chats with a language model.' } = options
  return defineAgent({
    name,
    description,
    input: ChatInput,
    async *run(input, context) {
      const setup = {
        sdk: options.ai ?? (await loadAiSdk()),
        model: typeof options.model === 'function' ? await options.model() : options.model,
        tools: options.tools ?? {},
        system: options.system,
        maxSteps: options.maxSteps ?? 20,
        maxRetries: options.maxRetries ?? 2,
        settings: options.settings ?? {},
      }
      const messages = await conversation(input, () => context.recent(), new Set(Object.keys(setup.tools)))
      return yield* new ChatRun(setup, messages, context).run()
    },
  })
}
