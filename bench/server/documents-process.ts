/** Reads documents and answers a question, as a server with the agent `deepsearch` does after its start. */
import { readdir } from 'node:fs/promises'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDeepsearch } from '../package/deepsearch.ts'
import type { RunContext } from '../package/server.ts'
import { serveWorker } from '../serve.ts'

export interface Indexed {
  /** What the agent said about documents that it left out. */
  readonly leftOut: readonly string[]
  /** CPU of the whole process until the first question is answered. */
  readonly cpuS: number
  readonly wallS: number
  /** Longest time that this thread, the server's, was busy without a break. */
  readonly busyMs: number
}

const context = {
  runId: 'run',
  signal: new AbortController().signal,
  steering: { take: async () => [] },
} as unknown as RunContext

export type DocumentHandlers = typeof handlers

const handlers = {
  /** @param cache folder of the kept index; this resolves when the index is kept */
  async index(folder: string, cache: string): Promise<Indexed> {
    // The first timers compile what they need.
    await sleep(100)
    let busyMs = 0
    let before = performance.eventLoopUtilization()
    const watch = setInterval(() => {
      const now = performance.eventLoopUtilization()
      busyMs = Math.max(busyMs, performance.eventLoopUtilization(now, before).active)
      before = now
    }, 1)
    const began = performance.now()
    const usage = process.cpuUsage()
    const leftOut: string[] = []
    const agent = createDeepsearch({ corpus: folder, cache, log: message => leftOut.push(message) })
    for await (const _ of agent.run(agent.input.parse({ query: 'How is a stream closed?' }), context));
    const { user, system } = process.cpuUsage(usage)
    const wallS = (performance.now() - began) / 1000
    clearInterval(watch)
    const isKept = async () =>
      (await readdir(cache).catch(() => [])).some(name => /^deepsearch-\w+$/.test(name))
    // The thread does not keep this process alive, but its parent does.
    while (wallS > 3 && !(await isKept())) await sleep(20)
    return { leftOut, cpuS: (user + system) / 1e6, wallS, busyMs }
  },
}

serveWorker(handlers)
