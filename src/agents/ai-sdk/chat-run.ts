/** One run of a chat agent: model calls, and between them users' answers and steering messages. */
import type { EventBody } from '../../protocol/index.ts'
import type { RunContext, RunResult } from '../agent.ts'
import { wellFormed, wellFormedValue } from '../well-formed.ts'
import { answerBrokeOff, errorInAnswer, modelError } from './errors.ts'
import { ModelEvents } from './events.ts'
import { addUsage, Outcome } from './outcome.ts'
import type { AiSdk, ApprovalRequest, Model, ModelMessage, StreamPart, ToolCall, Tools } from './sdk.ts'

/** What a run works with. */
export interface ChatSetup {
  sdk: AiSdk
  model: Model
  tools: Tools
  system: string | undefined
  maxSteps: number
  maxRetries: number
  settings: Readonly<Record<string, unknown>>
}

/** A user's answer about a tool call. */
interface Answered {
  /** For the model. */
  parts: object[]
  /** How the call ended, when it did: the arguments of {@link ModelEvents.finishTool}. */
  ended?: [toolCallId: string, output: unknown, isError?: boolean]
}

const approvalSchema = {
  type: 'object',
  properties: { approved: { type: 'boolean' }, reason: { type: 'string' } },
  required: ['approved'],
}

/**
 * Runs the model until it is done, in steps of one model call each: only so do approvals, answers and steering meet
 * the model at the same places in ai 6 and ai 7.
 */
export class ChatRun {
  readonly #setup: ChatSetup
  readonly #context: RunContext
  readonly #messages: ModelMessage[]
  readonly #events: ModelEvents
  readonly #end = new AbortController()
  /** Made once for the run: Node 20 keeps a record of each combined signal for as long as its sources live. */
  readonly #signal: AbortSignal

  constructor(setup: ChatSetup, messages: readonly ModelMessage[], context: RunContext) {
    this.#setup = setup
    this.#context = context
    this.#messages = [...messages]
    this.#events = new ModelEvents(context.runId)
    this.#signal = AbortSignal.any([context.signal, this.#end.signal])
  }

  async *run(): AsyncGenerator<EventBody, RunResult, void> {
    const usage: Record<string, number> = {}
    try {
      for (let step = 1; ; step++) {
        const outcome = yield* this.#callModel()
        addUsage(usage, outcome.usage)
        if (step < this.#setup.maxSteps && (yield* this.#goesOn(outcome))) continue
        yield* this.#events.close()
        return { finishReason: outcome.finishReason, usage }
      }
    } catch (error) {
      this.#context.signal.throwIfAborted()
      yield* this.#events.close()
      throw modelError(error)
    } finally {
      // The AI SDK holds a response that is not read to its end open, and its socket with it.
      this.#end.abort()
    }
  }

  async *#callModel(): AsyncGenerator<EventBody, Outcome, void> {
    const { sdk, settings, model, tools, system, maxRetries } = this.#setup
    let toolResults = 0
    let said: ModelMessage[] = []
    const result = sdk.streamText({
      ...settings,
      model,
      tools,
      system,
      messages: this.#messages,
      maxRetries,
      // Would send an answer's beginning twice (ai 7).
      streamRetries: undefined,
      // One step, which is the default.
      stopWhen: undefined,
      abortSignal: this.#signal,
      // Approved tools have run by now. What users say comes after their results, which must follow the calls.
      prepareStep: async ({ messages }) => {
        toolResults = messages.length - this.#messages.length
        said = await this.#takeSteering()
        return { messages: [...messages, ...said] }
      },
      // The stream has the error too; by default it would also be printed, prompt and all.
      onError: () => {},
    })
    const outcome = new Outcome()
    for await (const part of result.fullStream as AsyncIterable<StreamPart>) {
      if (part.type === 'error') throw errorInAnswer(part.error)
      outcome.note(part)
      yield* this.#events.of(part)
    }
    this.#context.signal.throwIfAborted()
    if (outcome.finishReason === 'error' || outcome.rawFinishReason === 'error') throw answerBrokeOff()
    const response = await (result.responseMessages ?? result.response.then(({ messages }) => messages))
    const added = wellFormedValue(response)
    this.#messages.push(...added.slice(0, toolResults), ...said, ...added.slice(toolResults))
    return outcome
  }

