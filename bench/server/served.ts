/** `twinrail serve` as it is started by hand, with one process or several, on a Redis. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { build } from '../build.ts'
import { cpuOf } from '../cpu.ts'
import { freePort, isListening } from '../peers/peer.ts'

export interface Served {
  readonly port: number
  /** User and system time of all its processes so far, in µs. */
  cpuUs(): number
  stop(): Promise<void>
}

/** For the agent that comes with it: compiled for a measurement, the package does not find its own documents. */
const DOCUMENTS = fileURLToPath(new URL('../../docs/', import.meta.url))

/** Starts it. Resolves when each process listens. */
export async function startServed(processes: number, redis: string): Promise<Served> {
  const port = await freePort()
  const args = ['serve', '--port', `${port}`, '--log', redis, '--log-level', 'error', '--corpus', DOCUMENTS]
  const several = processes > 1 ? ['--processes', `${processes}`] : []
  const child = spawn(process.execPath, [join(build(), 'src/cli/main.js'), ...args, ...several], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', text => {
    said += text
  })
  const gone = once(child, 'exit')
  const pids = () => {
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim()
    return [`${child.pid}`, ...children.split(' ').filter(pid => pid !== '')]
  }
  // A supervisor starts the others once the first one listens.
  const expected = processes > 1 ? processes + 1 : 1
  while (!(await isListening(port)) || pids().length < expected) {
    if (child.exitCode !== null) throw new Error(`twinrail serve ended: ${said}`)
    await sleep(20)
  }
  return {
    port,
    cpuUs: () => pids().reduce((sum, pid) => sum + cpuOf(pid), 0),
    async stop() {
      child.kill('SIGTERM')
      await gone
    },
  }
}
