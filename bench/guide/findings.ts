/** What a run of the workloads found: plain data, kept as JSON, judged by `validity` and drawn by the report. */
import type { Check } from '../report.ts'

/** How the events come to a client. */
export type Rail = 'sse' | 'websocket' | 'long-poll'

/** What stands between client and server. */
export type Path = 'direct' | 'nginx as it comes' | 'nginx as documented'

/** One way for clients to be connected. */
export interface Variant {
  /** As it stands in tables: `SSE`, `WebSocket, TLS`, `SSE, HTTP/2, one connection`, `socket.io`. */
  readonly name: string
  /** The transport, or what kind of peer it stands beside. */
  readonly rail: Rail
  /** Whose server it is: ours, the floor of bare sockets, or a peer's name. */
  readonly server: 'twinrail' | 'floor' | string
  readonly http: '1.1' | '2, a connection each' | '2, one connection'
  readonly tls: boolean
  readonly compressed: boolean
  readonly path: Path
}

/** A figure that was measured once in each round. */
export interface Figure {
  /** One value a round, in the order of the rounds. */
  readonly samples: readonly number[]
  readonly median: number
  /** Quartiles. */
  readonly low: number
  readonly high: number
}

/** Delays in ms. Percentiles are of each round's histogram; the curve is of all rounds' histograms, merged. */
export interface Delays {
  readonly count: number
  readonly p50: Figure
  readonly p90: Figure
  readonly p99: Figure
  readonly p999: Figure
  readonly max: Figure
  /** `[percentile, ms]`, percentiles rising from 0 to 100. */
  readonly curve: readonly (readonly [number, number])[]
}

/** One workload over one variant, all rounds. */
export interface Cell {
  readonly workload: string
  readonly variant: string
  /** From the begin of the connection to the first event at the client, ms: connect, handshakes and replay are in it. */
  readonly firstEventMs: Figure
  /** From when an event was due to be published until a client has it. */
  readonly deliver: Delays
  /** The same, from when it was really handed over: what a closed loop would have said. */
  readonly deliverFromSend: Delays
  /** From when a command was due to its answer; where the workload sends any. */
  readonly uplink?: Delays
  /** From client to server per command, headers and framing in it; for long-poll the polls meanwhile are in it, too. */
  readonly commandBytes?: Figure
  /** What autocannon says of such commands over HTTP at the same rate, one after the other from sending; where it was run. */
  readonly autocannon?: { readonly p50Ms: Figure; readonly p99Ms: Figure; readonly perSecond: Figure }
  /** Events delivered per second where doubling the rate no longer doubles them; where it was looked for. */
  readonly kneePerSecond?: Figure
  /** Of the server's process per delivered event, µs. */
  readonly cpuUserUs: Figure
  readonly cpuSystemUs: Figure
  /** On the wire from server to clients per delivered event, by the counting proxy, without handshakes. */
  readonly bytesPerEvent: Figure
  /** Both ways, of one connection until it is subscribed. */
  readonly handshakeBytes: Figure
  /** One client in ten reads 2 KB/s; where it was looked for. */
  readonly slow?: {
    /** Delays of the others. */
    readonly healthy: Delays
    /** What the server holds after garbage collection, heap and buffers, beyond the same time without slow readers, MiB. */
    readonly heldMiB: Figure
  }
  /** All connections are cut at once; where it was looked for. */
  readonly storm?: {
    /** Until every client has everything again, ms. */
    readonly currentMs: Figure
    /** `[ms since the cut, part of the clients that are current]`, of the median round. */
    readonly recovery: readonly (readonly [number, number])[]
  }
  readonly counts: Counts
  /** Of the load's process: how late it was with what was due, p99 in ms, and the busy part of its time, 0..1. */
  readonly generator: { readonly lateP99Ms: Figure; readonly busy: Figure }
}

/** What must be right for a cell to mean anything; summed over all rounds and phases. */
export interface Counts {
  readonly expected: number
  readonly delivered: number
  readonly lost: number
  readonly doubled: number
  readonly outOfOrder: number
  readonly failedConnections: number
  /** Of the load and server that something was offered but not done in time: offered and achieved events per second. */
  readonly offeredPerSecond: number
  readonly achievedPerSecond: number
}

/** Resident memory of the server over the number of idle connections. */
export interface Memory {
  readonly variant: string
  readonly points: readonly { readonly connections: number; readonly bytes: number }[]
  /** Slope of the line through the points, KiB. */
  readonly kibPerConnection: number
}

/** A cell that is not there. */
export interface LeftOut {
  readonly workload: string
  readonly variant: string
  /** As a sentence, such as `The upgrade did not get through: HTTP 426.` */
  readonly why: string
  /** It was tried and does not work: that is a finding too. Otherwise there was no time for it. */
  readonly impossible: boolean
}

export interface Findings {
  readonly format: 1
  readonly environment: Readonly<Record<string, unknown>>
  readonly settings: { readonly quick: boolean; readonly rounds: number; readonly seed: number }
  readonly variants: readonly Variant[]
  readonly cells: readonly Cell[]
  readonly memory: readonly Memory[]
  /** What cannot be or was not measured, and why. */
  readonly leftOut: readonly LeftOut[]
  /** Everything that was checked; the run is valid when all hold. */
  readonly checks: readonly Check[]
  readonly valid: boolean
}
