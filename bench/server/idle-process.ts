/** A server with idle clients, in a process of its own: its memory, its CPU, and its end. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { collectGarbage, serveWorker } from '../serve.ts'
import { type IdleOptions, type IdleServer, type Running, startIdleServer } from './idle-servers.ts'

export type IdleServerHandlers = typeof handlers

let running: Running | undefined

const handlers = {
  /**
   * Raises this process's limit of open files if it may. Node itself has raised the soft limit to the hard one.
   * @returns the limit
   */
  openFiles(wanted: number): number {
    if (fileLimit() < wanted)
      spawnSync('prlimit', ['--pid', `${process.pid}`, `--nofile=${wanted}:${wanted}`])
    return fileLimit()
  },

  /** @returns the port */
  async start(name: IdleServer, options: IdleOptions): Promise<number> {
    running = await startIdleServer(name, options)
    return running.port
  },

  stop: () => running?.stop(),

  /** User and system time since the process began, in µs. */
  cpuUs(): number {
    const { user, system } = process.cpuUsage()
    return user + system
  },

  /** Resident bytes after garbage collection. */
  async resident(): Promise<number> {
    await collectGarbage()
    return process.memoryUsage.rss()
  },
}

function fileLimit(): number {
  const [, soft = ''] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
  return Number(soft)
}

serveWorker(handlers)
