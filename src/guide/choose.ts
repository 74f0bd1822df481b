/**
 * Which transport to take: a few rules over what is needed, what lies between and what the client can. Knows where to
 * look for figures, not the figures themselves: pages load it, too.
 */
import type { EvidenceId, Transport } from './names.ts'
import type { Needs } from './needs.ts'

/** Why, in a sentence without its full stop. */
export interface Reason {
  /** The id of one of {@link rules}. */
  rule: string
  text: string
}

export interface Recommendation {
  transport: Transport
  /** At least one. */
  because: Reason[]
  /** What else can work, the likeliest first. */
  fallback: Transport[]
  /** Where the measured figures stand that the reasons rest on; some may not have been measured. */
  evidence: EvidenceId[]
}

export interface Rule {
  readonly id: string
  applies(needs: Needs): boolean | undefined
  because(needs: Needs): string
  /** The transport that it moves; without one it only tells what does not decide. */
  readonly moves?: readonly [Transport, 'to the front' | 'to the end' | 'out']
  readonly evidence?: readonly EvidenceId[]
}

/** Commands a second above which a request for each costs more than a socket. */
export const BUSY_UPSTREAM = 1

/** Requests that stay free for commands and for the page itself. */
export const SPARE_CONNECTIONS = 2

const busy = ({ upstreamPerSecond = 0 }: Needs) => upstreamPerSecond > BUSY_UPSTREAM

const crowded = ({ sessions = 1, connections = Number.POSITIVE_INFINITY }: Needs) =>
  sessions > connections - SPARE_CONNECTIONS

/**
 * In the order in which they apply: what one would like, then what works badly, then what does not work. Latency and
 * CPU per event have no rule: neither transport sends headers with an event, and both are written in the same turn. Nor
 * have bytes: framing differs by some thirty an event, and compression takes most of that away.
 */
export const rules: readonly Rule[] = [
  {
    id: 'one-way',
    applies: needs => !busy(needs) && !crowded(needs) && !needs.buffers,
    because: () => 'answers flow one way and commands are rare: plain HTTP passes the most proxies',
    moves: ['sse', 'to the front'],
    evidence: ['chat/deliver', 'chat/cpu', 'chat/bytes'],
  },
  {
    id: 'mobile',
    applies: needs => needs.mobile,
    because: () => 'sleep and other networks do not decide: coming back costs as much on either',
    evidence: ['mobile/handshake', 'mobile/firstEvent', 'mobile/storm'],
  },
  {
    id: 'busy-upstream',
    applies: busy,
    because: ({ upstreamPerSecond }) =>
      `${upstreamPerSecond} commands a second would rather share one socket than take a request each`,
    moves: ['websocket', 'to the front'],
    evidence: ['editing/uplink', 'editing/cpu', 'game/uplink'],
  },
  {
    id: 'many-sessions',
    applies: crowded,
    because: ({ sessions = 1, connections }) =>
      `${sessions} streams would take up the ${connections} connections to this host`,
    moves: ['websocket', 'to the front'],
    evidence: ['dashboards/handshake', 'dashboards/memory'],
  },
  {
    id: 'binary',
    applies: needs => needs.binary,
    because: () => 'binary data does not decide: events are JSON, with base64 on every transport',
    evidence: ['binary/bytes', 'binary/deliver'],
  },
  {
    id: 'cuts-idle',
    applies: needs => needs.cutsIdleAfterSeconds !== undefined,
    because: ({ cutsIdleAfterSeconds }) =>
      `silence of ${cutsIdleAfterSeconds} s is cut, on every transport: ask for heartbeats before`,
    evidence: ['mobile/storm'],
  },
  {
    id: 'buffers',
    applies: needs => needs.buffers,
    because: () => 'responses are held back on the way: a stream would come late',
    moves: ['sse', 'to the end'],
    evidence: ['buffered/firstEvent', 'buffered/deliver'],
  },
  {
    id: 'strips-upgrade',
    applies: needs => needs.stripsUpgrade,
    because: () => 'the upgrade of a WebSocket is stripped on the way',
    moves: ['websocket', 'out'],
  },
  {
    id: 'headers',
    applies: needs => needs.headers,
    because: () => 'a page’s WebSocket cannot send the headers that auth gives',
    moves: ['websocket', 'out'],
  },
  {
    id: 'plain-http',
    applies: needs => needs.plainHttp,
    because: () => 'who reads has plain HTTP only',
    moves: ['websocket', 'out'],
  },
  {
    id: 'no-websocket',
    applies: needs => needs.webSocket === false,
    because: () => 'there is no WebSocket here',
    moves: ['websocket', 'out'],
  },
  {
    id: 'no-streams',
    applies: needs => needs.streams === false,
    because: () => 'there are no streams here',
    moves: ['sse', 'out'],
  },
]

/** Applies the rules; long-poll is always among what can work, since it needs nothing but requests. */
export function chooseTransport(needs: Needs): Recommendation {
  const because: Reason[] = []
  const evidence: EvidenceId[] = []
  let order: Transport[] = ['sse', 'websocket', 'long-poll']
  for (const { id, applies, because: text, moves, evidence: figures = [] } of rules) {
    if (!applies(needs)) continue
    because.push({ rule: id, text: text(needs) })
    evidence.push(...figures)
    if (!moves) continue
    const [transport, where] = moves
    const rest = order.filter(other => other !== transport)
    order = where === 'out' ? rest : where === 'to the front' ? [transport, ...rest] : [...rest, transport]
  }
  const [transport = 'long-poll', ...fallback] = order
  return { transport, because, fallback, evidence }
}
