/** The networks that are imitated, and the ways to connect through them. */
import type { Variant } from '../guide/findings.ts'
import { CITED_ROUND_TRIP_MS, type Transport } from '../package/guide.ts'

/** How a network delays what is sent. */
export interface Profile {
  /** Time there and back, ms. Half of it each way. */
  readonly roundTripMs: number
  /** Each piece may take up to this much longer, ms; pieces of a connection do not overtake each other. @default 0 */
  readonly jitterMs?: number
  /** Of each direction, for all connections of a client together. @default no limit */
  readonly bitsPerSecond?: number
  /** Mean time between two lost pieces, ms. @default none is lost */
  readonly losesEveryMs?: number
}

/**
 * A lost piece comes this much later, ms, and so does all that follows it on its connection: a retransmission timeout,
 * which on Linux is the round trip and at least 200 ms.
 */
export const heldMs = ({ roundTripMs }: Profile) => 200 + roundTripMs

/** By the names that tables show. */
export const profiles = {
  '1 ms': { roundTripMs: 1 },
  '20 ms': { roundTripMs: 20 },
  '60 ms': { roundTripMs: CITED_ROUND_TRIP_MS },
  '200 ms': { roundTripMs: 200 },
  phone: { roundTripMs: 60, jitterMs: 20, losesEveryMs: 3000 },
  'slow line': { roundTripMs: 60, bitsPerSecond: 1_000_000 },
} as const satisfies Record<string, Profile>

export type ProfileName = keyof typeof profiles

export const profileNames = Object.keys(profiles) as ProfileName[]

/** One way to connect. */
export interface Way {
  readonly transport: Transport
  readonly http: Variant['http']
  readonly tls: boolean
}

/** By the names that tables show. */
export const ways = {
  SSE: { transport: 'sse', http: '1.1', tls: false },
  'SSE, TLS': { transport: 'sse', http: '1.1', tls: true },
  'SSE, HTTP/2, TLS': { transport: 'sse', http: '2, a connection each', tls: true },
  WebSocket: { transport: 'websocket', http: '1.1', tls: false },
  'WebSocket, TLS': { transport: 'websocket', http: '1.1', tls: true },
  'long-poll': { transport: 'long-poll', http: '1.1', tls: false },
  'long-poll, TLS': { transport: 'long-poll', http: '1.1', tls: true },
} as const satisfies Record<string, Way>

export type WayName = keyof typeof ways

export const wayNames = Object.keys(ways) as WayName[]
