/** Turns measurements into a report: which channels work, what is wrong, and which transport to use. Pure. */
import { chooseTransport, type Needs, type Recommendation } from '../../guide/index.ts'
import { HEARTBEAT_MS } from '../../protocol/index.ts'
import { describeRefusal, median, type Refusal } from './http.ts'
import type { ConnectionTrace, LongPollTrace, ReceivedMessage, WebSocketTrace } from './probes.ts'
import {
  type Channel,
  channelNames,
  type Delivery,
  type Fault,
  type FaultCode,
  formatMs,
  type Report,
  type Row,
} from './report.ts'
import { type PublishedEvent, type ServerInfo, type SetupFault, serversNamedIn } from './server.ts'

/** What happened on each connection. */
export interface Traces {
  /** An event stream as a browser asks for it. During the silence it carries only the server's own heartbeats. */
  sse: ConnectionTrace
  /** An event stream with a heartbeat every second, requested without compression. */
  pingedSse: ConnectionTrace
  /** A run's stream as the response to a POST; absent where the server has no agent for it. */
  postedSse: ConnectionTrace | undefined
  websocket: WebSocketTrace
  longPoll: LongPollTrace
}

export interface Measurements extends Traces {
  url: string
  server: ServerInfo
  /** Why a page of the server's own address is refused. */
  pageRefused: string | undefined
  /** The status that a refused event stream has behind a proxy; absent without a proxy. */
  unavailable: number | undefined
  /** At least one event. */
  published: PublishedEvent[]
  /** An event stream that was opened with the offset of the first event as `Last-Event-ID`. */
  resumed: ConnectionTrace
}

/** A message that takes longer than a round trip plus this time was buffered, in ms. */
const LATE_MS = 1000

/** A channel whose median delay exceeds that of another by more than this goes through something that waits, in ms. */
const DELAYED_MS = 100

/** Messages sent at least this far apart, in ms, must not arrive together. */
const SEPARATE_MS = 200

/** The report about a server that could not be measured. */
export function failedReport(url: string, code: SetupFault, message: string): Report {
  return { url, healthy: false, rows: [], faults: [{ code, message }] }
}

export function diagnose(measured: Measurements): Report {
  const { url, sse, postedSse, websocket, longPoll } = measured
  const channels: [Channel, ConnectionTrace | undefined][] = [
    ['sse', sse],
    ['sse-post', postedSse],
    ['websocket', websocket],
    ['long-poll', longPoll],
  ]
  const traces = channels.flatMap(([, trace]) => trace ?? [])
  const clockOffsetMs = clockOffset(measured.published, traces)
  const faults = pageFaults(measured)
  const rows = channels.map(([channel, trace]): Row => {
    if (!trace) {
      return { channel, works: undefined, message: 'not tried: the server has no agent playback' }
    }
    const { row, fault } = assess(channel, trace, measured, clockOffsetMs)
    if (fault) faults.push({ code: fault, message: `${channelNames[channel]}: ${row.message}` })
    return row
  })
  faults.push(...delayFaults(rows))
  const disconnect = findDisconnect(measured)
  if (disconnect) faults.push(warn(rows, disconnect.code, disconnect.channels, disconnect.message))
  faults.push(...resumeFaults(measured), ...restartFaults(measured))
  const advice = recommend(rows, faults, disconnect)
  return {
    url,
    healthy: faults.length === 0,
    server: { ...describeServer(measured), clockOffsetMs },
    rows,
    faults,
    ...(advice && { advice }),
  }
}

function describeServer({ server, sse, websocket, longPoll }: Measurements) {
  const named = [sse, websocket, longPoll].flatMap(({ headers }) => serversNamedIn(headers))
  return {
    ...server,
    intermediaries: [...new Set([...server.intermediaries, ...named])],
    protocol: 1 as const,
    heartbeatMs: websocket.heartbeatMs ?? sse.heartbeatMs ?? HEARTBEAT_MS,
    changedHeaders: changedHeaders(sse),
  }
}

/** Headers of the event stream that did not arrive as Twinrail sends them. */
function changedHeaders({ headers, messages }: ConnectionTrace): string[] {
  if (messages.length === 0) return []
  return [
    ...(headers['x-accel-buffering'] === 'no' ? [] : ['x-accel-buffering']),
    ...(String(headers['cache-control'] ?? '').includes('no-transform') ? [] : ['cache-control']),
  ]
}

function pageFaults({ pageRefused }: Measurements): Fault[] {
  if (pageRefused === undefined) return []
  return [{ code: 'page-refused', message: `A page of this address is refused: ${pageRefused}` }]
}

/** A resumed stream must not repeat the event that it resumes after. */
function resumeFaults({ resumed, published: [first] }: Measurements): Fault[] {
  if (!first || !resumed.offsets.includes(first.offset)) return []
  return [{ code: 'resume-lost', message: 'SSE: a proxy strips Last-Event-ID, so streams do not resume' }]
}

