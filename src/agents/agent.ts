/** What an agent is: an async generator that yields event bodies, and what it is given to work with. */
import type { z } from 'zod'
import type { EventBody, InputKind, TwinrailEvent } from '../protocol/index.ts'

/** A question from a run to its users. */
export interface AskRequest {
  kind: z.output<typeof InputKind>
  message: string
  /** JSON Schema that an answer must meet; answers that don't are refused and change nothing. */
  schema?: Record<string, unknown> | boolean
  toolCallId?: string
  /** When the question expires by itself, in ms since 1970. */
  expiresAt?: number
  /** Stable id of the question; generated when absent. */
  requestId?: string
}

/** The first answer in log order. */
export interface Answer {
  value: unknown
  /** Who answered. */
  by: string | undefined
  offset: string
}

/** A message that a user sent into the running run. */
export interface Steer {
  inputId: string
  text: string
  by: string | undefined
}

/** What a run gives its agent. */
export interface RunContext {
  readonly sessionId: string
  readonly runId: string
  /** Who started the run. */
  readonly by: string | undefined
  /** Aborts when the run is cancelled, times out or the server stops. Nothing yielded after it is logged. */
  readonly signal: AbortSignal
  /** The session's events before this run, oldest first, read from the log as they are iterated. */
  history(): AsyncIterable<TwinrailEvent>
  /** The same events, newest first, for agents that need the latest of a long session. */
  recent(): AsyncIterable<TwinrailEvent>
  /**
   * Logs `input.requested` and resolves with the first answer in log order, whoever gave it on whatever transport.
   * Time spent here does not count towards the run's maximum duration.
   * @throws TwinrailError `input-expired` when nobody answered in time; an AbortError when the run was cancelled.
   */
  ask(request: AskRequest): Promise<Answer>
  /**
   * What users say meanwhile, in log order; taking a message up logs `input.applied`. Ends with the run. One
   * consumer at a time; {@link Steering.take} never waits.
   */
  readonly steering: Steering
}

export interface Steering extends AsyncIterable<Steer> {
  /** Everything said and not taken up so far, without waiting. */
  take(): Promise<Steer[]>
}

/** What an agent may return; it becomes the run's `run.completed`. */
export interface RunResult {
  /** @default "stop" */
  finishReason?: string
  result?: unknown
  usage?: Record<string, unknown>
}

/**
 * An agent: `run` yields event bodies, logged in order. The generator may run up to 64 events ahead of the log. `ask`,
 * `steering.take` and the terminal are ordered after everything yielded before them. Returning completes the run,
 * throwing fails it: a {@link RunError} with its own code and message, anything else as `agent-error` without its text.
 */
export interface Agent<Input = unknown> {
  readonly name: string
  readonly description: string
  readonly input: z.ZodType<Input>
  // biome-ignore lint/suspicious/noConfusingVoidType: a generator without a return statement returns void
  run(input: Input, context: RunContext): AsyncGenerator<EventBody, RunResult | void, void>
  /**
   * Declares that a run survives its process: another one calls this with the run's events so far, oldest first,
   * and the run goes on.
   */
  resume?(
    history: readonly TwinrailEvent[],
    input: Input,
    context: RunContext,
    // biome-ignore lint/suspicious/noConfusingVoidType: as above
  ): AsyncGenerator<EventBody, RunResult | void, void>
}

/** Types an agent; the input given to `run` is what its schema makes of the caller's. */
export function defineAgent<Input>(agent: Agent<Input>): Agent<Input> {
  return agent
}

/** Fails a run with a code and a message that users may see. */
export class RunError extends Error {
  override readonly name = 'RunError'
  readonly code: string
  readonly retryable: boolean

  constructor(code: string, message: string, options: { retryable?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? false
  }
}
