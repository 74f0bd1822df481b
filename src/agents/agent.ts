/** The interface of an agent, which is an async generator of event bodies, and the context that a run gives to it. */
import type { z } from 'zod'
import type { EventBody, InputKind, TwinrailEvent } from '../protocol/index.ts'
import type { ChatFields, ForeignMessage } from './chat-fields.ts'

export type { ChatFields, ForeignMessage } from './chat-fields.ts'

/** A question from a run to its users. */
export interface AskRequest {
  /** The kind of question: `approval`, `question` or `tool`. Clients may show each kind differently. */
  kind: z.output<typeof InputKind>
  /** The question as users read it. */
  message: string
  /** JSON Schema for answers. An answer that does not match is refused and changes nothing. @default any value */
  schema?: Record<string, unknown> | boolean
  /** The tool call that the question is about. @default none */
  toolCallId?: string
  /** When the question expires, in ms since 1970. @default never */
  expiresAt?: number
  /** Id of the question. An agent that resumes needs one that stays the same. @default a new random one */
  requestId?: string
}

/** The first answer to a question in log order. */
export interface Answer {
  /** The answer; it matches the question's schema. */
  value: unknown
  /** The id of the principal that answered. */
  by: string | undefined
  /** The offset of `input.answered`. */
  offset: string
}

/** A message that a user sent to the running agent. */
export interface Steer {
  /** The message's id, that of `input.steered`. */
  inputId: string
  /** The message. */
  text: string
  /** The id of the principal that sent it. */
  by: string | undefined
}

/** The context that a run gives to its agent. */
export interface RunContext {
  /** The session of the run. */
  readonly sessionId: string
  /** The run's id. */
  readonly runId: string
  /** The id of the principal that started the run. */
  readonly by: string | undefined
  /**
   * The W3C trace context of the command that started the run, as `run.started` has it, for spans of an agent in a worker.
   * Inside a server the span of the run is active as well. @default none: the server does not trace
   */
  readonly traceparent?: string | undefined
  /**
   * Aborts when the run is cancelled, when it times out, and when the server stops. Events yielded later are not
   * logged.
   */
  readonly signal: AbortSignal
  /** The session's events before this run, oldest first, read from the log as they are iterated. */
  history(): AsyncIterable<TwinrailEvent>
  /** The same events, newest first, for agents that need the latest of a long session. */
  recent(): AsyncIterable<TwinrailEvent>
  /**
   * Asks the run's users: appends `input.requested` and resolves with the first answer in log order, from any client on
   * any transport. The wait does not count towards the run's maximum duration.
   * @throws TwinrailError `input-expired` when the question expired; `too-large` or `bad-request` when the question is
   * invalid; an AbortError when the run was cancelled
   */
  ask(request: AskRequest): Promise<Answer>
  /**
   * The messages of users to the running agent, in log order. Reading a message appends `input.applied`. The iteration
   * ends with the run. Use one consumer at a time.
   */
  readonly steering: Steering
}

/** The messages of users to a running agent. Iterate over it to wait for the next message. */
export interface Steering extends AsyncIterable<Steer> {
  /** Resolves with all unread messages, or with an empty list; does not wait for a message. */
  take(): Promise<Steer[]>
}

/** The result that an agent may return; it becomes the data of the run's `run.completed`. */
export interface RunResult {
  /** Why the agent finished. @default "stop" */
  finishReason?: string
  /** The agent's result, as JSON. @default none */
  result?: unknown
  /** What the run used, such as numbers of tokens. @default none */
  usage?: Record<string, unknown>
}

/**
 * An agent. Its generator `run` yields event bodies, which are logged in order. The generator may run up to 64 events
 * or 256 K characters ahead of the log; then its `yield` waits. `ask`, `steering.take` and the terminal event come
 * after everything that was yielded before them. The run is completed when the generator returns. It fails when the
 * generator throws: with the code and message of a {@link RunError}, and with `agent-error` and no text for any other
 * error.
 *
 * The type parameters tell clients what {@link defineAgent} has read: the parsed input, the name, the input that a client
 * gives, and what the generator returns.
 */
export interface Agent<
  Input = unknown,
  Name extends string = string,
  Given = unknown,
  Result extends RunResult = RunResult,
> {
  /** The name in `run.start`; unique on a server. */
  readonly name: Name
  /** What the agent does, for people. */
  readonly description: string
  /** The schema of the input; input that does not match is refused as `bad-request`. */
  readonly input: z.ZodType<Input, Given>
  /**
   * The fields of the input that a chat fills: the text of the user, or the conversation. Unlike `inputText` and
   * `fromMessages`, which come first, it also works for an agent in a worker.
   * @default see `inputText` and `fromMessages`
   */
  readonly chat?: ChatFields
  /**
   * The text of an input as a chat shows it to users; it is logged in `run.started`.
   * @default the field `chat.text`; without it clients take the field `query`, `prompt`, `text` or `message`, or the last user text of `messages`
   */
  inputText?(input: Input): string
  /**
   * Makes the input of a run from the conversation that a foreign client sends (AI SDK, AG-UI, OpenAI). The client may
   * have changed what it resends; the session's log has what was really said.
   * @param extra the other fields of the request, such as `tools` or `context`
   * @default the last text of the user in the one string field that `input` requires, or `messages` if `input` has them
   */
  fromMessages?(messages: readonly ForeignMessage[], extra: Readonly<Record<string, unknown>>): unknown
  /** Executes one run. @param input the parsed input */
  // biome-ignore lint/suspicious/noConfusingVoidType: a generator without a return statement returns void
  run(input: Input, context: RunContext): AsyncGenerator<EventBody, Result | void, void>
  /**
   * Continues a run whose process died, in another process. An agent without this method cannot be taken over: its run
   * fails as `producer-lost`.
   * @param history the run's events so far, oldest first
   */
  resume?(
    history: readonly TwinrailEvent[],
    input: Input,
    context: RunContext,
    // biome-ignore lint/suspicious/noConfusingVoidType: as above
  ): AsyncGenerator<EventBody, Result | void, void>
}

/**
 * Returns the agent unchanged, with types: the input of `run` has the output type of the schema `input`, and clients know
 * the agent's name, its input and its `result`: `createClient<typeof server>()` of `twinrail-client`.
 * @example
 * ```ts
 * import { defineAgent } from 'twinrail'
 * import { z } from 'zod'
 *
 * const greeter = defineAgent({
 *   name: 'greeter',
 *   description: 'Greets, if it may.',
 *   input: z.object({ name: z.string() }),
 *   async *run({ name }, { ask, signal }) {
 *     const { value } = await ask({ kind: 'approval', message: `Greet ${name}?`, schema: { type: 'boolean' } })
 *     if (value !== true || signal.aborted) return { finishReason: 'declined' }
 *     yield { type: 'text.delta', data: { partId: 'answer', delta: `Hello ${name}.` } }
 *     return { result: { greeted: name } }
 *   },
 * })
 * ```
 */
export function defineAgent<
  Input,
  const Name extends string = string,
  Given = unknown,
  Result extends RunResult = RunResult,
>(agent: Agent<Input, Name, Given, Result>): Agent<Input, Name, Given, Result> {
  return agent
}

/** Thrown by an agent, fails the run with a code and a message that users see. */
export class RunError extends Error {
  /** The name of the class, also where the class itself was loaded twice. */
  override readonly name = 'RunError'
  /** The code of `run.failed`. */
  readonly code: string
  /** Whether the same input may succeed later. @default false */
  readonly retryable: boolean

  constructor(code: string, message: string, options: { retryable?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? false
  }
}
