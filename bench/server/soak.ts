/** The measured process of `soak`: a server with short sessions, and counts of what the process holds. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createRedisLog,
  createServer,
  openLmdbLog,
  playback,
  type TwinrailServer,
} from '../package/server.ts'
import { collectGarbage, serveWorker } from '../serve.ts'

/** Memory of this process, in bytes. */
export interface Memory {
  /** Resident, without mapped files, which the kernel may drop at any time. */
  readonly own: number
  /** Resident. */
  readonly resident: number
  /** JavaScript heap in use. */
  readonly heap: number
}

/** Numbers of open resources, by name. */
export type Held = Record<string, number>

/** Events that a session keeps, so that the log does not grow. */
const RETAINED = 2000

const folder = mkdtempSync(join(tmpdir(), 'twinrail-bench-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

let server: TwinrailServer

export const handlers = {
  /** @param redis URL of the log; without one it is LMDB in a folder @returns the server's port */
  async open(redis?: string): Promise<number> {
    const log = redis
      ? await createRedisLog({ url: redis, warn() {} })
      : await openLmdbLog({ folder: `${folder}/log` })
    server = await createServer({
      log,
      agents: [playback],
      leaseMs: 2000,
      retention: { events: RETAINED },
      retentionEveryMs: 1000,
    })
    return Number(new URL(await server.listen({ port: 0 })).port)
  },

  memory(): Memory {
    const { rss, heapUsed } = process.memoryUsage()
    const own = /RssAnon:\s*(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
    return { own: Number(own) * 1024, resident: rss, heap: heapUsed }
  },

  collect: collectGarbage,

  async held(): Promise<Held> {
    const resources = process.getActiveResourcesInfo()
    const emitters = [process, server.app.server, server.app.websocketServer]
    const listeners = emitters.flatMap(emitter =>
      emitter.eventNames().map(name => emitter.listenerCount(name as string)),
    )
    return {
      topics: server.bus.topics,
      subscriptions: [...server.bus.subscriptions()].length,
      runs: server.sessions.runner.active,
      'leases that ran out': (await server.journal.expired(100)).length,
      timers: resources.filter(kind => kind === 'Timeout' || kind === 'Immediate').length,
      sockets: resources.filter(kind => kind === 'TCPSocketWrap').length,
      listeners: listeners.reduce((a, b) => a + b, 0),
      'file descriptors': readdirSync('/proc/self/fd').length,
    }
  },

  close: () => server.close({ graceMs: 0 }),
}

serveWorker(handlers)
