/** AG-UI servers: LangGraph, CrewAI, Pydantic AI, Mastra and others with an endpoint for `HttpAgent`. */
import { decode, newDecodeState } from '../../dialects/ag-ui/decode.ts'
import type { EventBody } from '../../protocol/index.ts'
import type { SourceFrame } from '../frames.ts'
import type { ValidEvents } from '../valid-events.ts'
import {
  type Answered,
  type Decoder,
  Ending,
  fieldsOf,
  objectIn,
  otherFields,
  type Question,
  type Turn,
  textOf,
  type UpstreamDialect,
} from './dialect.ts'

/** Events that say nothing to a session. */
const SILENT =
  /^(RUN_STARTED|RUN_FINISHED|REASONING_(START|END)|THINKING_(START|END)|STATE_SNAPSHOT|STATE_DELTA|MESSAGES_SNAPSHOT)$/

export const agUi: UpstreamDialect = {
  name: 'ag-ui',
  framing: 'sse',
  endsWithConnection: false,
  body: turn => body(turn, turn.runId),
  decoder: () => new AgUiDecoder(),
}

function body({ sessionId, input, messages, runId }: Turn, segment: string, resume?: unknown): unknown {
  return {
    threadId: sessionId,
    runId: segment,
    protocolVersion: '1.0',
    state: {},
    messages: messages.map(({ role, content }, i) => ({ id: `${runId}-${i}`, role, content })),
    tools: [],
    context: [],
    forwardedProps: otherFields(input),
    ...(resume !== undefined && { resume, parentRunId: runId }),
  }
}

class AgUiDecoder implements Decoder {
  readonly questions: Question[] = []
  readonly #state = newDecodeState()
  readonly #ending = new Ending()

  get result() {
    return this.#ending.result
  }

  decode(frame: SourceFrame, events: ValidEvents): EventBody[] {
    const event = objectIn(frame, 'ag-ui')
    const type = textOf(event['type'])
    if (type === 'RUN_FINISHED') this.#ask(fieldsOf(event['outcome']))
    // An older name of the same.
    const renamed = type.replace(/^THINKING_TEXT_MESSAGE_/, 'REASONING_MESSAGE_')
    if (renamed !== type) event['messageId'] ??= 'thinking'
    const bodies = this.#ending.without(decode(this.#state, { ...event, type: renamed }))
    if (bodies.length > 0) return bodies.flatMap(one => events.of(one))
    return SILENT.test(type) || this.#isPart(type) ? [] : events.unknown(type, event)
  }

  next(turn: Turn, answers: readonly Answered[]): unknown {
    const resume = answers.map(({ question, value }) => ({
      interruptId: question.id,
      status: 'resolved',
      payload: value,
    }))
    return body(turn, `${turn.runId}-${answers[0]?.question.id ?? 'next'}`.slice(0, 128), resume)
  }

  #isPart(type: string): boolean {
    return /^(STEP_FINISHED|TOOL_CALL_END)$/.test(type)
  }

  #ask({ type, interrupts }: Record<string, unknown>): void {
    if (type !== 'interrupt' || !Array.isArray(interrupts)) return
    for (const interrupt of interrupts.map(fieldsOf)) {
      const { id, reason, message, toolCallId, responseSchema, expiresAt } = interrupt
      this.questions.push({
        id: textOf(id),
        kind: /approval/.test(textOf(reason))
          ? 'approval'
          : /tool/.test(textOf(reason))
            ? 'tool'
            : 'question',
        message: textOf(message) || textOf(reason) || 'The agent asks for an answer.',
        ...(typeof responseSchema === 'object' &&
          responseSchema !== null && { schema: responseSchema as Record<string, unknown> }),
        ...(textOf(toolCallId) !== '' && { toolCallId: textOf(toolCallId) }),
        ...(typeof expiresAt === 'number' && { expiresAt }),
      })
    }
    this.#ending.result = {}
  }
}
