/** The measured process of the workloads: one server of any kind, and the publisher on its side. */
import { createServer as createNet, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ServerOptions, WholeServer } from '../package/server.ts'
import { type PeerName, peers } from '../peers/index.ts'
import { type Dial, listen, type Peer } from '../peers/peer.ts'
import { collectGarbage, serveWorker } from '../serve.ts'
import { Script, type Step, sessionId, type Workload } from '../workloads/workload.ts'
import { workloads } from '../workloads/workloads.ts'
import { approvingAgent, CueQueue } from './approving-agent.ts'

/** What the process serves: our server, or with `peer` another server for each session. */
export type StageOptions = { peer?: PeerName } & Pick<ServerOptions, 'compression' | 'tls'>

/** Number of the last event of our sessions before anything is played: the event that opens the session. */
const OPENED = 1

/** Longest time until ordered events are in the log, ms. Generous: a slow machine must not look like a broken server. */
const SETTLE_MS = 60_000

let options: StageOptions
let server: WholeServer | undefined
let cell: { workload: Workload; prefix: string; script: Script }
let own: Peer[] = []
let steps: readonly Step[] = []
let seqs = new Int32Array()
let heads: number[] = []
let pending = 0
/** Orders that have not come yet. */
let awaited = 0
const queues = new Map<string, CueQueue>()

export const handlers = {
  /** Starts the server. @returns its port (0 for other servers), and the port for orders */
  async open(stage: StageOptions): Promise<{ port: number; orders: number }> {
    options = stage
    const orders = await listen(createNet(takeOrders))
    if (options.peer !== undefined) return { port: 0, orders }
    const { createServer } = await import('../package/server.ts')
    const { compression = false, tls } = options
    server = await createServer({ agents: [approvingAgent(queueOf)], compression, ...(tls && { tls }) })
    const url = await server.listen({ port: 0 })
    return { port: Number(new URL(url).port), orders }
  },

  /** Creates a cell's sessions. @returns how to subscribe to each, for other servers */
  async begin(name: Workload['name'], seed: number, prefix: string): Promise<Dial[] | undefined> {
    const workload = workloads[name]
    cell = { workload, prefix, script: new Script(workload, seed) }
    const ids = Array.from({ length: workload.sessions }, (_, session) => sessionId(prefix, session))
    const { peer } = options
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

  /** Prepares the script's next stretch. @returns each session's head */
  prepare(ms: number, speed?: number): number[] {
    steps = cell.script.next(ms, speed)
    seqs = new Int32Array(steps.length)
    awaited = steps.filter(({ sender }) => sender === undefined).length
    return [...heads]
  },

  /** Waits until the whole stretch is in the log. @returns the number of each step's event, and each session's head */
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

  /** Bytes after garbage collection: resident, and in use on the heap and in buffers. */
  async memory(): Promise<{ resident: number; held: number }> {
    await collectGarbage()
    const { rss, heapUsed, external } = process.memoryUsage()
    return { resident: rss, held: heapUsed + external }
  },

  /** Ends the cell and deletes its sessions. */
  async end(): Promise<void> {
    for (let session = 0; server && session < cell.workload.sessions; session++) {
      await server.sessions.delete(sessionId(cell.prefix, session))
    }
    await Promise.all(own.map(peer => peer.close()))
    own = []
    queues.clear()
  },
}

async function readHeads(): Promise<void> {
  if (!server) return
  const ids = heads.map((_, session) => sessionId(cell.prefix, session))
  heads = await Promise.all(ids.map(async id => (await (server as WholeServer).journal.session(id)).head))
}

/** Whether the agents have played all cues: each becomes one event. */
const isPlayed = () => steps.every(({ session, number }) => (heads[session] as number) >= OPENED + number)

function queueOf(id: string): CueQueue {
  const queue = queues.get(id) ?? new CueQueue()
  queues.set(id, queue)
  return queue
}

/** Each four bytes are the index of a step to publish now. A bare socket costs this process less than IPC. */
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
    return queueOf(id).push(cue)
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