/** Proxies that pass a 503 on to event streams send their own 502 to them as well. */
function restartFaults({ unavailable }: Measurements): Fault[] {
  if (unavailable === undefined || unavailable < 500) return []
  const message = `SSE: a ${unavailable} reaches event streams, after which a bare EventSource never comes back`
  return [{ code: 'restart-final', message }]
}

function delayFaults(rows: Row[]): Fault[] {
  return rows.flatMap(({ channel, works, delivery }) => {
    if (!works || !delivery) return []
    const fastest = Math.min(...rows.flatMap(row => (row.works ? (row.delivery?.medianMs ?? []) : [])))
    if (delivery.medianMs - fastest <= DELAYED_MS) return []
    return warn(rows, 'delayed', [channel], `every event comes ${formatMs(delivery.medianMs)} late`)
  })
}

/** Adds a warning to channels that work, and returns it as a fault. */
function warn(rows: Row[], code: FaultCode, channels: readonly Channel[], message: string): Fault {
  for (const row of rows) if (row.works && channels.includes(row.channel)) row.warning = message
  return { code, message: `${channels.map(channel => channelNames[channel]).join(', ')}: ${message}` }
}

/** What the guide recommends under these conditions; nothing when no channel works. */
function recommend(
  rows: readonly Row[],
  faults: readonly Fault[],
  disconnect: Disconnect | undefined,
): Recommendation | undefined {
  const works = (channel: Channel) => rows.some(row => row.channel === channel && row.works)
  if (!rows.some(({ works }) => works)) return undefined
  const buffers = !works('sse') && faults.some(({ code }) => code === 'buffered' || code === 'compressed')
  const needs: Needs = {
    ...(buffers && { buffers: true }),
    ...(!works('sse') && !buffers && { streams: false }),
    ...(!works('websocket') && { stripsUpgrade: true }),
    ...(disconnect?.code === 'cut-idle' && {
      cutsIdleAfterSeconds: Math.max(1, Math.round(disconnect.afterMs / 1000)),
    }),
  }
  return chooseTransport(needs)
}

interface Assessment {
  row: Row
  /** What is wrong with a channel that does not work. */
  fault?: FaultCode
}

/** Whether one channel does what it should. */
function assess(
  channel: Channel,
  trace: ConnectionTrace,
  measured: Measurements,
  clockOffsetMs: number,
): Assessment {
  const { roundTripMs } = measured.server
  const delivery = deliveryOf(trace.messages, clockOffsetMs, roundTripMs)
  const compressed = trace.headers['content-encoding']
  const facts = {
    ...(delivery && { delivery }),
    ...(typeof compressed === 'string' && compressed !== 'identity' && { compressed }),
  }
  const broken = (fault: FaultCode, message: string): Assessment => ({
    fault,
    row: { channel, works: false, message, ...facts },
  })

  if (trace.refusal && trace.disconnectedAt === undefined) {
    return channel === 'websocket'
      ? broken('upgrade', refusedUpgrade(trace.refusal))
      : broken('blocked', `refused with ${describeRefusal(trace.refusal)}`)
  }
  if (trace.failure) {
    return broken(channel === 'websocket' && !trace.opened ? 'upgrade' : 'blocked', trace.failure)
  }
  if (!delivery) return broken('blocked', 'the connection opens, but no message arrives')
  // Long-poll gathers events by its nature: those that arrive while a response is on its way wait for the next poll.
  if (delivery.pattern === 'late' || (delivery.pattern === 'batched' && channel !== 'long-poll')) {
    const uncompressed = deliveryOf(measured.pingedSse.messages, clockOffsetMs, roundTripMs)
    return 'compressed' in facts && uncompressed?.pattern === 'live'
      ? broken('compressed', `${heldBack(delivery)}, by what compresses it (${facts.compressed})`)
      : broken('buffered', heldBack(delivery))
  }
  if (channel === 'sse-post' && trace.disconnectedAt !== undefined) {
    return broken('blocked', 'closed before the run had ended')
  }
  const missing = countMissing(channel, trace, measured)
  if (missing > 0) {
    return broken('blocked', `${missing} of ${measured.published.length} events never arrived`)
  }
  return { row: { channel, works: true, message: describeWorking(channel, delivery, measured), ...facts } }
}

/** When the server got a plain GET, it says so in its answer. */
function refusedUpgrade(refusal: Refusal): string {
  return /stripped/.test(refusal.line)
    ? 'a proxy strips the upgrade: the server got a plain GET'
    : `the upgrade is refused with ${describeRefusal(refusal)}`
}

function heldBack({ pattern, worstMs }: Delivery): string {
  return pattern === 'late'
    ? `held back, by up to ${formatMs(worstMs)}`
    : 'held back: events that are sent one by one arrive several at a time'
}

