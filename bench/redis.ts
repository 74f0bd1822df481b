/** A Redis server of the benchmark's own, on a free loopback port. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
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
  const folder = mkdtempSync(join(tmpdir(), 'twinrail-bench-redis-'))
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '']
  const child = spawn('redis-server', args, { stdio: 'ignore' })
  const gone = once(child, 'exit')
  while (!(await isListening(port))) {
    if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`)
    await sleep(10)
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await gone
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
