/** A server that takes commands, in a process of its own, with its CPU. */
import { serveWorker } from '../serve.ts'
import { type CommandServer, type Places, type Started, startCommandServer } from './command-servers.ts'

export type CommandServerHandlers = typeof handlers

let started: Started | undefined

const handlers = {
  /** @returns the port */
  async start(name: CommandServer, places: Places): Promise<number> {
    started = await startCommandServer(name, places)
    return started.port
  },
  /** User and system time of the server since it began, in µs. */
  cpuUs(): number {
    if (started?.cpuUs) return started.cpuUs()
    const { user, system } = process.cpuUsage()
    return user + system
  },
  /** Ends what is not this process. */
  stop: () => started?.stop?.(),
}

serveWorker(handlers)
