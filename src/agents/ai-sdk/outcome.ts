/** What a model call left behind: why it ended, what it cost, and which tool calls wait for something. */
import type { ApprovalRequest, StreamPart, ToolCall, Usage } from './sdk.ts'

export class Outcome {
  finishReason = 'other'
  /** The provider's own word for it. */
  rawFinishReason: string | undefined
  usage: Usage = {}
  /** The call's tool calls without a result, by id. */
  readonly open = new Map<string, ToolCall>()
  /** The tool calls that need approval. */
  readonly approvals: ApprovalRequest[] = []
  /** Whether there are results that the model has not seen. */
  hasResults = false
  /** Whether a tool call is no call that can be run. */
  #hasInvalid = false

  /** Whether the output limit was reached in the middle of a tool call, which another model call would only repeat. */
  get isCutInCall(): boolean {
    return this.finishReason === 'length' && (this.#hasInvalid || this.open.size > 0)
  }

  note(part: StreamPart): void {
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
    }
  }

  #noteResult(toolCallId: string): void {
    const call = this.open.get(toolCallId)
    // What was called before has been seen by now, and what the provider ran as soon as it was done.
    if (call && !call.providerExecuted) this.hasResults = true
    this.open.delete(toolCallId)
  }
}

/** Adds the tokens of a model call to a run's. */
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
