/** The result of `networks`: tables, aims, checks, and the figures that the guide cites. Pure. */
import type { NetworkFigures, NetworksResult } from '../guide/findings.ts'
import { ranged } from '../guide/tables.ts'
import type { Range } from '../package/guide.ts'
import { type Aim, aimFigures, type Check, type Table } from '../report.ts'
import { median, quantile, quartilesOf, spread, sum } from '../stats.ts'
import { type CellRound, MISSED, PACE_MS, SESSIONS } from './cell.ts'
import { heldMs, type ProfileName, profileNames, profiles, type WayName, wayNames, ways } from './profiles.ts'
import type { Lateness } from './proxy-process.ts'

/** The rounds of each cell. */
export type Rounds = Record<WayName, Record<ProfileName, CellRound[]>>

/** How far real delays were from the wanted ones, ms. */
export interface NetworkError {
  /** Of the whole way to an echo and back, with the processes at both ends. */
  readonly echo: { readonly p50: number; readonly p99: number }
  /** Of each piece that the proxy handed on. */
  readonly pieces: Lateness
}

/** The network whose figures are cited, and on which pieces are lost on purpose. */
export const SHARED_AT = '60 ms' satisfies ProfileName
const ROUND_TRIP_MS = profiles[SHARED_AT].roundTripMs

/**
 * Bounds of the network’s own error, ms. The claims are about whole round trips of 60 ms: an error of a quarter of one
 * cannot add or hide a round trip.
 */
export const MAX_ERROR_MS = { p50: 2, p99: 15 }

type Samples = 'cold' | 'resumed' | 'firstCommand' | 'laterCommand'

const titles: Record<Samples, string> = {
  cold: 'from connecting to the first event, cold',
  resumed: `from connecting again until the ${MISSED} missed events are there`,
  firstCommand: 'first command of a connection → answer',
  laterCommand: 'later command → answer',
}

const all = (rounds: readonly CellRound[], what: Samples) => rounds.flatMap(round => round[what])

const p50s = (rounds: readonly CellRound[]) => rounds.map(({ deliver }) => median(deliver))

/** A table with a row for each way and a column for each network. */
const table = (
  title: string,
  cell: (rounds: readonly CellRound[]) => string | number,
  found: Rounds,
): Table => ({
  title,
  columns: ['', ...profileNames],
  rows: wayNames.map(way => [way, ...profileNames.map(profile => cell(found[way][profile]))]),
})

const short = ({ low, median, high }: Range): Range => {
  const digits = (value: number) => Number(value.toPrecision(4))
  return { median: digits(median), low: digits(low), high: digits(high) }
}

/** Connections that a client of ten sessions has for their events. */
const connectionsOf = (way: WayName) =>
  ways[way].transport === 'websocket' || ways[way].http !== '1.1' ? 1 : SESSIONS

const sharedOf = (rounds: readonly CellRound[]) => rounds.flatMap(({ shared }) => (shared ? [shared] : []))

function roundTrips(found: Rounds): Table {
  const trips = (samples: readonly number[]) => median(samples) / ROUND_TRIP_MS
  return {
    title: `in round trips, at ${ROUND_TRIP_MS} ms`,
    columns: ['', 'first event, cold', 'resumed', 'first command', 'later command', 'delivery p50'],
    rows: wayNames.map(way => {
      const rounds = found[way][SHARED_AT]
      return [
        way,
        trips(all(rounds, 'cold')),
        trips(all(rounds, 'resumed')),
        trips(all(rounds, 'firstCommand')),
        trips(all(rounds, 'laterCommand')),
        trips(p50s(rounds)),
      ]
    }),
  }
}

