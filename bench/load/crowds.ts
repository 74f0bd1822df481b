/** The load's process in comparisons: a crowd of subscribers for every variant. */
import { connect, type Socket } from 'node:net'
import type { Dial } from '../peers/peer.ts'
import { serveWorker } from '../serve.ts'
import { Coming } from './coming.ts'
import { Crowd, type Expected, type Seen } from './crowd.ts'

let crowds: Crowd[] = []
const comings: Coming[] = []
let receipts: Socket | undefined

export const handlers = {
  /** Prepares a crowd for each variant. @param port where to tell that a turn has arrived everywhere, if anywhere */
  open(dials: readonly Dial[], timedEvery: number, port?: number): void {
    receipts = port === undefined ? undefined : connect({ port, host: '127.0.0.1', noDelay: true })
    crowds = dials.map((dial, index) => {
      const receipt = Buffer.from([index])
      return new Crowd(dial, timedEvery, () => receipts?.write(receipt))
    })
  },

  /** Opens connections until the variant has so many. @returns whether the server compresses */
  grow(variant: number, count: number): Promise<boolean> {
    return (crowds[variant] as Crowd).grow(count)
  },

  expect(expected: Expected): void {
    for (const crowd of crowds) crowd.expect(expected)
  },

  /** Books delays, the variants in their order. */
  book(appended: readonly (Float64Array | undefined)[]): void {
    for (const [index, times] of appended.entries()) if (times) crowds[index]?.book(times)
  },

  seen(): Seen[] {
    return crowds.map(crowd => crowd.seen())
  },

  /** Delays from append to receipt in ms, at these percentiles, the variants in their order. */
  delays(percentiles: readonly number[]): number[][] {
    return crowds.map(({ delays }) => percentiles.map(p => delays.percentile(p) / 1e6))
  },

  /** Forgets the delays booked so far. */
  forgetDelays(): void {
    for (const { delays } of crowds) delays.reset()
  },

  /** From now on somebody new subscribes so often, and whoever came before them leaves. */
  come(dial: Dial, everyMs: number): void {
    comings.push(new Coming(dial, everyMs))
  },

  /** Every subscriber shows that it is alive: who is silent for three heartbeats is taken for dead. */
  pong(): void {
    for (const crowd of crowds) crowd.pong()
  },

  /** Ends the coming and going. */
  rest(): { joins: number; faults: number }[] {
    return comings.splice(0).map(coming => coming.end())
  },

  close(): void {
    for (const crowd of crowds) crowd.close()
  },
}

serveWorker(handlers)
