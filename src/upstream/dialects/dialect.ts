/** What the agent over HTTP needs to know of a dialect. */
import { type AskRequest, RunError, type RunResult } from '../../agents/agent.ts'
import type { EventBody } from '../../protocol/index.ts'
import type { Framing, SourceFrame } from '../frames.ts'
import type { ValidEvents } from '../valid-events.ts'

/** A message of the conversation that an upstream is given. */
export interface UpstreamMessage {
  readonly role: string
  readonly content: string
}

/** What a request is made of. */
export interface Turn {
  readonly sessionId: string
  readonly runId: string
  /** The input of the run. */
  readonly input: Readonly<Record<string, unknown>>
  /** The conversation of the session, with the input's own messages last. */
  readonly messages: readonly UpstreamMessage[]
}

/** A question that ends a response: the answers are the next request. */
export interface Question extends Omit<AskRequest, 'requestId'> {
  /** The upstream's id of the question. */
  readonly id: string
}

export interface Answered {
  readonly question: Question
  readonly value: unknown
}

/** Reads one response. Its state is that of the response so far. */
export interface Decoder {
  /**
   * The valid events that a frame becomes.
   * @throws RunError the failure that the frame reports, or `upstream-invalid`
   */
  decode(frame: SourceFrame, events: ValidEvents): EventBody[]
  /** Set when the response has said that it is complete. */
  readonly result: RunResult | undefined
  /** Number of the last frame, where the dialect numbers them. A frame with one that is not greater changes nothing. */
  readonly position?: number | undefined
  /** What the users must answer before the upstream goes on. */
  readonly questions: readonly Question[]
  /** The body of the request that answers the questions; absent where the dialect has no questions. */
  next?(turn: Turn, answers: readonly Answered[]): unknown
  /**
   * The address of a GET that gives the frames after the last one that was decoded; `undefined` when the response has not
   * said where it can be read. Absent where the dialect has no such thing.
   */
  rest?(endpoint: URL): URL | undefined
  /** The address of a POST that cancels the response, under the same conditions. */
  stop?(endpoint: URL): URL | undefined
}

export interface UpstreamDialect {
  readonly name: string
  readonly framing: Framing
  /** Whether the end of the connection is the end of the answer. */
  readonly endsWithConnection: boolean
  body(turn: Turn): unknown
  decoder(): Decoder
}

export type Fields = Record<string, unknown>

export const fieldsOf = (value: unknown): Fields =>
  value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Fields) : {}

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

export const bodyOf = (type: string, data: unknown) => ({ type, data }) as EventBody

/** The fields of a run's input beside its prompt and messages: they go to the upstream as they are. */
export function otherFields({ prompt: _prompt, messages: _messages, ...others }: Turn['input']): Fields {
  return others
}

/** The value of a JSON text; a text that is no JSON as it is. */
export function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** The object in a frame. @throws RunError `upstream-invalid` */
export function objectIn({ data }: SourceFrame, dialect: string): Fields {
  const value = jsonOrText(data)
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Fields
  throw new RunError(
    'upstream-invalid',
    `The agent's server sent a frame that is no JSON object, as the dialect ${dialect} demands.`,
  )
}

/** The end of a response: the terminal event that it was decoded to, or `[DONE]`. */
export class Ending {
  result: RunResult | undefined

  /** Whether the frame is `[DONE]`, which many servers send last. */
  isReached({ data }: SourceFrame): boolean {
    if (data !== '[DONE]') return false
    this.result ??= {}
    return true
  }

  /** Takes terminal events out. @throws RunError for those of a failure */
  without(bodies: readonly EventBody[]): EventBody[] {
    return bodies.filter(body => {
      if (body.type === 'run.completed') {
        const { finishReason, result, usage } = body.data
        this.result = {
          ...(finishReason !== undefined && { finishReason }),
          ...(result !== undefined && { result }),
          ...(usage !== undefined && { usage }),
        }
        return false
      }
      if (body.type === 'run.failed') throw reported(body.data.code, body.data.message, body.data.retryable)
      if (body.type === 'run.cancelled') {
        throw new RunError('upstream-cancelled', "The agent's server cancelled the run itself.")
      }
      return true
    })
  }
}

/** The failure that an upstream reports in its answer. */
export function reported(code: string, message: string, retryable = false): RunError {
  const shown = message === '' ? "The agent's server reported an error." : message.slice(0, 10_000)
  return new RunError(/^[\w.-]{1,100}$/.test(code) ? code : 'upstream-error', shown, { retryable })
}
