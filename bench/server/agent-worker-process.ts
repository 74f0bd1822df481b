/** A worker in a process of its own. */
import { WebSocket } from 'ws'
import { createWorker } from '../package/worker.ts'
import { serveWorker } from '../serve.ts'
import { measuredAgents } from './measured-agents.ts'

export type AgentWorkerHandlers = typeof handlers

const handlers = {
  /** Resolves when the server has its agents. */
  async connect(url: string): Promise<void> {
    await createWorker({ url, agents: measuredAgents('worker'), slots: 10, WebSocket }).ready
  },
}

serveWorker(handlers)
