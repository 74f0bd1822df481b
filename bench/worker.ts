/** Starts worker processes (measured ones and load generators) and calls their handlers. */
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import { build } from './build.ts'
import type { Answer, Handlers } from './serve.ts'

/** A worker's handlers as its parent calls them. */
export type Remote<H extends Handlers> = {
  readonly [K in keyof H]: (...args: Parameters<H[K]>) => Promise<Awaited<ReturnType<H[K]>>>
}

/** A child process with handlers; `await using` stops it with its scope. */
export interface Worker<H extends Handlers> extends AsyncDisposable {
  readonly call: Remote<H>
  /** Ends the process. */
  stop(): Promise<void>
}

/** Time for a worker to end by itself (a profiled one writes its profile), in ms. */
const EXIT_MS = 5000

interface Pending {
  resolve(result: unknown): void
  reject(error: Error): void
}

/**
 * Starts one of the benchmark's worker files, compiled, in a process of its own. A call is rejected when the process
 * throws or dies.
 * @param file its path under `bench`, without the extension
 * @param flags for node
 */
export function startWorker<H extends Handlers>(file: string, flags: readonly string[] = []): Worker<H> {
  const child = fork(join(build(), 'bench', `${file}.js`), {
    execArgv: [...flags],
    serialization: 'advanced',
  })
  const pending = new Map<number, Pending>()
  let calls = 0
  const gone = new Promise<void>(resolve => child.once('exit', () => resolve()))
  child.on('message', ({ id, result, error }: Answer) => {
    const waiting = pending.get(id)
    pending.delete(id)
    if (error === undefined) waiting?.resolve(result)
    else waiting?.reject(new Error(`${file}: ${error}`))
  })
  child.once('exit', (code, signal) => {
    for (const { reject } of pending.values()) reject(new Error(`${file} ended by itself: ${signal ?? code}`))
  })
  const call = new Proxy({} as Remote<H>, {
    get(_, method) {
      return (...args: unknown[]) => send(child, pending, { id: ++calls, method: String(method), args })
    },
  })
  const stop = async () => {
    if (child.connected) child.disconnect()
    const kill = setTimeout(() => child.kill('SIGKILL'), EXIT_MS)
    await gone
    clearTimeout(kill)
  }
  return { call, stop, [Symbol.asyncDispose]: stop }
}

function send(
  child: ChildProcess,
  pending: Map<number, Pending>,
  message: { id: number; method: string; args: unknown[] },
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    pending.set(message.id, { resolve, reject })
    child.send(message, error => error && reject(error))
  })
}
