/** The process of autocannon: commands over HTTP at a fixed rate, as a second opinion on the uplink. */
import { serveWorker } from '../serve.ts'

/** What is used of the package, which has no types. */
interface Running extends Promise<{ non2xx: number; errors: number }> {
  on(event: 'response', take: (client: unknown, status: number, bytes: number, ms: number) => void): void
}

const PACKAGE: string = 'autocannon'

export interface CommandsAsked {
  readonly url: string
  readonly body: string
  readonly perSecond: number
  readonly seconds: number
}

export interface CommandsFound {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly perSecond: number
  /** Answers that were not 200, and requests without any. */
  readonly failed: number
}

export const handlers = {
  async run({ url, body, perSecond, seconds }: CommandsAsked): Promise<CommandsFound> {
    const { default: autocannon } = (await import(PACKAGE)) as { default(options: object): Running }
    const took: number[] = []
    const instance = autocannon({
      url,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
      // It sends each second's share of a connection one after the other at once: with several they would come in bursts.
      connections: 1,
      overallRate: perSecond,
      duration: seconds,
    })
    // Its own histogram has whole ms.
    instance.on('response', (_client, _status, _bytes, ms) => took.push(ms))
    const { non2xx, errors } = await instance
    took.sort((a, b) => a - b)
    const at = (q: number) => took[Math.floor((took.length - 1) * q)] ?? Number.NaN
    return { p50Ms: at(0.5), p99Ms: at(0.99), perSecond: took.length / seconds, failed: non2xx + errors }
  },
}

serveWorker(handlers)
