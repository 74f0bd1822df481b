/** The report as a person reads it. */
import type { Format } from '../screen.ts'
import { oneLine } from '../text.ts'
import { proxiesAmong, type Remediable, remedies } from './remedies.ts'
import { ms, names, type Report } from './report.ts'

/** Colours a piece of text, or leaves it. */
export type Paint = (format: Format, text: string) => string

/** Lines for a terminal. */
export function picture(report: Report, paint: Paint): string[] {
  return [
    ...about(report, paint),
    ...table(report, paint),
    ...verdict(report, paint),
    ...causes(report, paint),
  ]
}

function about({ server, url }: Report, paint: Paint): string[] {
  if (!server) return []
  const { tls, http, between, roundTripMs, clockAheadMs, heartbeatMs, changedHeaders } = server
  const facts = [
    tls ? `${tls}, ${http}` : `${http} without TLS`,
    between.length > 0 ? `through ${between.join(', ')}` : 'nothing between names itself',
    `round trip ${ms(roundTripMs)}`,
    `heartbeat ${ms(heartbeatMs)}`,
    clock(clockAheadMs, roundTripMs),
  ]
  const changed = changedHeaders.length > 0 ? [`changed on the way: ${changedHeaders.join(', ')}`] : []
  return [
    paint('bold', url),
    ...[`protocol ${server.protocol} · ${facts.join(' · ')}`, ...changed].map(line => paint('dim', line)),
    '',
  ]
}

/** Within the error of the measurement clocks agree. */
function clock(aheadMs: number, roundTripMs: number): string {
  if (Math.abs(aheadMs) <= Math.max(2, roundTripMs)) return 'clocks agree'
  return `its clock is ${ms(Math.abs(aheadMs))} ${aheadMs > 0 ? 'ahead' : 'behind'}`
}

function table({ rows }: Report, paint: Paint): string[] {
  if (rows.length === 0) return []
  const width = Math.max(...rows.map(({ way }) => names[way].length))
  const lines = rows.map(({ way, works, says, but, compressed }) => {
    const mark =
      works === undefined
        ? paint('dim', '–')
        : !works
          ? paint('red', '✗')
          : paint(but ? 'yellow' : 'green', but ? '!' : '✓')
    const encoding = compressed && works ? `compressed (${compressed})` : undefined
    const told = [says, encoding, but].filter(part => part !== undefined).join('; ')
    return `${mark} ${names[way].padEnd(width)}  ${oneLine(told, 200)}`
  })
  return [...lines, '']
}

function verdict({ advice, rows, well }: Report, paint: Paint): string[] {
  if (rows.length === 0) return []
  if (!advice) return [paint('red', 'Nothing gets through.'), '']
  const { transport, because, fallback } = advice
  const otherwise = fallback.length > 0 ? ` Otherwise ${fallback.join(', then ')}.` : ''
  const why = because.map(({ text }) => text).join('; ')
  return [paint('bold', `Use ${transport}: ${why}.${otherwise}`), ...(well ? ['All is well.'] : [''])]
}

/** Each fault, and the lines against it once for all that have the same. */
function causes({ faults, server, rows }: Report, paint: Paint): string[] {
  const codes = [...new Set(faults.map(({ code }) => code))]
  const lines = codes.flatMap(code => {
    const says = faults
      .filter(fault => fault.code === code)
      .map(fault => `${paint('red', '✗')} ${fault.says}`)
    const remedy = code in remedies ? remedies[code as Remediable] : undefined
    if (!remedy) return says
    const fixes = proxiesAmong(server?.between ?? []).flatMap(proxy => [
      `    ${proxy}`,
      ...remedy.lines[proxy].split('\n').map(line => paint('cyan', `      ${line}`)),
    ])
    return [...says, `  ${remedy.meaning}`, ...fixes, '']
  })
  return rows.length > 0 && codes.length > 0 ? [...lines, 'docs/proxies.md says more about each.'] : lines
}
