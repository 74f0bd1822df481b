/** The doctor's report: as data, which `--json` prints, and as text. */
import type { Recommendation } from '../../guide/index.ts'
import type { Format } from '../screen.ts'
import { oneLine } from '../text.ts'
import { proxiesAmong, type Remediable, remedies } from './remedies.ts'
import type { ServerInfo, SetupFault } from './server.ts'

export type FaultCode = SetupFault | Remediable | 'blocked'

export interface Fault {
  code: FaultCode
  message: string
}

/** A transport as it is requested. Proxies may treat the two requests for SSE differently. */
export type Channel = 'sse' | 'sse-post' | 'websocket' | 'long-poll'

export interface Delivery {
  medianMs: number
  worstMs: number
  /** `batched`: messages that were sent one by one arrived several at a time. */
  pattern: 'live' | 'late' | 'batched'
}

/** What was found about one channel. */
export interface Row {
  channel: Channel
  /** `undefined`: not tried. */
  works: boolean | undefined
  message: string
  /** What is wrong with a channel that works. */
  warning?: string
  delivery?: Delivery
  /** The stream's `content-encoding`. */
  compressed?: string
}

export interface Report {
  url: string
  /** Whether there is no fault. */
  healthy: boolean
  /** Absent when the server could not be measured. */
  server?: ServerInfo & {
    protocol: 1
    /** The server's heartbeat interval, in ms. */
    heartbeatMs: number
    /** How far the server's clock is ahead of this machine's, to half a round trip. */
    clockOffsetMs: number
    /** Headers of the event stream that did not arrive as they were sent. */
    changedHeaders: string[]
  }
  rows: Row[]
  faults: Fault[]
  /** The guide's recommendation; absent when no channel works. */
  advice?: Recommendation
}

export const channelNames: Readonly<Record<Channel, string>> = {
  sse: 'SSE (GET)',
  'sse-post': 'SSE (POST)',
  websocket: 'WebSocket',
  'long-poll': 'long-poll',
}

/** A duration in words: `4 ms`, `1.5 s`. */
export function formatMs(value: number): string {
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`
}

/** Colours a text, or returns it as it is. */
export type Paint = (format: Format, text: string) => string

/** The report as lines of text. */
export function formatReport(report: Report, paint: Paint): string[] {
  return [
    ...formatServer(report, paint),
    ...formatRows(report, paint),
    ...formatAdvice(report, paint),
    ...formatFaults(report, paint),
  ]
}

function formatServer({ server, url }: Report, paint: Paint): string[] {
  if (!server) return []
  const { tls, http, intermediaries, roundTripMs, clockOffsetMs, heartbeatMs, changedHeaders } = server
  const facts = [
    tls ? `${tls}, ${http}` : `${http} without TLS`,
    intermediaries.length > 0 ? `through ${intermediaries.join(', ')}` : 'no proxy names itself',
    `round trip ${formatMs(roundTripMs)}`,
    `heartbeat ${formatMs(heartbeatMs)}`,
    formatClock(clockOffsetMs, roundTripMs),
  ]
  const changed =
    changedHeaders.length > 0 ? [`headers changed by a proxy: ${changedHeaders.join(', ')}`] : []
  return [
    paint('bold', url),
    ...[`protocol ${server.protocol} · ${facts.join(' · ')}`, ...changed].map(line => paint('dim', line)),
    '',
  ]
}

/** Clocks that differ by less than the error of measurement agree. */
function formatClock(offsetMs: number, roundTripMs: number): string {
  if (Math.abs(offsetMs) <= Math.max(2, roundTripMs)) return 'clocks agree'
  return `its clock is ${formatMs(Math.abs(offsetMs))} ${offsetMs > 0 ? 'ahead' : 'behind'}`
}

function formatRows({ rows }: Report, paint: Paint): string[] {
  if (rows.length === 0) return []
  const width = Math.max(...rows.map(({ channel }) => channelNames[channel].length))
  const lines = rows.map(({ channel, works, message, warning, compressed }) => {
    const mark =
      works === undefined
        ? paint('dim', '–')
        : !works
          ? paint('red', '✗')
          : paint(warning ? 'yellow' : 'green', warning ? '!' : '✓')
    const encoding = compressed && works ? `compressed (${compressed})` : undefined
    const text = [message, encoding, warning].filter(part => part !== undefined).join('; ')
    return `${mark} ${channelNames[channel].padEnd(width)}  ${oneLine(text, 200)}`
  })
  return [...lines, '']
}

function formatAdvice({ advice, rows, healthy }: Report, paint: Paint): string[] {
  if (rows.length === 0) return []
  if (!advice) return [paint('red', 'No transport works.'), '']
  const { transport, because, fallback } = advice
  const otherwise = fallback.length > 0 ? ` Otherwise ${fallback.join(', then ')}.` : ''
  const reasons = because.map(({ text }) => text).join('; ')
  const lines = [paint('bold', `Use ${transport}: ${reasons}.${otherwise}`)]
  return [...lines, healthy ? 'Everything works.' : '']
}

/** Each fault; after all faults of one code, the configuration that fixes them. */
function formatFaults({ faults, server, rows }: Report, paint: Paint): string[] {
  const codes = [...new Set(faults.map(({ code }) => code))]
  const lines = codes.flatMap(code => {
    const messages = faults
      .filter(fault => fault.code === code)
      .map(({ message }) => `${paint('red', '✗')} ${message}`)
    const remedy = code in remedies ? remedies[code as Remediable] : undefined
    if (!remedy) return messages
    const fixes = proxiesAmong(server?.intermediaries ?? []).flatMap(proxy => [
      `    ${proxy}`,
      ...remedy.lines[proxy].split('\n').map(line => paint('cyan', `      ${line}`)),
    ])
    return [...messages, `  ${remedy.meaning}`, ...fixes, '']
  })
  return rows.length > 0 && codes.length > 0 ? [...lines, 'docs/proxies.md explains each finding.'] : lines
}
