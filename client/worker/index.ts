/**
 * A worker: executes runs of agents outside the server's process. For Node and other servers.
 *
 * ```ts
 * import { createWorker, defineAgent } from 'twinrail-client/worker'
 * ```
 */
export {
  type Agent,
  type Answer,
  type AskRequest,
  type ChatFields,
  defineAgent,
  type RunContext,
  RunError,
  type RunResult,
  type Steer,
  type Steering,
} from '../../src/agents/agent.ts'
export { TwinrailError } from '../../src/protocol/errors.ts'
export { createWorker, type Worker, type WorkerOptions } from './worker.ts'
