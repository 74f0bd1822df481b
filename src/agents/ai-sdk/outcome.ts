/** The outcome of a model call: finish reason, usage, and the tool calls without a result. */
import type { ApprovalRequest, StreamPart, ToolCall, Usage } from './sdk.ts'

/** The types of parts that come with every model call, whatever the provider answers. */
const FRAME = new Set(['start', 'start-step', 'finish-step', 'finish', 'raw', 'abort'])

export class Outcome {
  finishReason = 'other'
  /** The finish reason as the provider names it. */
  rawFinishReason: string | undefined
  usage: Usage = {}
  /** Whether the model has answered nothing: no text, no reasoning, no tool call. */
  isEmpty = true
  /** The content type of the provider's response; empty where it is unknown. */
  contentType = ''
  /** The call's tool calls without a result, by id. */
  readonly open = new Map<string, ToolCall>()
  /** The tool calls that need approval. */
  readonly approvals: ApprovalRequest[] = []
  /** Whether there are results that the model has not seen. */
  hasResults = false
  /** Whether a tool call is invalid. */
  #hasInvalid = false

  /** Whether the output limit was reached within a tool call. Another model call would reach it again. */
  get isCutInCall(): boolean {
    return this.finishReason === 'length' && (this.#hasInvalid || this.open.size > 0)
  }

  note(part: StreamPart): void {
    if (!FRAME.has(part.type)) this.isEmpty = false
    switch (part.type) {
      case 'tool-call':
        this.open.set(part.toolCallId, part)
        if (part.invalid) this.#hasInvalid = true
        break
      case 'tool-result':
        if (!part.preliminary) this.#noteResult(part.toolCallId)
        break
      case 'tool-error':
      case 'tool-output-denied':
        this.#noteResult(part.toolCallId)
        break
      case 'tool-approval-request':
        if (!part.isAutomatic) this.approvals.push(part)
        break
      case 'finish-step':
        this.finishReason = part.finishReason
        this.rawFinishReason = part.rawFinishReason
        this.usage = part.usage
        this.contentType = contentTypeOf(part.response?.headers)
    }
  }

  #noteResult(toolCallId: string): void {
    const call = this.open.get(toolCallId)
    // The model has seen the results of earlier calls already, and those of tools that the provider runs.
    if (call && !call.providerExecuted) this.hasResults = true
    this.open.delete(toolCallId)
  }
}

function contentTypeOf(headers: Readonly<Record<string, string>> = {}): string {
  const [, type = ''] = Object.entries(headers).find(([name]) => name.toLowerCase() === 'content-type') ?? []
  return type
}

/** Adds the token counts of a model call to those of the run. */
export function addUsage(sum: Record<string, number>, usage: Usage): void {
  const counts = {
    inputTokens: usage.inputTokens,
    outputTokens: usage.outputTokens,
    totalTokens: usage.totalTokens,
    cachedInputTokens: usage.inputTokenDetails?.cacheReadTokens,
    reasoningTokens: usage.outputTokenDetails?.reasoningTokens,
  }
  for (const [name, count] of Object.entries(counts)) {
    if (count !== undefined) sum[name] = (sum[name] ?? 0) + count
  }
}
