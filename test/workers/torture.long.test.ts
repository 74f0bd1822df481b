/** Workers and nodes that are killed and paused at random: two nodes with Redis, or one with LMDB. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { random, seedOf } from '../../src/log/contract/random.ts'
import { type ClusterNode, startNodes } from '../fixtures/cluster.ts'
import { Killable } from '../fixtures/killable.ts'
import { noRedis, RedisServer } from '../fixtures/redis-server.ts'
import { bring, type Trouble } from '../fixtures/troubles.ts'
import { fetchPage, type Message } from '../fixtures/wire-clients.ts'
import { call, each, eventually, startRun } from '../fixtures/wire-server.ts'

const script = fileURLToPath(new URL('../fixtures/worker-process.ts', import.meta.url))
const LEASE_MS = 1500
const RUNS = 500
/** One node has nobody who takes over while it is away, so that each run takes longer. */
const RUNS_ON_ONE_NODE = 60
const EVENTS = 30
const SLOTS = 10

/** A worker process that is started again on the next node when it was killed. */
class WorkerProcess {
  readonly #name: string
  readonly #nodes: readonly ClusterNode[]
  readonly #process: Killable
  #starts: number

  /** @param first number of the node that it begins on */
  constructor(t: Test, name: string, nodes: readonly ClusterNode[], first: number) {
    this.#name = name
    this.#nodes = nodes
    this.#starts = first
    this.#process = new Killable(t, script)
  }

  /** Resolves when a server has its agents. */
  start(): Promise<void> {
    const number = this.#starts++
    const { url } = this.#nodes[number % this.#nodes.length] as ClusterNode
    return this.#process.start({ url, name: `${this.#name}.${number}`, slots: SLOTS, resume: true })
  }

  /** Kills it now and then, and pauses it, until `isOver`. Half of the pauses outlast the lease. */
  async suffer(next: () => number, isOver: () => boolean): Promise<{ kills: number; pauses: number }> {
    let [kills, pauses] = [0, 0]
    while (!isOver()) {
      await new Promise(resolve => setTimeout(resolve, next() * LEASE_MS))
      if (next() < 0.5) {
        kills++
        await this.#process.kill()
        await this.start()
      } else {
        pauses++
        this.#process.pause()
        await new Promise(resolve => setTimeout(resolve, next() * 2 * LEASE_MS))
        this.#process.resume()
      }
    }
    return { kills, pauses }
  }
}

/** Asks one node after the other while they are away, or cannot answer now. */
async function ofAny<T>(
  nodes: readonly ClusterNode[],
  first: number,
  ask: (url: string) => Promise<T>,
): Promise<T> {
  for (let n = first; ; n++) {
    try {
      return await ask((nodes[n % nodes.length] as ClusterNode).url)
    } catch (error) {
      // A node that has just started hears of the agents of other nodes' workers a moment later.
      const passes = /"unavailable"|"restart"|"agent-not-found"|fetch failed|terminated/
      if (!passes.test(String(error))) throw error
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }
}

/** All events of the run, once it has ended. */
async function eventsOf(
  nodes: readonly ClusterNode[],
  first: number,
  sessionId: string,
  run: string,
): Promise<Message[]> {
  const events: Message[] = []
  for (let after: string | undefined; ; ) {
    const params = { run, after, replay: 'full', wait: 5000 } as const
    const page = await ofAny(nodes, first, url => fetchPage(url, sessionId, params))
    events.push(...page.events)
    if (page.caughtUp && events.some(isTerminal)) return events
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

async function torture(t: Test, nodes: ClusterNode[], runs = RUNS): Promise<void> {
  const seed = seedOf(t)
  const workers = ['a', 'b', 'c'].map((name, i) => new WorkerProcess(t, name, nodes, i))
  await Promise.all(workers.map(worker => worker.start()))
  for (const { url } of nodes) {
    await eventually(t, 'the node knows the agents', async () => {
      const { agents } = (await call(`${url}/v1/agents`)).body as unknown as { agents: { name: string }[] }
      return agents.some(({ name }) => name === 'again') && agents.some(({ name }) => name === 'once')
    })
  }
  let isOver = false
  const troubles: Trouble[] = ['node killed', 'node paused']
  let nodeTroubles = 0
  const ofNodes = (async () => {
    const next = random(seed + 1)
    while (!isOver) {
      await bring(troubles, 1, { nodes, leaseMs: LEASE_MS }, next, async thing => {
        nodeTroubles++
        await thing()
      })
    }
  })()
  const ofWorkers = workers.map((worker, i) => worker.suffer(random(seed + 2 + i), () => isOver))
  const outcomes = new Map<string, number>()
  await each(
    runs,
    async i => {
      const agent = i % 2 ? 'once' : 'again'
      const [sessionId, run] = [`s${i}`, `r${i}`]
      await ofAny(nodes, i, url => startRun(url, sessionId, agent, { to: EVENTS }, { runId: run }))
      await eventsOf(nodes, i + 1, sessionId, run)
    },
    // More than there are slots: some wait.
    40,
  )
  isOver = true
  const suffered = await Promise.all(ofWorkers)
  await ofNodes
  // Only now: a worker that was fenced might have appended something after the end.
  await each(runs, async i => {
    const agent = i % 2 ? 'once' : 'again'
    const outcome = `${agent}: ${judge(t, `r${i}`, agent, await eventsOf(nodes, i, `s${i}`, `r${i}`))}`
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  })
  const kills = suffered.reduce((sum, one) => sum + one.kills, 0)
  const pauses = suffered.reduce((sum, one) => sum + one.pauses, 0)
  const told = JSON.stringify(Object.fromEntries(outcomes))
  t.comment(
    `seed ${seed}: workers: ${kills} kills, ${pauses} pauses; nodes: ${nodeTroubles} troubles; ${told}`,
  )
  t.ok(kills && pauses && nodeTroubles, 'workers and nodes were killed and paused')
  t.equal(
    [...outcomes.values()].reduce((sum, n) => sum + n, 0),
    runs,
    'every run has ended',
  )
}

t.setTimeout(0)

t.test('on two nodes with Redis', { skip: noRedis }, async t => {
  const redis = await RedisServer.start(t)
  await torture(t, await startNodes(t, 2, { redis: redis.url, leaseMs: LEASE_MS }))
})

t.test('on one node with LMDB', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'twinrail-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  await torture(t, await startNodes(t, 1, { folder, leaseMs: LEASE_MS }), RUNS_ON_ONE_NODE)
})
