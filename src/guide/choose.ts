/**
 * Recommends a transport by a few rules over the application's needs, the network and the client. Pages load this module,
 * so it has the ids of measured figures only, not the figures.
 */
import type { EvidenceId, Transport } from './names.ts'
import type { Needs } from './needs.ts'

/** One reason for a recommendation. */
export interface Reason {
  /** The id of one of {@link rules}. */
  rule: string
  /** A sentence without its full stop. */
  text: string
}

/** A recommended transport, with reasons and alternatives. */
export interface Recommendation {
  /** The transport to use first. */
  transport: Transport
  /** All reasons, at least one, in the order of {@link rules}. */
  because: Reason[]
  /** The other transports that can work, the best first. */
  fallback: Transport[]
  /** The ids of the figures that support the reasons. Some of them may not have been measured. */
  evidence: EvidenceId[]
}

/** One rule of the guide. */
export interface Rule {
  /** The rule's name, as reasons cite it. */
  readonly id: string
  /** Whether the rule applies; `undefined` counts as no. */
  applies(needs: Needs): boolean | undefined
  /** The reason for people: a sentence without its full stop. */
  because(needs: Needs): string
  /** The transport that the rule moves, and where to. A rule without it only explains why a need changes nothing. */
  readonly moves?: readonly [Transport, 'to the front' | 'to the end' | 'out']
}

/** Commands per second above which one request per command costs more than a socket. */
export const BUSY_UPSTREAM = 1

/** Connections that should stay free for commands and for the page itself. */
export const SPARE_CONNECTIONS = 2

const busy = ({ upstreamPerSecond = 0 }: Needs) => upstreamPerSecond > BUSY_UPSTREAM

const crowded = ({ sessions = 1, connections = Number.POSITIVE_INFINITY }: Needs) =>
  sessions > connections - SPARE_CONNECTIONS

/**
 * The rules, in the order in which they apply: preferences first, then transports that work badly, then transports that
 * do not work. Latency and CPU per event have no rule, since neither transport sends headers with an event and both are
 * written in the same turn. Bytes have none either: framing differs by about thirty bytes per event, and compression
 * removes most of that. What differs over a network are round trips: to connect, and for a command on a new connection.
 */
export const rules: readonly Rule[] = [
  {
    id: 'one-way',
    applies: needs => !busy(needs) && !crowded(needs) && !needs.buffers,
    because: () =>
      'commands are rare and most proxies pass SSE: it starts a round trip sooner, which outweighs its memory',
    moves: ['sse', 'to the front'],
  },
  {
    id: 'mobile',
    applies: needs => needs.mobile,
    because: () =>
      'sleep and network changes favour SSE: it starts a round trip sooner, which outweighs its memory',
  },
  {
    id: 'busy-upstream',
    applies: busy,
    because: ({ upstreamPerSecond }) =>
      `${upstreamPerSecond} commands per second are cheaper on one socket than as one request each`,
    moves: ['websocket', 'to the front'],
  },
  {
    id: 'many-sessions',
    applies: crowded,
    because: ({ sessions = 1, connections }) =>
      `${sessions} streams would use up the ${connections} connections to this host`,
    moves: ['websocket', 'to the front'],
  },
  {
    id: 'binary',
    applies: needs => needs.binary,
    because: () => 'binary data does not matter: events are JSON, with base64 on every transport',
  },
  {
    id: 'cuts-idle',
    applies: needs => needs.cutsIdleAfterSeconds !== undefined,
    because: ({ cutsIdleAfterSeconds }) =>
      `connections are closed after ${cutsIdleAfterSeconds} s of silence on every transport: set heartbeats below that`,
  },
  {
    id: 'buffers',
    applies: needs => needs.buffers,
    because: () => 'a proxy buffers responses, so a stream would arrive late',
    moves: ['sse', 'to the end'],
  },
  {
    id: 'strips-upgrade',
    applies: needs => needs.stripsUpgrade,
    because: () => 'a proxy strips the upgrade of a WebSocket',
    moves: ['websocket', 'out'],
  },
  {
    id: 'headers',
    applies: needs => needs.headers,
    because: () => 'a page’s WebSocket cannot send headers',
    moves: ['websocket', 'out'],
  },
  {
    id: 'plain-http',
    applies: needs => needs.plainHttp,
    because: () => 'the reader supports plain HTTP only',
    moves: ['websocket', 'out'],
  },
  {
    id: 'no-websocket',
    applies: needs => needs.webSocket === false,
    because: () => 'the client has no WebSocket',
    moves: ['websocket', 'out'],
  },
  {
    id: 'no-streams',
    applies: needs => needs.streams === false,
    because: () => 'the client cannot read a response as a stream',
    moves: ['sse', 'out'],
  },
]

/** The figures that support the reason of a rule, by its id. Apart from the rules, since clients need the rules only. */
export const evidenceOf: Readonly<Record<string, readonly EvidenceId[]>> = {
  'one-way': ['networks/cold', 'chat/memory', 'chat/deliver', 'chat/cpu', 'chat/bytes'],
  mobile: [
    'networks/resumed',
    'networks/cold',
    'mobile/memory',
    'mobile/handshake',
    'mobile/firstEvent',
    'mobile/storm',
  ],
  'busy-upstream': [
    'networks/laterCommand',
    'networks/separateCommand',
    'editing/uplink',
    'editing/cpu',
    'game/uplink',
  ],
  'many-sessions': ['networks/others', 'dashboards/handshake', 'dashboards/memory'],
  binary: ['binary/bytes', 'binary/deliver'],
  'cuts-idle': ['networks/resumed', 'mobile/storm'],
  buffers: ['buffered/firstEvent', 'buffered/deliver'],
}

/**
 * Recommends a transport by {@link rules}. Long-poll is always recommended or among the fallbacks, since it needs only
 * requests. Does not throw.
 * @example
 * ```ts
 * import { chooseTransport } from 'twinrail/guide'
 *
 * const { transport, fallback, because } = chooseTransport({ upstreamPerSecond: 20 })
 * ```
 */
export function chooseTransport(needs: Needs): Recommendation {
  const choice = applyRules(needs)
  return { ...choice, evidence: choice.because.flatMap(({ rule }) => evidenceOf[rule] ?? []) }
}

/** The recommendation without its figures. */
export function applyRules(needs: Needs): Omit<Recommendation, 'evidence'> {
  const because: Reason[] = []
  let order: Transport[] = ['sse', 'websocket', 'long-poll']
  for (const { id, applies, because: text, moves } of rules) {
    if (!applies(needs)) continue
    because.push({ rule: id, text: text(needs) })
    if (!moves) continue
    const [transport, where] = moves
    const rest = order.filter(other => other !== transport)
    order = where === 'out' ? rest : where === 'to the front' ? [transport, ...rest] : [...rest, transport]
  }
  const [transport = 'long-poll', ...fallback] = order
  return { transport, because, fallback }
}
