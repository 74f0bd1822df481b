/** `twinrail run <agent> <text or JSON>`: starts a run and shows it until its end. */
import { ClientError, endpoint, errorOfResponse, newId, sendCommand } from '../../client/index.ts'
import { type AgentInfo, agentInput, UsageError } from './agent-input.ts'
import { exitCodes, reportError } from './exit.ts'
import { Screen } from './screen.ts'
import { type TerminalOptions, watch } from './watch.ts'

export interface RunOptions extends TerminalOptions {
  agent: string
  /** Text, or the agent's input as a JSON object. */
  input: string
  /** The session to run in. @default a new one */
  sessionId?: string | undefined
}

/** How long a cancelled run may take to end before the command leaves, in ms. */
const CANCEL_MS = 5000

/**
 * Starts one run of an agent and shows it. When `signal` aborts the run is cancelled, and shown to its end.
 * @returns the process's exit code
 */
export async function runCommand(options: RunOptions): Promise<number> {
  const { url, signal, stdout, stderr, env = process.env } = options
  const screen = new Screen(stdout, stderr, env)
  const sessionId = options.sessionId ?? newId()
  const runId = newId()
  const leave = new AbortController()
  let begun = false

  /** Follows the start, so that it cannot overtake it. */
  const cancel = async (starting: Promise<unknown>) => {
    setTimeout(() => leave.abort(), CANCEL_MS).unref()
    await starting.catch(() => {}) // told where it is awaited
    const command = { type: 'run.cancel', runId, reason: 'interrupted' } as const
    await sendCommand({ url, sessionId, command, signal: leave.signal }).catch(error => {
      if (error.code === 'run-ended') return
      screen.note(`The run could not be cancelled: ${error.message}`, 'red')
      leave.abort()
    })
  }

  try {
    const agent = await findAgent(url, options.agent, signal)
    const command = {
      type: 'run.start',
      agent: agent.name,
      runId,
      input: agentInput(agent, options.input),
    } as const
    signal.throwIfAborted()
    const starting = sendCommand({ url, sessionId, command, signal: leave.signal })
    signal.addEventListener('abort', () => void cancel(starting), { once: true })
    await starting
    begun = true
    screen.note(`session ${sessionId}`)
    const outcome = await watch(options, { sessionId, run: runId }, screen, leave.signal)
    if (outcome?.type === 'run.completed') return exitCodes.completed
    return signal.aborted ? exitCodes.interrupted : exitCodes.failed
  } catch (error) {
    if (begun) screen.note(`The run may still go on. To see: twinrail tail ${sessionId}`)
    if (signal.aborted) return exitCodes.interrupted
    if (screen.gone.aborted) return exitCodes.failed
    reportError(screen, url, error)
    return begun ? exitCodes.failed : exitCodes.refused
  }
}

async function findAgent(url: string, name: string, signal: AbortSignal): Promise<AgentInfo> {
  const response = await fetch(endpoint(url, 'agents'), { signal }).catch(cause => {
    throw new ClientError('connection-lost', cause.cause?.message ?? cause.message, { cause })
  })
  if (!response.ok) throw await errorOfResponse(response)
  const { agents } = (await response.json()) as { agents: AgentInfo[] }
  const agent = agents.find(agent => agent.name === name)
  if (agent) return agent
  throw new UsageError(`No agent ${name}. There are: ${agents.map(agent => agent.name).join(', ')}`)
}
