/** A server that executes runs, itself or by a worker, and says what their events cost and when they arrived. */
import { micros } from '../clock.ts'
import { createServer } from '../package/server.ts'
import { serveWorker } from '../serve.ts'
import { executor } from './executor.ts'
import { measuredAgents } from './measured-agents.ts'

const server = await createServer({ agents: measuredAgents('inside'), logger: false })
const url = await server.listen({ port: 0 })
const execute = executor(server)

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
    await execute(`${place}-paced`, { events, everyMs }, ({ type, data }) => {
      if (type === 'x.at') delaysUs.push(micros() - (data as { us: number }).us)
    })
    return delaysUs.map(us => us / 1000)
  },
}

serveWorker(handlers)
