/** Makes a report of what was seen. */
import { chooseTransport, type Needs, type Recommendation } from '../../guide/index.ts'
import { HEARTBEAT_MS } from '../../protocol/index.ts'
import { type Cut, cutIn } from './cuts.ts'
import { clockAhead, isDelayed } from './delivery.ts'
import type { Examination } from './examine.ts'
import { judge } from './judge.ts'
import { namesIn, type Obstacle } from './reach.ts'
import { type Fault, ms, names, type Report, type Row, type Way } from './report.ts'
import type { Sighting } from './sighting.ts'

/** The report about what could not be examined. */
export function hopeless(url: string, code: Obstacle, says: string): Report {
  return { url, well: false, rows: [], faults: [{ code, says }] }
}

export function diagnose(seen: Examination): Report {
  const { url, sse, post, websocket, longPoll } = seen
  const wires: [Way, Sighting | undefined][] = [
    ['sse', sse],
    ['sse-post', post],
    ['websocket', websocket],
    ['long-poll', longPoll],
  ]
  const aheadMs = clockAhead(
    seen.published,
    wires.flatMap(([, wire]) => wire ?? []),
  )
  const faults = faultsOfPages(seen)
  const rows = wires.map(([way, wire]): Row => {
    if (!wire) return { way, works: undefined, says: 'not tried: the server has no agent playback' }
    const { row, fault } = judge(way, wire, seen, aheadMs)
    if (fault) faults.push({ code: fault, says: `${names[way]}: ${row.says}` })
    return row
  })
  faults.push(...delays(rows))
  const cut = cutIn(seen)
  if (cut) faults.push(...lessened(rows, cut.code, cut.ways, cut.says))
  faults.push(...faultsOfResuming(seen))
  const advice = advised(rows, faults, cut)
  return {
    url,
    well: faults.length === 0,
    server: { ...serverOf(seen), clockAheadMs: aheadMs },
    rows,
    faults,
    ...(advice && { advice }),
  }
}

function serverOf({ reached, sse, websocket, longPoll }: Examination) {
  const between = [sse, websocket, longPoll].flatMap(({ headers }) => namesIn(headers))
  return {
    ...reached,
    between: [...new Set([...reached.between, ...between])],
    protocol: 1 as const,
    heartbeatMs: websocket.heartbeatMs ?? sse.heartbeatMs ?? HEARTBEAT_MS,
    changedHeaders: changedHeaders(sse),
  }
}

function changedHeaders({ headers, heard }: Sighting): string[] {
  if (heard.length === 0) return []
  return [
    ...(headers['x-accel-buffering'] === 'no' ? [] : ['x-accel-buffering']),
    ...(String(headers['cache-control'] ?? '').includes('no-transform') ? [] : ['cache-control']),
  ]
}

function faultsOfPages({ pageRefused }: Examination): Fault[] {
  if (pageRefused === undefined) return []
  return [{ code: 'page-refused', says: `A page of this address is refused: ${pageRefused}` }]
}

/** Whether a stream that comes back goes on where it was. */
function faultsOfResuming({ resumed, published: [first] }: Examination): Fault[] {
  if (!first || !resumed.offsets.includes(first.offset)) return []
  return [{ code: 'resume-lost', says: 'SSE: Last-Event-ID is stripped on the way, so nothing resumes' }]
}

function delays(rows: Row[]): Fault[] {
  return rows.flatMap(({ way, works, delivery }) => {
    const others = rows.map(row => (row.works ? row.delivery : undefined))
    if (!works || !delivery || !isDelayed(delivery, others)) return []
    return lessened(rows, 'delayed', [way], `every event comes ${ms(delivery.medianMs)} late`)
  })
}

/** A fault of ways that work all the same. */
function lessened(rows: Row[], code: Fault['code'], ways: readonly Way[], says: string): Fault[] {
  for (const row of rows) if (row.works && ways.includes(row.way)) row.but = says
  return [{ code, says: `${ways.map(way => names[way]).join(', ')}: ${says}` }]
}

/** What the guide recommends where all this is in the way; none when nothing works. */
function advised(rows: readonly Row[], faults: readonly Fault[], cut: Cut | undefined) {
  const works = (way: Way) => rows.some(row => row.way === way && row.works)
  if (!rows.some(({ works }) => works)) return undefined
  const held = !works('sse') && faults.some(({ code }) => code === 'buffered' || code === 'compressed')
  const needs: Needs = {
    ...(held && { buffers: true }),
    ...(!works('sse') && !held && { streams: false }),
    ...(!works('websocket') && { stripsUpgrade: true }),
    ...(cut?.code === 'cut-idle' && { cutsIdleAfterSeconds: Math.max(1, Math.round(cut.afterMs / 1000)) }),
  }
  return chooseTransport(needs) satisfies Recommendation
}
