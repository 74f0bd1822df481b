/** Worker processes that are killed and paused at random, on two nodes with Redis, or on one node with LMDB. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { random, seedOf } from '../../src/log/contract/random.ts'
import { type ClusterNode, startNodes } from '../fixtures/cluster.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { TYPESCRIPT } from '../fixtures/typescript.ts'
import { fetchPage, type Message } from '../fixtures/wire-clients.ts'
import { call, each, eventually, startRun } from '../fixtures/wire-server.ts'

const script = fileURLToPath(new URL('../fixtures/worker-process.ts', import.meta.url))
const LEASE_MS = 1500
const RUNS = 300
const EVENTS = 30
const SLOTS = 10

/** A worker process that is started again on the next node when it was killed. */
class WorkerProcess {
  readonly #name: string
  readonly #nodes: readonly ClusterNode[]
  #starts = 0
  #child: ChildProcess | undefined

  constructor(t: Test, name: string, nodes: readonly ClusterNode[]) {
    this.#name = name
    this.#nodes = nodes
    t.teardown(() => this.kill())
  }

  async start(): Promise<void> {
    const number = this.#starts++
    const { url } = this.#nodes[number % this.#nodes.length] as ClusterNode
    const args = JSON.stringify({ url, name: `${this.#name}.${number}`, slots: SLOTS, resume: true })
    const child = spawn(process.execPath, [...TYPESCRIPT, script, args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    this.#child = child
    await once(child.stdout as NodeJS.ReadableStream, 'data')
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }
}

/** Calls again while the server answers that it cannot now: on a busy machine Redis may be late. */
async function patiently<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call()
    } catch (error) {
      if (!/"unavailable"/.test(String(error))) throw error
    }
  }
}

async function eventsOf(url: string, sessionId: string): Promise<Message[]> {
  const events: Message[] = []
  for (let after: string | undefined; ; ) {
    const page = await patiently(() => fetchPage(url, sessionId, { after, replay: 'full' }))
    events.push(...page.events)
    if (page.caughtUp) return events
    after = page.next
  }
}

const isTerminal = ({ type }: Message) => /^run\.(completed|failed|cancelled)$/.test(type)

/** Whether everything that was promised holds for the events of one run. Returns its outcome. */
function judge(t: Test, run: string, agent: string, events: Message[]): string {
  const terminals = events.filter(isTerminal)
  if (terminals.length !== 1) t.fail(`${run} has ${terminals.length} terminal events`)
  if (!isTerminal(events.at(-1) as Message)) t.fail(`${run} has events after its terminal event`)
  // A worker that was replaced appends nothing any more: numbers go on without a hole and without a repetition.
  let next = 0
  let by: string | undefined
  const begun: string[] = []
  for (const { type, data } of events) {
    if (type === 'x.by') {
      by = (data as { name: string }).name
      begun.push(by)
    }
    if (type !== 'x.count') continue
    const { i } = data as { i: number }
    if (i !== next) t.fail(`${run}: ${i} comes where ${next} is due, by ${by}`)
    next = i + 1
  }
  const [terminal] = terminals
  const code = (terminal?.data as { code?: string })?.code ?? 'completed'
  if (code === 'completed' && next !== EVENTS) t.fail(`${run} is complete with ${next} events`)
  if (agent === 'again' && code !== 'completed') t.fail(`${run}, which can be taken over, ended as ${code}`)
  if (agent === 'once' && begun.length > 1) t.fail(`${run} was executed by ${begun.join(' and ')}`)
  return code
}

async function torture(t: Test, nodes: ClusterNode[]): Promise<void> {
  const seed = seedOf(t)
  const next = random(seed)
  const workers = ['a', 'b', 'c'].map(name => new WorkerProcess(t, name, nodes))
  // They begin on different nodes.
  await workers[0]?.start()
  await Promise.all(workers.slice(1).map(worker => worker.start()))
  const urlOf = (i: number) => (nodes[i % nodes.length] as ClusterNode).url
  for (const { url } of nodes) {
    await eventually(t, 'the node knows the agents', async () => {
      const { agents } = (await call(`${url}/v1/agents`)).body as unknown as { agents: { name: string }[] }
      return agents.some(({ name }) => name === 'again') && agents.some(({ name }) => name === 'once')
    })
  }
  let isOver = false
  let [kills, pauses] = [0, 0]
  const trouble = async (worker: WorkerProcess) => {
    while (!isOver) {
      await new Promise(resolve => setTimeout(resolve, next() * LEASE_MS))
      if (next() < 0.5) {
        kills++
        await worker.kill()
        await worker.start()
      } else {
        pauses++
        worker.pause()
        // Half of the pauses outlast the lease.
        await new Promise(resolve => setTimeout(resolve, next() * 2 * LEASE_MS))
        worker.resume()
      }
    }
  }
  const troubles = Promise.all(workers.map(trouble))
  const outcomes = new Map<string, number>()
  await each(
    RUNS,
    async i => {
      const agent = i % 2 ? 'once' : 'again'
      const sessionId = `s${i}`
      const url = urlOf(i)
      const run = `r${i}`
      await patiently(() => startRun(url, sessionId, agent, { to: EVENTS }, { runId: run }))
      let events: Message[] = []
      await eventually(t, `${run} ends`, async () => {
        events = await eventsOf(url, sessionId)
        return events.some(isTerminal)
      })
      const outcome = `${agent}: ${judge(t, run, agent, events)}`
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    },
    20,
  )
  isOver = true
  await troubles
  t.comment(`seed ${seed}: ${kills} kills, ${pauses} pauses, ${JSON.stringify(Object.fromEntries(outcomes))}`)
  t.ok(kills > 0 && pauses > 0, 'workers were killed and paused')
}

t.setTimeout(0)

t.test('on two nodes with Redis', { skip: noRedis }, async t => {
  const redis = await RedisServer.start(t)
  await torture(t, await startNodes(t, 2, { redis: redis.url, leaseMs: LEASE_MS }))
})

t.test('on one node with LMDB', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'twinrail-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  await torture(t, await startNodes(t, 1, { folder, leaseMs: LEASE_MS }))
})
