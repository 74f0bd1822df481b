/** All that the doctor tells; what `--json` prints. */
import type { Recommendation } from '../../guide/index.ts'
import type { Delivery } from './delivery.ts'
import type { Obstacle, Reached } from './reach.ts'
import type { Remediable } from './remedies.ts'

export type FaultCode = Obstacle | Remediable | 'blocked'

/** Something that is wrong. */
export interface Fault {
  code: FaultCode
  /** In plain words. */
  says: string
}

/** A way for events to come; proxies treat the two of SSE differently. */
export type Way = 'sse' | 'sse-post' | 'websocket' | 'long-poll'

/** How one way fares. */
export interface Row {
  way: Way
  /** `undefined`: not tried. */
  works: boolean | undefined
  says: string
  /** What is wrong although it works. */
  but?: string
  delivery?: Delivery
  /** The stream's `content-encoding`. */
  compressed?: string
}

export interface Report {
  url: string
  /** Whether nothing is wrong. */
  well: boolean
  /** None when there is nothing to examine. */
  server?: Reached & {
    protocol: 1
    /** The server's own pace of pings, in ms. */
    heartbeatMs: number
    /** How far its clock is ahead of this machine's, to half a round trip. */
    clockAheadMs: number
    /** Headers of the event stream that did not come as they were sent. */
    changedHeaders: string[]
  }
  rows: Row[]
  faults: Fault[]
  /** The guide's own; none when nothing gets through. */
  advice?: Recommendation
}

export const names: Readonly<Record<Way, string>> = {
  sse: 'SSE (GET)',
  'sse-post': 'SSE (POST)',
  websocket: 'WebSocket',
  'long-poll': 'long-poll',
}

/** Time in words: `4 ms`, `1.5 s`. */
export function ms(value: number): string {
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`
}
