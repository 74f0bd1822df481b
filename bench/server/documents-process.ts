/** Indexes documents as a server with the agent `deepsearch` does when it starts. */
import { readdir } from 'node:fs/promises'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { CorpusThread } from '../package/deepsearch.ts'
import { serveWorker } from '../serve.ts'

export interface Indexed {
  readonly documents: number
  /** CPU of the whole process until the documents can be searched. */
  readonly cpuS: number
  readonly wallS: number
  /** Longest time that this thread, the server's, was busy without a break. */
  readonly busyMs: number
}

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
    const thread = new CorpusThread({ roots: [folder], limits: {}, cache }, () => {})
    const { documents } = await thread.untilReady()
    const { user, system } = process.cpuUsage(usage)
    const wallS = (performance.now() - began) / 1000
    clearInterval(watch)
    const isKept = async () =>
      (await readdir(cache).catch(() => [])).some(name => /^deepsearch-\w+$/.test(name))
    // The thread does not keep this process alive, but its parent does.
    while (wallS > 3 && !(await isKept())) await sleep(20)
    return { documents, cpuS: (user + system) / 1e6, wallS, busyMs }
  },
}

serveWorker(handlers)
