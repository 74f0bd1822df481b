/** A server that takes commands, in a process of its own, with its CPU. */
import { serveWorker } from '../serve.ts'
import { type CommandServer, type Places, startCommandServer } from './command-servers.ts'

export type CommandServerHandlers = typeof handlers

const handlers = {
  /** @returns the port */
  start: (name: CommandServer, places: Places): Promise<number> => startCommandServer(name, places),
  /** User and system time since the process began, in µs. */
  cpuUs(): number {
    const { user, system } = process.cpuUsage()
    return user + system
  },
}

serveWorker(handlers)
