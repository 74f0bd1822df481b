/** The measured process of workloads: one server of any kind, and who publishes on its side. */
import { createServer as createNet, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerOptions, TwinrailServer } from '../../src/index.ts'
import { type PeerName, peers } from '../peers/index.ts'
import { type Dial, listen, type Peer } from '../peers/peer.ts'
import { serveWorker } from '../serve.ts'
import { Script, type Step, sessionId, type Workload } from '../workloads/workload.ts'
import { workloads } from '../workloads/workloads.ts'
import { approvingAgent, Duties } from './approving-agent.ts'

/** What a process serves: ours, or another's server for each session. */
export type StageAsked = { peer?: PeerName } & Pick<ServerOptions, 'compression' | 'tls'>

/** Number of the last event of a session of ours before anything is played: the one that opens it. */
const OPENED = 1

/** How long what was ordered may take until it is in the log, ms. */
const SETTLE_MS = 15_000

let asked: StageAsked
let server: TwinrailServer | undefined
let cell: { workload: Workload; prefix: string; script: Script }
let own: Peer[] = []
let steps: readonly Step[] = []
let seqs = new Int32Array()
let heads: number[] = []
let pending = 0
/** Orders that have still to come. */
let awaited = 0
const duties = new Map<string, Duties>()

export const handlers = {
  /** Starts the server; gives its port, if it is ours, and the port that takes orders. */
  async open(options: StageAsked): Promise<{ port: number; orders: number }> {
    asked = options
    const orders = await listen(createNet(takeOrders))
    if (asked.peer !== undefined) return { port: 0, orders }
    const { createServer } = await import('../../src/index.ts')
    const { compression = false, tls } = asked
    server = await createServer({
      agents: [approvingAgent(dutiesOf)],
      compression,
      ...(tls && { tls }),
    })
    const url = await server.listen({ port: 0 })
    return { port: Number(new URL(url).port), orders }
  },

  /** Makes a cell's sessions; gives how to subscribe to each where the server is another's. */
  async begin(name: Workload['name'], seed: number, prefix: string): Promise<Dial[] | undefined> {
    const workload = workloads[name]
    cell = { workload, prefix, script: new Script(workload, seed) }
    const ids = Array.from({ length: workload.sessions }, (_, session) => sessionId(prefix, session))
    const { peer } = asked
    if (peer !== undefined) {
      heads = ids.map(() => 0)
      own = await Promise.all(ids.map(() => peers[peer]()))
      return own.map(({ dial }) => dial)
    }
    heads = ids.map(() => OPENED)
    for (const id of ids) {
      await server?.sessions.create(id)
      await server?.journal.append(id, [{ type: 'x.opened', data: { workload: name } }])
    }
  },

  /** Prepares the script's next stretch; gives each session's head. */
  prepare(ms: number, speed?: number): number[] {
    steps = cell.script.next(ms, speed)
    seqs = new Int32Array(steps.length)
    awaited = steps.filter(({ sender }) => sender === undefined).length
    return [...heads]
  },

  /** Waits until everything of the stretch is in the log; gives each step's number in it and each session's head. */
  async settled(): Promise<{ seqs: Int32Array; heads: number[] }> {
    for (let waited = 0; waited < SETTLE_MS; waited += 5) {
      await readHeads()
      if (awaited + pending === 0 && (!cell.workload.agent || isPlayed())) break
      await sleep(5)
    }
    return { seqs, heads: [...heads] }
  },

  /** User and system time of this process so far, µs. */
  cpu: (): NodeJS.CpuUsage => process.cpuUsage(),

  /** Bytes after everything that can be freed was freed: what the process has, and what is in use on heap and in buffers. */
  async memory(): Promise<{ resident: number; held: number }> {
    for (let i = 0; i < 3; i++) {
      globalThis.gc?.()
      await sleep(50)
    }
    const { rss, heapUsed, external } = process.memoryUsage()
    return { resident: rss, held: heapUsed + external }
  },

  /** The cell is over: its sessions go. */
  async end(): Promise<void> {
    for (let session = 0; server && session < cell.workload.sessions; session++) {
      await server.sessions.delete(sessionId(cell.prefix, session))
    }
    await Promise.all(own.map(peer => peer.close()))
    own = []
    duties.clear()
  },
}

async function readHeads(): Promise<void> {
  if (!server) return
  const ids = heads.map((_, session) => sessionId(cell.prefix, session))
  heads = await Promise.all(ids.map(async id => (await (server as TwinrailServer).journal.session(id)).head))
}

/** Whether agents have done what they were told: each cue is one event. */
const isPlayed = () => steps.every(({ session, number }) => (heads[session] as number) >= OPENED + number)

function dutiesOf(id: string): Duties {
  const there = duties.get(id) ?? new Duties()
  duties.set(id, there)
  return there
}

/** Each four bytes are the index of a step to publish now. A bare socket costs this process less than an IPC message. */
function takeOrders(socket: Socket): void {
  let rest: Buffer = Buffer.alloc(0)
  socket.setNoDelay(true)
  socket.on('data', bytes => {
    const orders = rest.length > 0 ? Buffer.concat([rest, bytes]) : bytes
    let at = 0
    for (; at + 4 <= orders.length; at += 4) void publish(orders.readUInt32LE(at))
    rest = orders.subarray(at)
  })
  socket.on('error', () => socket.destroy())
}

async function publish(index: number): Promise<void> {
  awaited--
  const { session, number, cue } = steps[index] as Step
  const { type, data, runId } = cue
  const into = seqs
  const id = sessionId(cell.prefix, session)
  if (cell.workload.agent) {
    into[index] = OPENED + number
    return dutiesOf(id).push(cue)
  }
  const body = { type, data, ...(runId !== undefined && { runId }) }
  if (!server) {
    own[session]?.publish([body])
    into[index] = ++(heads as number[])[session]!
    return
  }
  pending++
  try {
    if (cue.ephemeral) return await server.journal.publishEphemeral(id, { type, data: { n: index, ...data } })
    const appended = await server.journal.append(id, [body])
    if (appended.accepted) into[index] = appended.first
  } finally {
    pending--
  }
}

serveWorker(handlers)
