/** A server that executes runs, itself or by a worker, and says what their events cost and when they arrived. */
import { micros } from '../clock.ts'
import { createServer } from '../package/server.ts'
import { serveWorker } from '../serve.ts'
import { measuredAgents } from './measured-agents.ts'

const server = await createServer({ agents: measuredAgents('inside'), logger: false })
const url = await server.listen({ port: 0 })
let sessions = 0

/** Executes one run; resolves with the data of its terminal event. Times from yield to delivery are added to `delaysUs`. */
async function execute(
  agent: string,
  input: object,
  delaysUs: number[] = [],
): Promise<Record<string, unknown>> {
  const sessionId = `s${sessions++}`
  await server.sessions.create(sessionId)
  let done: (data: Record<string, unknown>) => void = () => {}
  const ended = new Promise<Record<string, unknown>>(resolve => {
    done = resolve
  })
  const listening = await server.bus.listen(sessionId, {
    event({ type, event }) {
      if (type === 'x.at') delaysUs.push(micros() - (event.data as { us: number }).us)
      else if (type === 'run.completed' || type === 'run.failed') done(event.data as Record<string, unknown>)
    },
    deleted() {},
    lost() {},
  })
  const command = { type: 'run.start', id: '1', sessionId, agent, input, onNoViewers: 'continue' } as const
  await server.sessions.execute(command, { id: 'bench' })
  const data = await ended
  listening.stop()
  return data
}

export type AgentsHandlers = typeof handlers

const handlers = {
  url: () => url,
  /** CPU of an event in µs: of this process, and of the worker's. */
  async burst(place: 'inside' | 'worker', events: number): Promise<{ server: number; worker: number }> {
    const before = process.cpuUsage()
    const { result } = await execute(`${place}-burst`, { events })
    const { user, system } = process.cpuUsage(before)
    const worker = place === 'worker' ? (result as { cpuUs: number }).cpuUs : 0
    return { server: (user + system) / events, worker: worker / events }
  },
  /** Times from the agent's `yield` to the delivery in the server, in ms. */
  async paced(place: 'inside' | 'worker', events: number, everyMs: number): Promise<number[]> {
    const delaysUs: number[] = []
    await execute(`${place}-paced`, { events, everyMs }, delaysUs)
    return delaysUs.map(us => us / 1000)
  },
}

serveWorker(handlers)
