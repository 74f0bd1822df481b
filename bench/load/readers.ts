/** The process of the slow: readers with a pace of their own, which understand what they read. */
import { performance } from 'node:perf_hooks'
import type { Dial } from '../peers/peer.ts'
import { serveWorker } from '../serve.ts'
import { Connection } from './connection.ts'
import { type Held, Reader } from './reader.ts'

const readers: Reader[] = []

export const handlers = {
  /**
   * Adds a reader for each pace, in bytes a second: 0 reads nothing, Infinity all that comes. Resolves when all are
   * subscribed, with how long that took, in ms.
   * @param head number of the session's last event
   */
  async open(dial: Dial, paces: readonly number[], head = 0): Promise<number> {
    const begun = performance.now()
    const opened = paces.map(pace => new Reader(dial, pace === Infinity ? undefined : pace, head))
    readers.push(...opened)
    await Promise.all(opened.map(({ ready }) => ready))
    return performance.now() - begun
  },

  /** Subscribes, waits until it is live and leaves; gives how long that took and how much came. */
  async join(dial: Dial): Promise<{ ms: number; bytes: number }> {
    const begun = performance.now()
    const connection = new Connection({ dial, onBody() {} })
    await connection.ready
    const ms = performance.now() - begun
    connection.close()
    return { ms, bytes: connection.received }
  },

  /** From now on these read all that comes. */
  wake(indexes: readonly number[]): void {
    for (const index of indexes) readers[index]?.wake()
  },

  /** Resolves once these have everything up to `seq` or were told goodbye, at the latest after `ms`. */
  async reach(indexes: readonly number[], seq: number, ms: number): Promise<void> {
    const late = new Promise<void>(resolve => setTimeout(resolve, ms).unref())
    await Promise.race([Promise.all(indexes.map(index => readers[index]?.reaches(seq))), late])
  },

  held: (): Held[] => readers.map(({ held }) => held),

  close(): void {
    for (const reader of readers) reader.close()
  },
}

serveWorker(handlers)
