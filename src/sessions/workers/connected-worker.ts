/** A worker's connection to this node: its agents, its slots, and the runs that it executes. */
import type { Control, TwinrailError, WorkerAgent } from '../../protocol/index.ts'
import type { Work } from './work.ts'

/** What a transport gives for each worker. */
export interface WorkerLink {
  /** Id of the worker's principal. */
  readonly principal: string
  send(control: Control): void
  /** Closes the connection; the worker connects again. */
  close(reason: TwinrailError): void
  /** Whether it may execute the agent's runs in that session. */
  mayTake(agent: string, sessionId: string): Promise<boolean>
}

export class ConnectedWorker {
  readonly link: WorkerLink
  agents: ReadonlyMap<string, WorkerAgent> = new Map()
  slots = 0
  /** Slots that are kept for runs which are about to be given to it. */
  reserved = 0
  readonly works = new Map<string, Work>()
  /** When its last command came, by `performance.now()`. */
  heardAt = performance.now()
  isGone = false

  constructor(link: WorkerLink) {
    this.link = link
  }

  get free(): number {
    return this.slots - this.works.size - this.reserved
  }
}
