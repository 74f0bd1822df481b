/** How foreign conversations map to sessions, runs and the input of agents. */
import { createHash } from 'node:crypto'
import type { ForeignMessage } from '../agents/agent.ts'
import { inputOfChat, lastUserText } from '../agents/chat-fields.ts'
import type { RunRange } from '../bus/cursor.ts'
import { keys } from '../log/keys.ts'
import { formatOffset, Id, TwinrailError } from '../protocol/index.ts'
import type { ListedAgent } from '../sessions/agent-list.ts'
import { digest } from '../sessions/repeats.ts'
import type { RunState } from '../sessions/state.ts'
import type { TransportContext } from '../transports/context.ts'

/** The id itself where the protocol allows it; else its hash. Equal ids give equal results on every node. */
export function idOf(foreign: string): string {
  return Id.safeParse(foreign).success ? foreign : `h-${hashOf(foreign)}`
}

/** A run id made of values: the same values give the same run, so a repeated request attaches to its first run. */
export function runIdOf(...values: unknown[]): string {
  return `r-${digest(values).replaceAll('_', '.')}`
}

const hashOf = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 40)

/** A place in a run as one opaque word, for clients that keep only one id: session, run, number of the first event. */
export function placeOf(sessionId: string, runId: string, seq: number): string {
  return `${sessionId}~${runId}~${seq}`
}

/** What {@link placeOf} was made of; `undefined` for any other text. */
export function parsePlace(text: string): { sessionId: string; runId: string; seq: number } | undefined {
  const [sessionId = '', runId = '', seq = '', ...rest] = text.split('~')
  if (rest.length > 0 || !/^\d{1,15}$/.test(seq)) return undefined
  if (!Id.safeParse(sessionId).success || !Id.safeParse(runId).success) return undefined
  return { sessionId, runId, seq: Number(seq) }
}

/** The agent of this name. @throws TwinrailError `agent-not-found` */
export function agentOf({ sessions }: TransportContext, name: string): ListedAgent {
  const agent = sessions.agentList.get(name)
  if (agent) return agent
  throw new TwinrailError(
    'agent-not-found',
    'the server has no agent of this name; GET /v1/agents lists its agents',
    { details: { agent: name.slice(0, 256) } },
  )
}

/**
 * The input of a run that a foreign client asks for: `given` as it is, or what the agent's `fromMessages` or `chat` makes
 * of the conversation. Without these, the last text of the user goes into the one string field that the agent requires (or into
 * `prompt`), or the agent is given `messages` when it takes them.
 * @throws TwinrailError `bad-request` when the agent's input cannot be made of messages
 */
export function inputOf(
  agent: ListedAgent,
  messages: readonly ForeignMessage[],
  extra: Readonly<Record<string, unknown>>,
  given: unknown,
): unknown {
  if (given !== undefined) return given
  if (agent.fromMessages) return agent.fromMessages(messages, extra)
  if (agent.chat) return inputOfChat(agent.chat, messages)
  const text = lastUserText(messages)
  const { properties = {}, required = [] } = agent.input as {
    properties?: Record<string, { type?: unknown }>
    required?: string[]
  }
  const strings = required.filter(name => properties[name]?.type === 'string')
  const field = required.length === 1 ? strings[0] : undefined
  const name =
    field ?? (required.length === 0 && properties['prompt']?.type === 'string' ? 'prompt' : undefined)
  if (name !== undefined) {
    if (text === undefined) {
      throw new TwinrailError('bad-request', 'the messages hold no text of a user; send one, or `input`')
    }
    return { [name]: text }
  }
  if (properties['messages']) return { messages: messages.map(({ role, text }) => ({ role, content: text })) }
  throw new TwinrailError(
    'bad-request',
    `the input of ${agent.name} cannot be made of messages; send it as \`input\`, or give the agent fromMessages`,
  )
}

/** The session's runs, oldest first: all open ones and the last that ended; none when there is no session. */
export async function runsOf(
  { sessions }: TransportContext,
  sessionId: string,
): Promise<readonly RunState[]> {
  try {
    return (await sessions.describe(sessionId)).runs
  } catch (error) {
    if (error instanceof TwinrailError && error.code === 'session-not-found') return []
    throw error
  }
}

/** Where a run lies in its session; `undefined` when there is no such session or run. */
export async function findRun(
  { journal }: TransportContext,
  sessionId: string,
  runId: string,
): Promise<(RunRange & { epoch: number }) | undefined> {
  if (!Id.safeParse(runId).success) return undefined
  const session = await journal.findSession(sessionId)
  if (!session) return undefined
  const [started, ended] = await journal.lookup(sessionId, [keys.run(runId), keys.end(runId)])
  return started && { start: started.seq, end: ended?.seq, epoch: session.epoch }
}

/** The cursor just before an event. */
export function before(epoch: number, seq: number): string {
  return formatOffset(epoch, seq - 1)
}

/** What the text of a tool’s result says, which clients send as JSON; any other text is itself. */
export function jsonOf(content: unknown): NonNullable<unknown> | null {
  if (typeof content !== 'string') return content ?? null
  try {
    return JSON.parse(content) as NonNullable<unknown> | null
  } catch {
    return content
  }
}
