/** A Redis server of the benchmark's own, on a free loopback port. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cpuOf } from './cpu.ts'
import { freePort, isListening } from './peers/peer.ts'

export interface RedisProcess extends AsyncDisposable {
  readonly url: string
}

/** The note of a result without Redis. */
export const noRedis =
  'redis-server is not installed, so the parts that need it were left out: apt-get install redis-server'

/** Starts Redis in memory, stopped by `await using`; undefined when the binary is missing. */
export async function startRedis(): Promise<RedisProcess | undefined> {
  if (spawnSync('redis-server', ['--version']).error) return undefined
  const { port, stop } = await launch([])
  return { url: `redis://127.0.0.1:${port}`, [Symbol.asyncDispose]: stop }
}

export interface RedisCluster extends AsyncDisposable {
  /** Of one master; clients find the others. */
  readonly url: string
  /** User and system time of all masters, in µs. */
  cpuUs(): number
}

/** Number of hash slots of a Redis Cluster. */
const SLOTS = 16_384

/** Starts a Redis Cluster in memory, of so many masters without replicas that share the slots evenly. */
export async function startRedisCluster(masters: number): Promise<RedisCluster> {
  const nodes: Launched[] = []
  const stop = async () => void (await Promise.all(nodes.map(node => node.stop())))
  try {
    for (let i = 0; i < masters; i++) {
      const bus = String(await freePort())
      // A node that no other has met does not know its own address.
      const announced = ['--cluster-announce-ip', '127.0.0.1']
      nodes.push(await launch(['--cluster-enabled', 'yes', '--cluster-port', bus, ...announced]))
    }
    const first = nodes[0] as Launched
    for (const [i, { call }] of nodes.entries()) {
      const from = Math.floor((i * SLOTS) / masters)
      const to = Math.floor(((i + 1) * SLOTS) / masters) - 1
      await call('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to))
      await call('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
      if (i > 0) await call('CLUSTER', 'MEET', '127.0.0.1', String(first.port), String(first.busPort))
    }
    for (const { call } of nodes) {
      while (!(await isWhole(call, masters))) await sleep(50)
    }
    return {
      url: `redis://127.0.0.1:${first.port}`,
      cpuUs: () => nodes.reduce((sum, { pid }) => sum + cpuOf(pid), 0),
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Whether a node knows all masters and a master for each slot. */
async function isWhole(call: Call, masters: number): Promise<boolean> {
  const info = await call('CLUSTER', 'INFO')
  return /cluster_state:ok/.test(info) && info.includes(`cluster_size:${masters}\r`)
}

/** Sends a command by `redis-cli`. @throws Error with what Redis answered */
type Call = (...command: string[]) => Promise<string>

interface Launched {
  readonly pid: number
  readonly port: number
  /** Of a Cluster's nodes among each other. */
  readonly busPort: number | undefined
  readonly call: Call
  stop(): Promise<void>
}

async function launch(more: readonly string[]): Promise<Launched> {
  const folder = mkdtempSync(join(tmpdir(), 'twinrail-bench-redis-'))
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', ...more]
  const child = spawn('redis-server', args, { stdio: 'ignore' })
  const gone = once(child, 'exit')
  while (!(await isListening(port))) {
    if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`)
    await sleep(10)
  }
  const bus = more.indexOf('--cluster-port')
  return {
    pid: child.pid as number,
    port,
    busPort: bus < 0 ? undefined : Number(more[bus + 1]),
    async call(...command) {
      const { stdout, stderr } = spawnSync('redis-cli', ['-p', String(port), '-e', ...command])
      if (stderr.length > 0) throw new Error(`redis-cli ${command.join(' ')}: ${stderr}`)
      return stdout.toString()
    },
    async stop() {
      child.kill('SIGKILL')
      await gone
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
