/** The load process of the comparisons: a group of subscribers for every variant. */
import { connect, type Socket } from 'node:net'
import type { Dial } from '../peers/peer.ts'
import { serveWorker } from '../serve.ts'
import { type Expected, type Seen, SubscriberGroup, startShortLived } from './subscriber-group.ts'

let groups: SubscriberGroup[] = []
const shortLived: ReturnType<typeof startShortLived>[] = []
let receipts: Socket | undefined

export const handlers = {
  /**
   * Makes a group for each variant; resolves when `count` subscribers of each are subscribed.
   * @param timedEvery every how many subscribers one is timed
   * @param port where to report that a turn has arrived everywhere. @default nowhere
   */
  async open(dials: readonly Dial[], count: number, timedEvery: number, port?: number): Promise<void> {
    receipts = port === undefined ? undefined : connect({ port, host: '127.0.0.1', noDelay: true })
    groups = dials.map((dial, index) => {
      const receipt = Buffer.from([index])
      return new SubscriberGroup(dial, timedEvery, () => receipts?.write(receipt))
    })
    for (const group of groups) await group.grow(count)
  },

  /** Opens connections until the variant has `count`. @returns whether the server compresses */
  grow(variant: number, count: number): Promise<boolean> {
    return (groups[variant] as SubscriberGroup).grow(count)
  },

  expect(expected: Expected): void {
    for (const group of groups) group.expect(expected)
  },

  /** Records delays, the variants in their order; undefined skips one. */
  recordDelays(appended: readonly (Float64Array | undefined)[]): void {
    for (const [index, times] of appended.entries()) if (times) groups[index]?.recordDelays(times)
  },

  seen(): Seen[] {
    return groups.map(group => group.seen())
  },

  /** Delays from append to receipt in ms, at these percentiles, the variants in their order. */
  delays(percentiles: readonly number[]): number[][] {
    return groups.map(({ delays }) => percentiles.map(delays.percentile))
  },

  forgetDelays(): void {
    for (const { delays } of groups) delays.reset()
  },

  /** Begins with short-lived subscribers, one every `everyMs`. */
  startShortLived(dial: Dial, everyMs: number): void {
    shortLived.push(startShortLived(dial, everyMs))
  },

  /** Sends pongs on every WebSocket from now on: a client that is silent for three heartbeats is taken for dead. */
  pongEvery(ms: number): void {
    setInterval(() => {
      for (const group of groups) group.pong()
    }, ms)
  },

  endShortLived(): { joins: number; faults: number }[] {
    return shortLived.splice(0).map(end => end())
  },
}

serveWorker(handlers)
