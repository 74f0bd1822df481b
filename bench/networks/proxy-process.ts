/** The process of the delaying proxy: a line for each client, and how late it hands on what it carries. */
import { createServer, type Server } from 'node:net'
import { DelayRound } from '../load/delays.ts'
import { listen } from '../peers/peer.ts'
import { seeded } from '../random.ts'
import { serveWorker } from '../serve.ts'
import { Alarm } from './alarm.ts'
import { Line } from './line.ts'
import type { Profile } from './profiles.ts'

/** Of all pieces so far, ms. */
export interface Lateness {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export type ProxyHandlers = typeof handlers

const alarm = new Alarm()
const lines = new Map<number, { readonly line: Line; readonly server: Server }>()
const late = new DelayRound()

const lineOf = (port: number) => lines.get(port)?.line as Line

const handlers = {
  /** A new line to a port. @returns the port for the client */
  async open(port: number, profile: Profile, seed: number): Promise<number> {
    const line = new Line({ profile, alarm, random: seeded(seed), onLate: us => late.record(us) })
    const server = createServer({ allowHalfOpen: true }, client => line.carry(client, port))
    const own = await listen(server)
    lines.set(own, { line, server })
    return own
  },

  /** Bytes that were sent so far in both directions. */
  counted(port: number): number {
    const { up, down } = lineOf(port)
    return up.bytes + down.bytes
  },

  /** The next piece to the client is lost. */
  lose(port: number): void {
    lineOf(port).loseNext()
  },

  lateness(): Lateness {
    const { p50, p99, max } = {
      p50: late.percentile(50),
      p99: late.percentile(99),
      max: late.percentile(100),
    }
    return { p50, p99, max }
  },

  close(port: number): void {
    lines.get(port)?.server.close()
    lineOf(port).close()
    lines.delete(port)
  },
}

serveWorker(handlers)
