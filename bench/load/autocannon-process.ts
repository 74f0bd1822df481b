/** The process of autocannon: commands over HTTP at a fixed rate, as a second opinion on the uplink. */
import autocannon from 'autocannon'
import { serveWorker } from '../serve.ts'

export interface CommandsOptions {
  readonly url: string
  readonly body: string
  readonly perSecond: number
  readonly seconds: number
}

export interface CommandsResult {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly perSecond: number
  /** Answers other than 2xx, and requests without an answer. */
  readonly failed: number
}

export const handlers = {
  async run({ url, body, perSecond, seconds }: CommandsOptions): Promise<CommandsResult> {
    const took: number[] = []
    const instance = autocannon({
      url,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      // Each connection sends its share of a second as fast as it is answered: several connections would send in bursts.
      connections: 1,
      overallRate: perSecond,
      duration: seconds,
    })
    // autocannon's own histogram has a resolution of 1 ms.
    instance.on('response', (_client, _status, _bytes, ms) => took.push(ms))
    const { non2xx, errors } = await instance
    took.sort((a, b) => a - b)
    const at = (q: number) => took[Math.floor((took.length - 1) * q)] ?? Number.NaN
    return { p50Ms: at(0.5), p99Ms: at(0.99), perSecond: took.length / seconds, failed: non2xx + errors }
  },
}

serveWorker(handlers)