function sharedTable(found: Rounds): Table {
  return {
    title: `ten sessions while a packet is lost, ${ROUND_TRIP_MS} ms round trip`,
    columns: [
      '',
      'connections',
      'sessions held up',
      'slowest event of the nine others, ms',
      'slowest of all, ms',
    ],
    rows: wayNames.map(way => {
      const shared = sharedOf(found[way][SHARED_AT])
      return [
        way,
        String(connectionsOf(way)),
        String(median(shared.map(({ held }) => held))),
        ranged(quartilesOf(shared.map(({ others }) => others))),
        ranged(quartilesOf(shared.map(({ longest }) => longest))),
      ]
    }),
  }
}

function bytesTable(found: Rounds): Table {
  const of = (way: WayName, what: keyof CellRound['bytes']) =>
    Math.round(median(found[way][SHARED_AT].map(({ bytes }) => bytes[what])))
  return {
    title: `bytes in both directions, ${ROUND_TRIP_MS} ms round trip`,
    columns: ['', 'until the first event', 'first command', 'later command', 'event'],
    rows: wayNames.map(way => [
      way,
      of(way, 'open'),
      of(way, 'firstCommand'),
      of(way, 'laterCommand'),
      of(way, 'event'),
    ]),
  }
}

const errorTable = ({ echo, pieces }: NetworkError): Table => ({
  title: 'the network’s own error, ms',
  columns: ['', 'p50', 'p99'],
  rows: [
    ['round trip to an echo, 20 ms wanted', echo.p50, echo.p99],
    ['a piece handed on by the proxy', pieces.p50, pieces.p99],
  ],
})

/** What a way takes at 60 ms, in round trips, by the count of its handshakes; and the share of a round trip that may be added. */
const claims: readonly [WayName, Samples, number][] = [
  ['SSE', 'cold', 2],
  ['SSE, TLS', 'cold', 3],
  ['SSE, HTTP/2, TLS', 'cold', 3],
  ['WebSocket', 'cold', 3],
  ['WebSocket, TLS', 'cold', 4],
  ['SSE, HTTP/2, TLS', 'resumed', 3],
  ['WebSocket, TLS', 'resumed', 4],
  ['SSE', 'firstCommand', 2],
  ['SSE, TLS', 'firstCommand', 3],
  ['SSE, HTTP/2, TLS', 'firstCommand', 1],
  ['WebSocket', 'firstCommand', 1],
  ['SSE', 'laterCommand', 1],
  ['SSE, HTTP/2, TLS', 'laterCommand', 1],
  ['WebSocket', 'laterCommand', 1],
]
const MAX_ADDED = 0.25

function aimsOf(found: Rounds): Aim[] {
  const trips = (samples: readonly number[]) => aimFigures(spread(samples.map(ms => ms / ROUND_TRIP_MS)))
  return [
    ...claims.map(([way, what, count]) => ({
      what: `${way}: ${titles[what]}, in round trips of ${ROUND_TRIP_MS} ms`,
      limit: count + MAX_ADDED,
      ...trips(all(found[way][SHARED_AT], what)),
    })),
    ...(['SSE', 'WebSocket'] as const).map(way => ({
      what: `${way}: delivery p50, in round trips of ${ROUND_TRIP_MS} ms`,
      limit: 0.5 + MAX_ADDED / 2,
      ...trips(p50s(found[way][SHARED_AT])),
    })),
    {
      what: 'SSE on ten connections: sessions that one lost packet holds up',
      limit: 1,
      ...aimFigures(spread(sharedOf(found.SSE[SHARED_AT]).map(({ held }) => held))),
    },
  ]
}

