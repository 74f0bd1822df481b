/** Structural types of the used part of the package `ai`, which both ai 6 and ai 7 match. */
import { loadPeer } from './peer.ts'

/** A language model of any AI SDK provider, or a gateway model's name. */
export type Model = string | { readonly specificationVersion: string; readonly provider: string }

/** The AI SDK's tools by name; a tool without `execute` is run by the clients. */
export type Tools = Readonly<Record<string, object>>

/** A message of the conversation with the model. */
export interface ModelMessage {
  role: string
  content: unknown
}

export interface ToolCall {
  toolCallId: string
  toolName: string
  input: unknown
  /** The provider runs the tool itself. */
  providerExecuted?: boolean | undefined
  /** The tool is unknown, or the input does not match its schema. */
  invalid?: boolean | undefined
}

/** A tool call that waits for approval. */
export interface ApprovalRequest {
  approvalId: string
  toolCall: ToolCall
  /** ai 7: why the call needs it. */
  reason?: string | undefined
  /** ai 7: a rule of the application has decided already, so no user is asked. */
  isAutomatic?: boolean | undefined
}

/** Token counts of one model call. */
export interface Usage {
  inputTokens?: number | undefined
  outputTokens?: number | undefined
  totalTokens?: number | undefined
  inputTokenDetails?: { cacheReadTokens?: number | undefined } | undefined
  outputTokenDetails?: { reasoningTokens?: number | undefined } | undefined
}

/** The parts of a model's stream that become events or end the call; other parts are ignored. */
export type StreamPart =
  | { type: 'text-start' | 'text-end' | 'reasoning-start' | 'reasoning-end'; id: string }
  | { type: 'text-delta' | 'reasoning-delta'; id: string; text: string }
  | { type: 'tool-input-start'; id: string; toolName: string }
  | { type: 'tool-input-delta'; id: string; delta: string }
  | ({ type: 'tool-call' } & ToolCall)
  | { type: 'tool-result'; toolCallId: string; output: unknown; preliminary?: boolean | undefined }
  | { type: 'tool-error'; toolCallId: string; error: unknown }
  | { type: 'tool-output-denied'; toolCallId: string }
  | ({ type: 'tool-approval-request' } & ApprovalRequest)
  | { type: 'source'; id: string; url?: string; title?: string | undefined }
  | { type: 'start-step' }
  | {
      type: 'finish-step'
      finishReason: string
      rawFinishReason?: string | undefined
      usage: Usage
      /** `headers` are those of the provider's HTTP response, where the provider's package gives them. */
      response?: { headers?: Readonly<Record<string, string>> | undefined } | undefined
    }
  | { type: 'error'; error: unknown }

interface StreamOptions {
  model: Model
  tools?: Tools | undefined
  system?: unknown
  messages?: ModelMessage[] | undefined
  maxRetries?: number | undefined
  abortSignal?: AbortSignal | undefined
  prepareStep?(options: { messages: ModelMessage[] }): unknown
  onError?(event: { error: unknown }): unknown
  stopWhen?: unknown
  streamRetries?: unknown
}

interface StreamResult {
  readonly fullStream: AsyncIterable<{ readonly type: string }>
  /** ai 6: the messages that the call added to the conversation. */
  readonly response: PromiseLike<{ readonly messages: readonly ModelMessage[] }>
  /** ai 7: the same; `response.messages` there lacks the results of approved tools. */
  readonly responseMessages?: PromiseLike<readonly ModelMessage[]>
}

/** The module `ai`, generation 6 or 7. */
export interface AiSdk {
  /** The function `streamText` of the module. */
  streamText(options: StreamOptions): StreamResult
}

/** Loads the optional peer `ai`. */
export function loadAiSdk(): Promise<AiSdk> {
  return loadPeer('ai', () => import('ai'))
}
