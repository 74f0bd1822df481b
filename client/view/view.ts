/** The types of a session's view: runs, messages and their parts. They are plain data and independent of any framework. */
import type { ClientError } from '../errors.ts'
import type { EventOf } from '../protocol.ts'
import type { Terminal } from '../run.ts'

/** The fields of every part. */
interface PartBase {
  /**
   * The offset of the part's first event. It is unique in the session and the same after a reload, so it serves as a
   * key.
   */
  offset: string
  /** True while the beginning of the part is missing: it is older than the view. `loadOlder()` brings it. */
  torn?: true
}

/** A text of the agent: the deltas of one part, joined. */
export interface TextPart extends PartBase {
  /** Distinguishes the parts of a message. */
  type: 'text'
  /** The id that the agent gave it. */
  partId: string
  /** The author, such as `assistant`. */
  role: string
  /** The text that has arrived so far. */
  text: string
  /** `done` once the part or its run has ended. */
  state: 'running' | 'done'
}

/** A text of the agent's reasoning. */
export interface ReasoningPart extends Omit<TextPart, 'type'> {
  /** Distinguishes the parts of a message. */
  type: 'reasoning'
}

/** A file or another product of the agent. */
export interface ArtifactPart extends PartBase {
  /** Distinguishes the parts of a message. */
  type: 'artifact'
  /** The id that the agent gave it. */
  artifactId: string
  /** The kind of the artifact, such as a media type. */
  kind: string
  /** The name, such as that of a file. */
  name: string
  /** The content that has arrived so far. */
  text: string
  /** `done` once the artifact or its run has ended. */
  state: 'running' | 'done'
}

/** A tool call, from its start to its result. */
export interface ToolPart extends PartBase {
  /** Distinguishes the parts of a message. */
  type: 'tool'
  /** The id of the call. */
  toolCallId: string
  /** The tool's name. */
  toolName: string
  /** The JSON text of the input that has arrived so far; `input` is set once it is complete. */
  inputText: string
  /** The complete input. */
  input?: unknown
  /** The tool's output; set with the state `finished`. */
  output?: unknown
  /** Whether the tool failed; set with the state `finished`. */
  isError?: boolean
  /** `closed`: the run ended before the tool did. */
  state: 'started' | 'called' | 'finished' | 'closed'
}

/** A named step of the agent. */
export interface StepPart extends PartBase {
  /** Distinguishes the parts of a message. */
  type: 'step'
  /** The id that the agent gave it. */
  stepId: string
  /** The step's name, for people. */
  name: string
  /** `done` once the step or its run has ended. */
  state: 'running' | 'done'
}

/** A phase of the run. It is done when the next one begins or the run ends. */
export interface StatusPart extends PartBase {
  /** Distinguishes the parts of a message. */
  type: 'status'
  /** The name of the phase, such as `searching`. */
  status: string
  /** The phase for people; absent when the agent gave none. */
  message?: string | undefined
  /** `done` once the next phase has begun, or the run has ended. */
  state: 'running' | 'done'
}

/** The plan of the run, in its newest version. It is done when all its steps are, or when the run has ended. */
export type PlanPart = PartBase &
  EventOf<'plan.updated'>['data'] & { type: 'plan'; state: 'running' | 'done' }

/** A source that the run cites. */
export type SourcePart = PartBase & EventOf<'source.added'>['data'] & { type: 'source'; state: 'done' }

/** A question of the run to its users. Answer it with its `requestId`. */
export type QuestionPart = PartBase &
  EventOf<'input.requested'>['data'] & {
    type: 'question'
    runId: string
    /** `closed`: the run ended before the question was answered. */
    state: 'open' | 'answered' | 'expired' | 'closed'
    /** The accepted answer; set with the state `answered`. */
    value?: unknown
  }

/** An event of the application's own. */
export interface CustomPart extends PartBase {
  /** The event's type. */
  type: `x.${string}`
  /** The event's data. */
  data: unknown
  /** Always `done`: the part is one event. */
  state: 'done'
}

/** A part of an assistant's message. `type` discriminates. */
export type Part =
  | TextPart
  | ReasoningPart
  | ArtifactPart
  | ToolPart
  | StepPart
  | StatusPart
  | PlanPart
  | SourcePart
  | QuestionPart
  | CustomPart

interface MessageBase {
  /** Unique in the session and the same after a reload, so it serves as a key. */
  id: string
  /** The run that the message belongs to. */
  runId: string
  /** The offset of the message's first event; `''` while its run is being started. */
  offset: string
  /** When the message was begun, by the server's clock, in ms since 1970. */
  time: number
}

/** A message of a user: the input that started a run, or a message to a running agent. */
export interface UserMessage extends MessageBase {
  /** Distinguishes it from an agent's message. */
  role: 'user'
  /**
   * The text. Of an input, the text that its agent names (`inputText` of the agent), otherwise the field `query`,
   * `prompt`, `text` or `message`, the last user text of `messages`, or the input as JSON.
   */
  text: string
  /** The run's input; absent on messages to a running agent. */
  input?: unknown
  /** The id of a message to a running agent; absent on inputs. */
  inputId?: string
  /** The principal that sent it. */
  by?: string | undefined
  /** `sending` until the log has it; `applied` once a running agent has read it. */
  state: 'sending' | 'sent' | 'applied'
}

/** A message of an agent. A run has one, and another one after each message of a user to it. */
export interface AssistantMessage extends MessageBase {
  /** Distinguishes it from a user's message. */
  role: 'assistant'
  /** The agent's name. */
  agent: string
  /** The parts in the order of their first events in the log. */
  parts: readonly Part[]
  /** The text parts, joined by blank lines. */
  text: string
  /** The status of the run. */
  state: RunView['status']
  /** Why the run failed. */
  error?: ClientError | undefined
}

/** A message of a session. `role` discriminates. */
export type Message = UserMessage | AssistantMessage

/** One run of a session. */
export interface RunView {
  /** The run's id. */
  runId: string
  /** The offset of the first event in the view; `''` while the run is being started. */
  offset: string
  /** True while the beginning of the run is missing: it is older than the view. `loadOlder()` brings it. */
  torn?: true
  /** The agent's name. */
  agent: string
  /** The input that the run was started with. */
  input: unknown
  /** The run's own status; it does not depend on the connection. `starting` until the log has its start. */
  status: 'starting' | 'running' | 'completed' | 'failed' | 'cancelled'
  /** Why the run failed, with its code and whether it is `retryable`. */
  error: ClientError | undefined
  /** The messages of the run, in the order of the log. */
  messages: readonly Message[]
  /** The parts of all its assistant messages, in the order of the log. */
  parts: readonly Part[]
  /** The event that ended the run; `undefined` before it. */
  terminal: Terminal | undefined
  /** Ids of the messages that the agent has read. */
  applied: readonly string[]
}

/** The view of a session. */
export interface SessionView {
  /** All messages, in the order of the log. A message that did not change is the same object. */
  messages: readonly Message[]
  /** The runs in the order of their starts: all that are running, and the newest 100 others. */
  runs: readonly RunView[]
  /** The open questions, in the order in which they were asked. */
  questions: readonly QuestionPart[]
  /** Whether the log has events that are older than the view. */
  hasOlder: boolean
  /** The view has every event from this offset on; `undefined` before the first. */
  since: string | undefined
  /** Whether the backlog has been delivered. */
  caughtUp: boolean
  /** The newest 100 ranges of offsets that were not delivered. */
  gaps: readonly { from: string; to: string; reason: string }[]
  /** Why the session's stream ended, such as `deleted` or `forbidden`; `undefined` while it continues. */
  ended: string | undefined
}
