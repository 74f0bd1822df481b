/** The clients of `networks`, many at a time: each connects, loses its connection, sends commands, and checks every event. */
import { connect as connectSocket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { micros } from '../clock.ts'
import { Client } from '../load/client.ts'
import { connectTo } from '../load/connections/connect.ts'
import { Http2Connections } from '../load/connections/http2.ts'
import { DelayRound } from '../load/delays.ts'
import type { Target } from '../load/target.ts'
import { serveWorker } from '../serve.ts'
import type { Way } from './profiles.ts'

/** An event counts as lost when it has not come after this time, ms. Generous: a slow machine must not look like a loss. */
const LOST_MS = 15_000

/** Time between two probes, ms. */
const PROBE_MS = 50

/** Faults that a client has seen so far. */
export interface Faults {
  readonly lost: number
  readonly doubled: number
  readonly outOfOrder: number
  readonly failedConnections: number
}

export type NetworkLoadHandlers = typeof handlers

interface Follower {
  readonly client: Client
  readonly sessionIds: readonly string[]
  lost: number
  doubled: number
  outOfOrder: number
}

const followers = new Map<number, Follower>()
const probed = new DelayRound()

const of = (id: number) => followers.get(id) as Follower

/** Counts the faults of the stretch that ends, and begins one after the events so far. */
function begin(follower: Follower): void {
  for (const log of follower.client.deliveries) {
    follower.doubled += log.doubled
    follower.outOfOrder += log.outOfOrder
    log.begin(log.seq)
  }
}

/** Waits for an event of each session. Those that do not come are counted as lost. */
async function arrived(follower: Follower, heads: readonly number[]): Promise<void> {
  const { deliveries } = follower.client
  const missing = () => deliveries.filter((log, session) => log.seq < (heads[session] as number))
  for (let waited = 0; missing().length > 0 && waited < LOST_MS; waited += 5) await sleep(5)
  follower.lost += missing().length
}

const handlers = {
  /** A new client, which is not connected yet. @param id also its number in names of connections */
  make(id: number, way: Way, port: number, sessionIds: readonly string[]): void {
    const target: Target = { ...way, port, compressed: false, rechunked: false }
    const http2 = new Http2Connections(port)
    const client = new Client({
      sessionIds,
      connect: handlers => connectTo(target, { sessionIds, session: 0, client: id, http2 }, handlers),
      catchesUp: way.transport !== 'long-poll',
    })
    followers.set(id, { client, sessionIds, lost: 0, doubled: 0, outOfOrder: 0 })
  },

  /** Connects and waits until the client is current. @returns ms until the first event */
  async open(id: number): Promise<number> {
    const { client } = of(id)
    client.firstEventAt = 0
    const begun = micros()
    await client.open()
    return (client.firstEventAt - begun) / 1000
  },

  /** Connects again after a cut. @param head the last event that was missed @returns ms until it is there */
  async resume(id: number, head: number): Promise<number> {
    const follower = of(id)
    begin(follower)
    const begun = micros()
    await follower.client.open()
    await arrived(follower, [head])
    return ((follower.client.deliveries[0]?.at(head) as number) - begun) / 1000
  },

  /** Sends commands, one after the other. @returns ms until each is answered */
  async command(id: number, count: number): Promise<number[]> {
    const { client, sessionIds } = of(id)
    const took: number[] = []
    for (let n = 0; n < count; n++) {
      const begun = micros()
      const event = { type: 'x.note', data: { text: 'a note of the client' } }
      await client.command(sessionIds[0] as string, { type: 'publish', event })
      took.push((micros() - begun) / 1000)
    }
    return took
  },

  /** Begins a stretch whose events are timed. */
  begin: (id: number): void => begin(of(id)),

  /** @param firsts number of each session's first event @returns arrival of each event by session, µs; 0: it did not come */
  async arrivals(id: number, firsts: readonly number[], count: number): Promise<number[][]> {
    const follower = of(id)
    await arrived(
      follower,
      firsts.map(first => first + count - 1),
    )
    return follower.client.deliveries.map((log, session) => {
      const times = Array.from({ length: count }, (_, n) => log.at((firsts[session] as number) + n))
      follower.lost += times.filter(time => time === 0).length
      return times
    })
  },

  /** Cuts its connections. */
  cut(id: number): void {
    of(id).client.cut()
  },

  /** Ends a client. @returns what went wrong */
  end(id: number): Faults {
    const follower = of(id)
    begin(follower)
    followers.delete(id)
    follower.client.cut()
    const { lost, doubled, outOfOrder, client } = follower
    return { lost, doubled, outOfOrder, failedConnections: client.lost }
  },

  /** Measures the round trip to an echo all the time. @param wantedMs what it should take */
  probe(port: number, wantedMs: number): void {
    const socket = connectSocket({ port, host: '127.0.0.1', noDelay: true })
    socket.on('error', () => {})
    const send = () => {
      const message = Buffer.alloc(8)
      message.writeDoubleLE(micros())
      socket.write(message)
    }
    // The first probe waits for the handshake of TCP and does not count.
    let isFirst = true
    socket.on('data', bytes => {
      for (let at = 0; at + 8 <= bytes.length; at += 8) {
        if (!isFirst) probed.record(Math.abs(micros() - bytes.readDoubleLE(at) - wantedMs * 1000))
        isFirst = false
      }
    })
    send()
    setInterval(send, PROBE_MS).unref()
  },

  /** How far the round trips were from the wanted one, ms. */
  probed: (): { p50: number; p99: number } => ({ p50: probed.percentile(50), p99: probed.percentile(99) }),
}

serveWorker(handlers)
