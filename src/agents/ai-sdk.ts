/** Any language model of the Vercel AI SDK (`ai` 6 or 7, an optional peer) as an agent. */
import { type Agent, defineAgent } from './agent.ts'
import { ChatRun } from './ai-sdk/chat-run.ts'
import { ChatInput, conversation } from './ai-sdk/conversation.ts'
import { type AiSdk, loadAiSdk, type Model, type Tools } from './ai-sdk/sdk.ts'

export type { ChatInput, ChatMessage } from './ai-sdk/conversation.ts'
export type { AiSdk, Model, Tools } from './ai-sdk/sdk.ts'

export interface AiSdkAgentOptions {
  /** A model of any AI SDK provider, or what makes one at each run. */
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
  /** Model calls in one run, at the most; a call that follows tools, answers or steering counts. @default 20 */
  maxSteps?: number
  /**
   * How often a model call that is refused for now (network, 429, 5xx) is repeated, with growing pauses; 0 = never.
   * Safe, for the AI SDK repeats only calls of whose response nothing has been read, so no text comes twice. A
   * response that breaks later fails the run, retryable. @default 2
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
 * An agent that answers with a language model, running tools on the way.
 *
 * Its input is `{prompt}` or `{messages}`. With a prompt, the session's earlier runs are the conversation before it:
 * inputs and texts of all agents, and calls of this agent's tools with their results; the newest 100 of them, 200 000
 * characters and 50 000 of each, read from the newest 20 000 events. The model's text, reasoning, tool calls, sources and steps become events; all that starts is ended before the run is.
 * What users say meanwhile (`input.steer`) reaches the model with its next call, and brings about one more when it
 * was done already. A failing model fails the run with `model-error` and a message without the provider's words; a
 * cancelled run ends the request to it.
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