function checksOf(found: Rounds, { echo, pieces }: NetworkError): Check[] {
  const rounds = wayNames.flatMap(way => profileNames.flatMap(profile => found[way][profile]))
  const faults = rounds.flatMap(round => round.faults)
  const count = (what: 'lost' | 'doubled' | 'outOfOrder' | 'failedConnections') =>
    sum(faults.map(fault => fault[what]))
  const detail = (p50: number, p99: number) =>
    `p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms; allowed are ${MAX_ERROR_MS.p50} and ${MAX_ERROR_MS.p99} ms`
  const within = (p50: number, p99: number) => p50 <= MAX_ERROR_MS.p50 && p99 <= MAX_ERROR_MS.p99
  const [lost, doubled, outOfOrder] = [count('lost'), count('doubled'), count('outOfOrder')]
  return [
    {
      what: 'every event came once and in order',
      holds: lost + doubled + outOfOrder === 0,
      detail: `${sum(rounds.map(({ events }) => events))} events; ${lost} lost, ${doubled} doubled, ${outOfOrder} out of order`,
    },
    {
      what: 'no connection failed',
      holds: count('failedConnections') === 0,
      detail: `${count('failedConnections')} failed`,
    },
    {
      what: 'round trips to the echo took what they should',
      holds: within(echo.p50, echo.p99),
      detail: detail(echo.p50, echo.p99),
      ofMachine: true,
    },
    {
      what: 'the proxy handed every piece on in time',
      holds: within(pieces.p50, pieces.p99),
      detail: detail(pieces.p50, pieces.p99),
      ofMachine: true,
    },
  ]
}

/** SSE over TLS is HTTP/2, as browsers choose it, except where a page has ten connections. */
function figuresOf(found: Rounds): NetworkFigures {
  const figure = (
    value: (rounds: readonly CellRound[]) => readonly number[],
    sse: WayName = 'SSE, HTTP/2, TLS',
  ) => {
    const range = (way: WayName) => short(quartilesOf(value(found[way][SHARED_AT])))
    return {
      unit: 'ms',
      sse: range(sse),
      websocket: range('WebSocket, TLS'),
      'long-poll': range('long-poll, TLS'),
    }
  }
  return {
    cold: figure(rounds => all(rounds, 'cold')),
    resumed: figure(rounds => all(rounds, 'resumed')),
    firstCommand: figure(rounds => all(rounds, 'firstCommand')),
    laterCommand: figure(rounds => all(rounds, 'laterCommand')),
    separateCommand: figure(rounds => all(rounds, 'firstCommand'), 'SSE, TLS'),
    others: figure(rounds => sharedOf(rounds).map(({ others }) => others), 'SSE, TLS'),
  }
}

export function networksResult(
  found: Rounds,
  error: NetworkError,
  settings: object,
  quick: boolean,
): NetworksResult {
  const samples = (['cold', 'resumed', 'firstCommand', 'laterCommand'] as const).map(what =>
    table(`${titles[what]}, ms`, rounds => ranged(quartilesOf(all(rounds, what))), found),
  )
  return {
    scenario: 'networks',
    settings: { ...settings, profiles },
    tables: [
      roundTrips(found),
      ...samples,
      table('delivery of a paced stream, p50, ms', rounds => ranged(quartilesOf(p50s(rounds))), found),
      table(
        'delivery of a paced stream, p99 of all rounds, ms',
        rounds =>
          quantile(
            rounds.flatMap(({ deliver }) => deliver),
            0.99,
          ),
        found,
      ),
      sharedTable(found),
      bytesTable(found),
      errorTable(error),
    ],
    aims: quick ? [] : aimsOf(found),
    checks: checksOf(found, error),
    notes: [
      'Networks: 1, 20, 60 and 200 ms round trip; a phone with 60 ms, up to 20 ms of jitter each way and a lost packet every 3 s; a slow line of 1 Mbit/s with 60 ms. The proxy delays both directions, keeps the order of each connection, and lets the handshake of TCP take its round trip.',
      `A lost packet and all that follows it on its connection come ${heldMs(profiles[SHARED_AT])} ms late at 60 ms: a retransmission timeout. Slow start, congestion and session tickets of TLS are not imitated; TLS is version 1.3.`,
      `The paced stream has an event every ${PACE_MS} ms. In brackets: the quartiles, for a p50 those of the rounds.`,
      'A command over SSE and long-poll is a POST: over HTTP/1.1 the first one opens a connection beside the stream, over HTTP/2 it uses the stream’s own. Bytes of a command include the event that it makes, which comes back.',
    ],
    figures: figuresOf(found),
  }
}
