/** `client`: how many events one client takes with half a core, and how long the view of a long session needs to open. */
import type { Read, ViewHandlers } from '../load/view-process.ts'
import { aimFigures } from '../report.ts'
import type { AnswersHandlers } from '../server/answers-process.ts'
import { median, spread } from '../stats.ts'
import { startWorker } from '../worker.ts'
import { nodeFlags, type Scenario } from './scenario.ts'

/** Deltas of the answer. */
const TOKENS = 100_000
/** Deltas per second of the answers that are followed while they are made: each comes by itself, or many in one read. */
const RATES = { 'live, 5,000/s': 5000, 'live, 20,000/s': 20_000 }
/** Seconds that such an answer takes. */
const LIVE_SECONDS = 4

/** Aims: events per second at half a core, and ms until the view of {@link TOKENS} is there. */
const MIN_EVENTS = 20_000
const MAX_OPEN_MS = 300

const transports = ['sse', 'websocket'] as const

export const client: Scenario = async (settings, progress) => {
  const { quick, rounds = quick ? 2 : 7 } = settings
  const tokens = quick ? TOKENS / 5 : TOKENS
  await using server = startWorker<AnswersHandlers>('server/answers-process')
  await using view = startWorker<ViewHandlers>('load/view-process', nodeFlags(settings, '--expose-gc'))
  const url = await server.call.url()
  await server.call.start('long', tokens, 0)
  await server.call.ended('long')
  const live = Object.keys(RATES) as (keyof typeof RATES)[]
  const kinds = [...live, 'backlog', 'opened'] as const
  const isLive = (kind: (typeof kinds)[number]): kind is keyof typeof RATES => kind in RATES
  const reads: Record<string, Read[]> = {}
  let sessions = 0
  for (let round = 0; round <= rounds; round++) {
    progress.at(round / (rounds + 1), round === 0 ? 'warming up' : `round ${round}`)
    for (const transport of transports) {
      for (const kind of kinds) {
        const sessionId = isLive(kind) ? `live-${sessions++}` : 'long'
        if (isLive(kind)) {
          const rate = RATES[kind]
          await server.call.start(sessionId, quick ? rate : LIVE_SECONDS * rate, rate)
        }
        const read = await view.call.read(url, sessionId, transport, kind === 'opened' ? 'compact' : 'full')
        const name = `${transport} ${kind}`
        if (round > 0) reads[name] = [...(reads[name] ?? []), read]
      }
    }
  }
  const of = (transport: string, kind: string) => reads[`${transport} ${kind}`] as Read[]
  /** Events per second that half a core takes. */
  const perSecond = (read: Read) => 0.5e6 / read.cpuUs
  const row = (transport: string, kind: string) => {
    const all = of(transport, kind)
    return [
      `${transport}, ${kind}`,
      median(all.map(({ events }) => events)),
      median(all.map(({ cpuUs }) => cpuUs)),
      Math.round(median(all.map(perSecond))),
      median(all.map(({ wallMs }) => wallMs)),
    ]
  }
  const all = Object.values(reads).flat()
  return {
    scenario: 'client',
    settings: { tokens, rates: Object.values(RATES), rounds },
    tables: [
      {
        title: `one client with its view, medians of ${rounds} rounds`,
        columns: ['', 'events', 'CPU µs of one', 'events/s at half a core', 'ms to the end'],
        rows: transports.flatMap(transport => kinds.map(kind => row(transport, kind))),
      },
    ],
    aims: quick
      ? []
      : transports.flatMap(transport => [
          {
            what: `${transport}: half a core for 20,000 events/s, CPU of one event`,
            limit: 0.5e6 / MIN_EVENTS,
            unit: 'µs',
            ...aimFigures(spread(of(transport, 'live, 20,000/s').map(({ cpuUs }) => cpuUs))),
          },
          {
            what: `${transport}: the view of ${tokens} tokens is there`,
            limit: MAX_OPEN_MS,
            unit: 'ms',
            ...aimFigures(spread(of(transport, 'opened').map(({ wallMs }) => wallMs))),
          },
        ]),
    checks: [
      {
        what: 'every reading shows the whole text',
        holds:
          new Set(
            of('sse', 'opened')
              .concat(of('sse', 'backlog'), of('websocket', 'opened'))
              .map(({ chars }) => chars),
          ).size === 1 && all.every(({ chars }) => chars > tokens / 10),
      },
    ],
    notes: [
      'live: deltas as they are made; backlog: none folded, as fast as they come; opened: as a page opens it',
      'CPU: user and system of the client’s process, for parsing, ordering and the view, drawn every 16 ms',
    ],
  }
}
