/** The load process with text subscribers, each with a pace of its own. */
import { performance } from 'node:perf_hooks'
import type { Dial } from '../peers/peer.ts'
import { serveWorker } from '../serve.ts'
import { RawStream } from './raw-stream.ts'
import { type Held, TextSubscriber } from './text-subscriber.ts'

const subscribers: TextSubscriber[] = []

export const handlers = {
  /**
   * Adds a subscriber for each pace, in bytes per second: 0 reads nothing, Infinity reads at full speed.
   * @returns how long it took until all were subscribed, ms
   * @param head number of the session's last event
   */
  async open(dial: Dial, paces: readonly number[], head = 0): Promise<number> {
    const begun = performance.now()
    const opened = paces.map(pace => new TextSubscriber(dial, pace === Infinity ? undefined : pace, head))
    subscribers.push(...opened)
    await Promise.all(opened.map(({ ready }) => ready))
    return performance.now() - begun
  },

  /** Subscribes, waits until the stream is live, and leaves. @returns how long that took and how many bytes came */
  async join(dial: Dial): Promise<{ ms: number; bytes: number }> {
    const begun = performance.now()
    const stream = new RawStream({ dial, onBody() {} })
    await stream.ready
    const ms = performance.now() - begun
    stream.close()
    return { ms, bytes: stream.received }
  },

  /** Lets these read at full speed. */
  wake(indexes: readonly number[]): void {
    for (const index of indexes) subscribers[index]?.wake()
  },

  /** Resolves once these have everything up to `seq` or their streams have ended, after `ms` at the latest. */
  async reach(indexes: readonly number[], seq: number, ms: number): Promise<void> {
    const late = new Promise<void>(resolve => setTimeout(resolve, ms).unref())
    await Promise.race([Promise.all(indexes.map(index => subscribers[index]?.reaches(seq))), late])
  },

  held: (): Held[] => subscribers.map(({ held }) => held),

  close(): void {
    for (const reader of subscribers) reader.close()
  },
}

serveWorker(handlers)
