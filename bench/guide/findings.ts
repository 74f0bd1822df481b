/** The results of a run of the workloads: plain data, kept as JSON, checked by `validity`, and printed by the report. */
import type { NetworkMeasure, Range, Transport } from '../package/guide.ts'
import type { Check, Result } from '../report.ts'

/** What is between client and server. */
export type Path = 'direct' | 'nginx as it comes' | 'nginx as documented'

/** One way for clients to connect. */
export interface Variant {
  /** As in tables: `SSE`, `WebSocket, TLS`, `SSE, HTTP/2, one connection`, `socket.io`. */
  readonly name: string
  /** The transport. Another server is compared with ours on it. */
  readonly transport: Transport
  /** Our server, the floor of bare sockets, or the name of another server. */
  readonly server: 'twinrail' | 'floor' | string
  readonly http: '1.1' | '2, a connection each' | '2, one connection'
  readonly tls: boolean
  readonly compressed: boolean
  readonly path: Path
}

/** A figure that is measured once in each round. */
export interface Figure {
  /** One value a round, in the order of the rounds. */
  readonly samples: readonly number[]
  readonly median: number
  /** Quartiles. */
  readonly low: number
  readonly high: number
}

/** Delays in ms. The percentiles are those of each round; the curve is that of all rounds merged. */
export interface Delays {
  readonly count: number
  readonly p50: Figure
  readonly p90: Figure
  readonly p99: Figure
  readonly p999: Figure
  readonly max: Figure
  /** `[percentile, ms]`, ascending from 0 to 100. */
  readonly curve: readonly (readonly [number, number])[]
}

/** One workload on one variant, all rounds. */
export interface Cell {
  readonly workload: string
  readonly variant: string
  /** From the start of connecting to the client's first event, ms: with handshakes and replay. */
  readonly firstEventMs: Figure
  /** From when an event was due until a client has it. */
  readonly deliver: Delays
  /** From when an event was really sent until a client has it, as a closed loop measures it. */
  readonly deliverFromSend: Delays
  /** From when a command was due until its answer; where clients send commands. */
  readonly uplink?: Delays
  /** From client to server per command, with headers and framing; on long-poll with the polls meanwhile. */
  readonly commandBytes?: Figure
  /** autocannon's figures for such commands over HTTP at the same rate, in a closed loop; where it was run. */
  readonly autocannon?: { readonly p50Ms: Figure; readonly p99Ms: Figure; readonly perSecond: Figure }
  /** Events delivered per second where doubling the rate no longer doubles them; where it was measured. */
  readonly kneePerSecond?: Figure
  /** Of the server process per delivered event, µs. */
  readonly cpuUserUs: Figure
  readonly cpuSystemUs: Figure
  /** From server to clients per delivered event, counted by the proxy, without handshakes. */
  readonly bytesPerEvent: Figure
  /** In both directions until one client is subscribed. */
  readonly handshakeBytes: Figure
  /** With one client in ten at 2 KB/s; where it was measured. */
  readonly slow?: {
    /** Delays of the others. */
    readonly healthy: Delays
    /** Heap and buffers of the server after garbage collection, beyond those without slow readers, MiB. */
    readonly heldMiB: Figure
  }
  /** All connections are cut at once; where it was measured. */
  readonly storm?: {
    /** Until every client has everything again, ms. */
    readonly currentMs: Figure
    /** `[ms since the cut, part of the clients that are current]`, of the median round. */
    readonly recovery: readonly (readonly [number, number])[]
  }
  readonly counts: Counts
  /** Of the load process: how late it sent, p99 in ms, and the busy part of its time, 0..1. */
  readonly generator: { readonly lateP99Ms: Figure; readonly busy: Figure }
}

/** Counts that decide whether a cell is valid; summed over all rounds and phases. */
export interface Counts {
  readonly expected: number
  readonly delivered: number
  readonly lost: number
  readonly doubled: number
  readonly outOfOrder: number
  readonly failedConnections: number
  /** Events per second that were due, and that arrived in time. */
  readonly offeredPerSecond: number
  readonly achievedPerSecond: number
}

/** Resident memory of the server by number of idle connections. */
export interface Memory {
  readonly variant: string
  readonly points: readonly { readonly connections: number; readonly bytes: number }[]
  /** Slope of the line through the points, KiB. */
  readonly kibPerConnection: number
}

/** A cell that was not measured. */
export interface LeftOut {
  readonly workload: string
  readonly variant: string
  /** As a sentence, such as `The upgrade did not get through: HTTP 426.` */
  readonly why: string
  /** It was tried and does not work, which is a result. Otherwise there was no time for it. */
  readonly impossible: boolean
}

export interface Findings {
  readonly format: 2
  readonly environment: Readonly<Record<string, unknown>>
  readonly settings: { readonly quick: boolean; readonly rounds: number; readonly seed: number }
  readonly variants: readonly Variant[]
  readonly cells: readonly Cell[]
  readonly memory: readonly Memory[]
  /** What was not or cannot be measured, and why. */
  readonly leftOut: readonly LeftOut[]
  /** The run is valid when all hold. */
  readonly checks: readonly Check[]
  readonly valid: boolean
}

/** A figure by transport, as the guide cites it. */
export type NetworkFigures = Readonly<
  Record<NetworkMeasure, { readonly unit: string } & { readonly [T in Transport]?: Range }>
>

/** The result of the scenario `networks`, with the figures that the guide cites. */
export interface NetworksResult extends Result {
  readonly figures: NetworkFigures
}