  /** Gets the model what it waits for; `false` when the run is done. */
  async *#goesOn(outcome: Outcome): AsyncGenerator<EventBody, boolean, void> {
    const { open, approvals, hasResults } = outcome
    if (outcome.isCutInCall) return false
    for (const { toolCall } of approvals) open.delete(toolCall.toolCallId)
    const calls = [...open.values()].filter(call => !call.providerExecuted)
    const forClients = calls.filter(call => this.#isForClients(call))
    // The SDK did not run it, e.g. since the answer was cut off in the middle.
    if (forClients.length < calls.length) return false

    const answers = await Promise.all([
      ...approvals.map(request => this.#askApproval(request)),
      ...forClients.map(call => this.#askOutput(call)),
    ])
    if (answers.length > 0) {
      this.#messages.push({ role: 'tool', content: answers.flatMap(answer => answer.parts) })
      for (const { ended } of answers) if (ended) yield* this.#events.finishTool(...ended)
      return true
    }
    if (hasResults || [...open.values()].some(call => this.#isDeferred(call))) return true

    const said = await this.#takeSteering()
    this.#messages.push(...said)
    return said.length > 0
  }

  async #askApproval({ approvalId, toolCall, reason: why }: ApprovalRequest): Promise<Answered> {
    const { toolCallId, toolName, providerExecuted } = toolCall
    const { value } = await this.#context.ask({
      kind: 'approval',
      toolCallId: this.#events.toolCallId(toolCallId),
      message: why ?? `Allow ${toolName}?`,
      schema: approvalSchema,
    })
    const { approved, reason } = value as { approved: boolean; reason?: string }
    const response = {
      type: 'tool-approval-response',
      approvalId,
      approved,
      ...(reason !== undefined && { reason }),
      ...(providerExecuted && { providerExecuted }),
    }
    if (!approved) {
      const output = reason ? `Denied: ${reason}` : 'Denied.'
      return { parts: [response], ended: [toolCallId, output, true] }
    }
    if (!this.#isForClients(toolCall)) return { parts: [response] }
    const { parts, ...rest } = await this.#askOutput(toolCall)
    return { parts: [response, ...parts], ...rest }
  }

  async #askOutput({ toolCallId, toolName }: ToolCall): Promise<Answered> {
    const { value } = await this.#context.ask({
      kind: 'tool',
      toolCallId: this.#events.toolCallId(toolCallId),
      message: `Run ${toolName} and answer with its output.`,
    })
    const output = { type: 'json', value: wellFormedValue(value ?? null) }
    return {
      parts: [{ type: 'tool-result', toolCallId, toolName, output }],
      ended: [toolCallId, value],
    }
  }

  /** Whether the tool has nothing to run here. */
  #isForClients(call: ToolCall): boolean {
    const tool = this.#toolOf(call)
    return tool !== undefined && tool.execute === undefined && !call.providerExecuted
  }

  /** Whether the provider runs the tool and gives its result with a later call. */
  #isDeferred(call: ToolCall): boolean {
    return call.providerExecuted === true && this.#toolOf(call)?.supportsDeferredResults === true
  }

  #toolOf({ toolName }: ToolCall): { execute?: unknown; supportsDeferredResults?: unknown } | undefined {
    const { tools } = this.#setup
    return Object.hasOwn(tools, toolName) ? tools[toolName] : undefined
  }

  async #takeSteering(): Promise<ModelMessage[]> {
    const steers = await this.#context.steering.take()
    return steers.map(({ text }) => ({ role: 'user', content: wellFormed(text) }))
  }
}
