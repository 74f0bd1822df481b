/** The load's process in workloads: clients of one cell at a time, and the clock that everything is sent by. */
import { connect, type Socket } from 'node:net'
import { micros } from '../clock.ts'
import { serveWorker } from '../serve.ts'
import { clientCount, Script, sessionId, sessionsOf, type Workload } from '../workloads/workload.ts'
import { workloads } from '../workloads/workloads.ts'
import type { Audience } from './audience.ts'
import { Client } from './client.ts'
import { curve } from './delays.ts'
import { Metronome } from './metronome.ts'
import { type Done, Phase, type PhaseAsked, type PhaseFound } from './phase.ts'
import { Http2Connections, Http2Rail } from './rails/http2.ts'
import { LongPollRail } from './rails/long-poll.ts'
import { PeerRail } from './rails/peer.ts'
import type { Ears, Rail } from './rails/rail.ts'
import { SseRail } from './rails/sse.ts'
import { WebSocketRail } from './rails/websocket.ts'
import type { Target } from './target.ts'

/** One cell of one round. */
export interface CellAsked {
  readonly workload: Workload['name']
  readonly seed: number
  /** Begins the names of its sessions. */
  readonly prefix: string
  /** Where the server takes orders to publish. */
  readonly orders: number
}

/** Connections that are opened at a time. */
const OPENING = 25

/** Clients that share an HTTP/2 connection at the most: servers bound its streams. */
const SHARING = 100

/** One of so many clients reads slowly, where some do, and so much in a second, bytes. */
const SLOW = { every: 10, pace: 2048 }

const metronome = new Metronome()
let cell: CellAsked
let workload: Workload
let script: Script
let orders: Socket | undefined
let clients: Client[] = []
let slow = new Set<Client>()
let phase: Phase | undefined
let hearsEphemeral = true

export const handlers = {
  /** Prepares for a cell; nobody is connected yet. */
  begin(asked: CellAsked): void {
    cell = asked
    workload = workloads[asked.workload]
    script = new Script(workload, asked.seed)
    orders = connect({ port: asked.orders, host: '127.0.0.1', noDelay: true })
  },

  /** So many clients come and go, one after the other: gives how long each took to its first event, ms. */
  async probe(target: Target, count: number): Promise<number[]> {
    const found: number[] = []
    for (let i = 0; i < count; i++) {
      const make = railMaker(target)
      const client = makeClient(target, make, (i * workload.clients) % clientCount(workload))
      const begun = micros()
      await client.open()
      // A server that is not ours keeps no events: its greeting is the first thing that comes.
      found.push(((client.firstEventAt || micros()) - begun) / 1000)
      client.cut()
    }
    return found
  },

  /** Connects everybody. @param slowly whether some of them read slowly */
  async open(target: Target, slowly = false): Promise<void> {
    const make = railMaker(target)
    hearsEphemeral = target.rail !== 'long-poll'
    for (let index = 0; index < clientCount(workload); index++) {
      const reads = slowly && index % SLOW.every === SLOW.every - 1 ? SLOW.pace : undefined
      const client = makeClient(target, make, index, reads)
      clients.push(client)
      if (reads !== undefined) slow.add(client)
    }
    await openAll(clients)
  },

  /** Connects clients of the cell's only session until there are so many. */
  async grow(target: Target, count: number): Promise<void> {
    const make = railMaker(target)
    const opened: Client[] = []
    for (let index = clients.length; index < count; index++) opened.push(makeClient(target, make, index))
    clients.push(...opened)
    await openAll(opened)
  },

  /** Plays the script's next stretch to its end. @param heads number of each session's last event */
  async play(asked: PhaseAsked, heads: readonly number[]): Promise<void> {
    const steps = script.next(asked.ms, asked.speed)
    phase = new Phase(audience(), asked, steps, heads)
    await phase.play(metronome, indexes => {
      const message = Buffer.alloc(4 * indexes.length)
      for (const [at, index] of indexes.entries()) message.writeUInt32LE(index, 4 * at)
      orders?.write(message)
    })
  },

  /** Counts what came of the stretch that was played. */
  finish(done: Done): Promise<PhaseFound> {
    return (phase as Phase).finish(done)
  },

  /** Everybody leaves. */
  close(): void {
    for (const client of clients) client.cut()
    clients = []
    slow = new Set()
  },

  /** The cell is over. */
  end(): void {
    orders?.destroy()
  },

  /** All rounds' delays under a name. */
  curve,
}

function railMaker(
  target: Target,
): (index: number, sessionIds: readonly string[], ears: Ears, pace?: number) => Rail {
  const http2 = new Http2Connections(target.port)
  return (index, sessionIds, ears, pace) => {
    if (target.dials) {
      const [session] = sessionsOf(workload, index) as [number]
      return new PeerRail(target.dials[session] as NonNullable<Target['dials']>[number], ears)
    }
    if (target.rail === 'websocket') return new WebSocketRail(target, sessionIds, ears, pace)
    if (target.rail === 'long-poll') return new LongPollRail(target, sessionIds, ears)
    if (target.http === '1.1') return new SseRail(target, sessionIds, ears, pace)
    // Who follows many sessions has a connection for all of them; of the others many share one.
    const shares = target.http === '2, one connection' && sessionIds.length === 1
    const name = shares ? `shared ${Math.floor(index / SHARING)}` : `client ${index}`
    return new Http2Rail(http2.named(name), sessionIds, ears)
  }
}

function makeClient(
  target: Target,
  make: ReturnType<typeof railMaker>,
  index: number,
  pace?: number,
): Client {
  const sessionIds = sessionsOf(workload, index).map(session => sessionId(cell.prefix, session))
  return new Client({
    sessionIds,
    makeRail: ears => make(index, sessionIds, ears, pace),
    catchesUp: !target.dials && target.rail !== 'long-poll',
  })
}

async function openAll(all: readonly Client[]): Promise<void> {
  for (let at = 0; at < all.length; at += OPENING) {
    await Promise.all(all.slice(at, at + OPENING).map(client => client.open()))
  }
}

function audience(): Audience {
  const healthy = clients.filter(client => !slow.has(client))
  const followers = Array.from({ length: workload.sessions }, (_, session) =>
    clients.flatMap((client, index) => {
      const at = sessionsOf(workload, index).indexOf(session)
      const track = client.tracks[at]
      return track && !slow.has(client) ? [{ client, track }] : []
    }),
  )
  return {
    workload,
    prefix: cell.prefix,
    clients,
    healthy,
    hearsEphemeral,
    followers: session => followers[session] as (typeof followers)[number],
  }
}

serveWorker(handlers)
