/** The load process of the workloads: the clients of one cell at a time, and the clock that everything is sent by. */
import { connect, type Socket } from 'node:net'
import { micros } from '../clock.ts'
import { serveWorker } from '../serve.ts'
import { clientCount, Script, sessionId, sessionsOf, type Workload } from '../workloads/workload.ts'
import { workloads } from '../workloads/workloads.ts'
import { Client } from './client.ts'
import { connectTo } from './connections/connect.ts'
import { Http2Connections } from './connections/http2.ts'
import type { ConnectedClients } from './count-deliveries.ts'
import { curve } from './delays.ts'
import { Metronome } from './metronome.ts'
import { type Appended, Phase, type PhaseOptions, type PhaseResult } from './phase.ts'
import type { Target } from './target.ts'

/** One cell of one round. */
export interface CellOptions {
  readonly workload: Workload['name']
  readonly seed: number
  /** Start of the names of its sessions. */
  readonly prefix: string
  /** Port on which the server takes orders to publish. */
  readonly orders: number
}

/** Connections that are opened at a time. */
const OPENING = 25

/** Where slow readers are asked for, one of `every` clients reads `pace` bytes per second. */
const SLOW = { every: 10, pace: 2048 }

const metronome = new Metronome()
let cell: CellOptions
let workload: Workload
let script: Script
let orders: Socket | undefined
let clients: Client[] = []
let slow = new Set<Client>()
let phase: Phase | undefined
let getsEphemeral = true

export const handlers = {
  /** Prepares for a cell; no client is connected yet. */
  begin(options: CellOptions): void {
    cell = options
    workload = workloads[options.workload]
    script = new Script(workload, options.seed)
    orders = connect({ port: options.orders, host: '127.0.0.1', noDelay: true })
  },

  /** Connects `count` clients one after the other. @returns how long each took to its first event, ms */
  async probe(target: Target, count: number): Promise<number[]> {
    const found: number[] = []
    for (let i = 0; i < count; i++) {
      const http2 = new Http2Connections(target.port)
      const client = makeClient(target, http2, (i * workload.clients) % clientCount(workload))
      const begun = micros()
      await client.open()
      // Other servers keep no events: their greeting comes first.
      found.push(((client.firstEventAt || micros()) - begun) / 1000)
      client.cut()
    }
    return found
  },

  /** Connects all clients. @param slowly whether some of them read slowly */
  async open(target: Target, slowly = false): Promise<void> {
    const http2 = new Http2Connections(target.port)
    getsEphemeral = target.transport !== 'long-poll'
    for (let index = 0; index < clientCount(workload); index++) {
      const reads = slowly && index % SLOW.every === SLOW.every - 1 ? SLOW.pace : undefined
      const client = makeClient(target, http2, index, reads)
      clients.push(client)
      if (reads !== undefined) slow.add(client)
    }
    await openAll(clients)
  },

  /** Connects clients of the cell's only session until there are `count`. */
  async grow(target: Target, count: number): Promise<void> {
    const http2 = new Http2Connections(target.port)
    const opened: Client[] = []
    for (let index = clients.length; index < count; index++) opened.push(makeClient(target, http2, index))
    clients.push(...opened)
    await openAll(opened)
  },

  /** Plays the script's next stretch to its end. @param heads number of each session's last event */
  async play(options: PhaseOptions, heads: readonly number[]): Promise<void> {
    const steps = script.next(options.ms, options.speed)
    phase = new Phase(connectedClients(), options, steps, heads)
    await phase.play(metronome, indexes => {
      const message = Buffer.alloc(4 * indexes.length)
      for (const [at, index] of indexes.entries()) message.writeUInt32LE(index, 4 * at)
      orders?.write(message)
    })
  },

  /** Counts what the stretch delivered. */
  finish(appended: Appended): Promise<PhaseResult> {
    return (phase as Phase).finish(appended)
  },

  /** Disconnects all clients. */
  close(): void {
    for (const client of clients) client.cut()
    clients = []
    slow = new Set()
  },

  /** Ends the cell. */
  end(): void {
    orders?.destroy()
  },

  /** The merged delays of all rounds under a name. */
  curve,
}

function makeClient(target: Target, http2: Http2Connections, client: number, pace?: number): Client {
  const sessions = sessionsOf(workload, client)
  const [session] = sessions as [number]
  const sessionIds = sessions.map(session => sessionId(cell.prefix, session))
  return new Client({
    sessionIds,
    connect: handlers => connectTo(target, { sessionIds, session, client, http2, pace }, handlers),
    catchesUp: !target.dials && target.transport !== 'long-poll',
  })
}

async function openAll(all: readonly Client[]): Promise<void> {
  for (let at = 0; at < all.length; at += OPENING) {
    await Promise.all(all.slice(at, at + OPENING).map(client => client.open()))
  }
}

function connectedClients(): ConnectedClients {
  const healthy = clients.filter(client => !slow.has(client))
  const followers = Array.from({ length: workload.sessions }, (_, session) =>
    clients.flatMap((client, index) => {
      const at = sessionsOf(workload, index).indexOf(session)
      const deliveries = client.deliveries[at]
      return deliveries && !slow.has(client) ? [{ client, deliveries }] : []
    }),
  )
  return {
    workload,
    prefix: cell.prefix,
    all: clients,
    healthy,
    getsEphemeral,
    followers: session => followers[session] as (typeof followers)[number],
  }
}

serveWorker(handlers)