/** Published events that an intact connection did not bring. A run's stream carries other events. */
function countMissing(channel: Channel, trace: ConnectionTrace, { published }: Measurements): number {
  if (channel === 'sse-post' || trace.disconnectedAt !== undefined) return 0
  const arrived = new Set(trace.offsets)
  return published.filter(({ offset }) => !arrived.has(offset)).length
}

function describeWorking(
  channel: Channel,
  { medianMs, worstMs }: Delivery,
  { websocket, longPoll }: Measurements,
): string {
  const delay = `events arrive after ${formatMs(medianMs)}, at most ${formatMs(worstMs)}`
  if (channel === 'websocket') {
    const deflate = websocket.deflated ? '; permessage-deflate' : ''
    return `${delay}; round trip ${formatMs(median(websocket.roundTripsMs))}${deflate}`
  }
  return channel === 'long-poll' && longPoll.heldMs > 0
    ? `${delay}; a poll is held for ${formatMs(longPoll.heldMs)}`
    : delay
}

/**
 * How far the server's clock is ahead of this machine's, to half a round trip: an event gets its time between its
 * sending and its answer. When no event arrived, the fastest message is taken for immediate.
 */
function clockOffset(published: readonly PublishedEvent[], traces: readonly ConnectionTrace[]): number {
  const messages = traces.flatMap(({ messages }) => messages)
  const times = new Map(messages.map(({ offset, sentAt }) => [offset, sentAt]))
  const offsets = published.flatMap(({ offset, sentAt, ackedAt }) => {
    const time = times.get(offset)
    return time === undefined ? [] : [time - (sentAt + ackedAt) / 2]
  })
  if (offsets.length > 0) return median(offsets)
  return messages.length > 0 ? Math.max(...messages.map(({ sentAt, receivedAt }) => sentAt - receivedAt)) : 0
}

/** How late messages were; `undefined` when none arrived. */
function deliveryOf(
  messages: readonly ReceivedMessage[],
  clockOffsetMs: number,
  roundTripMs: number,
): Delivery | undefined {
  if (messages.length === 0) return undefined
  const delaysMs = messages.map(({ sentAt, receivedAt }) => Math.max(0, receivedAt - sentAt + clockOffsetMs))
  const worstMs = Math.max(...delaysMs)
  const pattern = worstMs > LATE_MS + roundTripMs ? 'late' : arriveTogether(messages) ? 'batched' : 'live'
  return { medianMs: median(delaysMs), worstMs, pattern }
}

/** Whether messages that were sent apart arrive together: one such pair may be chance, half of all is not. */
function arriveTogether(messages: readonly ReceivedMessage[]): boolean {
  const pairs = messages.slice(1).flatMap((next, i) => {
    const previous = messages[i]!
    const sentApart = next.sentAt - previous.sentAt
    return sentApart < SEPARATE_MS ? [] : [next.receivedAt - previous.receivedAt < sentApart / 4]
  })
  const together = pairs.filter(Boolean).length
  return together >= 2 && together >= pairs.length / 2
}

/** Connections that a proxy closed. */
interface Disconnect {
  /** `cut-idle`: for being silent; `cut-age`: for being open that long, whatever was sent. */
  code: 'cut-idle' | 'cut-age'
  channels: Channel[]
  afterMs: number
  message: string
}

/** A stream with a heartbeat every second distinguishes the two limits: an idle timeout does not close it. */
function findDisconnect({ sse, pingedSse, websocket, longPoll }: Measurements): Disconnect | undefined {
  const candidates: [Channel, ConnectionTrace][] = [
    ['sse', sse],
    ['websocket', websocket],
    ['long-poll', longPoll],
  ]
  const closed = candidates.filter(([, { disconnectedAt }]) => disconnectedAt !== undefined)
  if (closed.length === 0) return undefined
  const channels = closed.map(([channel]) => channel)
  const medianSince = (start: (trace: ConnectionTrace) => number) =>
    median(closed.map(([, trace]) => (trace.disconnectedAt ?? 0) - start(trace)))
  const lifetime = ({ disconnectedAt = Number.POSITIVE_INFINITY, startedAt }: ConnectionTrace) =>
    disconnectedAt - startedAt
  if (lifetime(sse) < Number.POSITIVE_INFINITY && lifetime(pingedSse) < 1.5 * lifetime(sse)) {
    const afterMs = medianSince(({ startedAt }) => startedAt)
    return {
      code: 'cut-age',
      channels,
      afterMs,
      message: `closed after ${formatMs(afterMs)}, whatever is sent`,
    }
  }
  const afterMs = medianSince(({ lastByteAt }) => lastByteAt)
  return { code: 'cut-idle', channels, afterMs, message: `closed after ${formatMs(afterMs)} of silence` }
}
