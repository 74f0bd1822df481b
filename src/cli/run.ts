/** `twinrail run <agent> <input>`: starts a run and shows its events until it ends. */
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

/** How long the command waits for a cancelled run to end before it exits, in ms. */
const CANCEL_MS = 5000

/**
 * Starts one run of an agent and shows its events. When `signal` aborts, the run is cancelled and shown until it ends.
 * @returns the process's exit code
 */
export async function runCommand(options: RunOptions): Promise<number> {
  const { url, headers, signal, stdout, stderr, env = process.env } = options
  const screen = new Screen(stdout, stderr, env)
  const sessionId = options.sessionId ?? newId()
  const runId = newId()
  const leave = new AbortController()
  let begun = false

  /** Waits for the start to be answered, so that the cancel cannot overtake it. */
  const cancel = async (starting: Promise<unknown>) => {
    setTimeout(() => leave.abort(), CANCEL_MS).unref()
    await starting.catch(() => {}) // reported where it is awaited
    const command = { type: 'run.cancel', runId, reason: 'interrupted' } as const
    await sendCommand({ url, headers, sessionId, command, signal: leave.signal }).catch(error => {
      if (error.code === 'run-ended') return
      screen.note(`The run could not be cancelled: ${error.message}`, 'red')
      leave.abort()
    })
  }

  try {
    const agent = await findAgent(options, signal)
    const command = {
      type: 'run.start',
      agent: agent.name,
      runId,
      input: agentInput(agent, options.input),
    } as const
    signal.throwIfAborted()
    const starting = sendCommand({ url, headers, sessionId, command, signal: leave.signal })
    signal.addEventListener('abort', () => void cancel(starting), { once: true })
    await starting
    begun = true
    screen.note(`session ${sessionId}`)
    const outcome = await watch(options, { sessionId, run: runId }, screen, leave.signal)
    if (outcome?.type === 'run.completed') return exitCodes.completed
    return signal.aborted ? exitCodes.interrupted : exitCodes.failed
  } catch (error) {
    if (begun) screen.note(`The run may still be active. To see it: twinrail tail ${sessionId}`)
    if (signal.aborted) return exitCodes.interrupted
    if (screen.gone.aborted) return exitCodes.failed
    reportError(screen, url, error)
    return begun ? exitCodes.failed : exitCodes.refused
  }
}

async function findAgent(
  { url, headers = {}, agent: name }: RunOptions,
  signal: AbortSignal,
): Promise<AgentInfo> {
  const response = await fetch(endpoint(url, 'agents'), { headers, signal }).catch(cause => {
    throw new ClientError('connection-lost', cause.cause?.message ?? cause.message, { cause })
  })
  if (!response.ok) throw await errorOfResponse(response)
  const { agents } = (await response.json()) as { agents: AgentInfo[] }
  const agent = agents.find(agent => agent.name === name)
  if (agent) return agent
  throw new UsageError(
    `There is no agent ${name}. The server has: ${agents.map(agent => agent.name).join(', ')}`,
  )
}
