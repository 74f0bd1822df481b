/** The figures of both rails, with curves of the last minute. Their words explain themselves. */
import { useSyncExternalStore } from 'react'
import type { QualitySnapshot } from '../index.ts'
import { Plots } from './plots.tsx'
import type { Rail } from './rail.ts'
import { transportNames } from './rail-pane.tsx'
import { Term } from './term.tsx'

const bytesText = (bytes: number) =>
  bytes < 1000
    ? `${bytes} B`
    : bytes < 1e6
      ? `${(bytes / 1e3).toFixed(1)} kB`
      : `${(bytes / 1e6).toFixed(1)} MB`
const msText = (ms: number | undefined) => (ms === undefined ? '–' : `${Math.round(ms)} ms`)

interface Figure {
  readonly word: string
  readonly means: string
  readonly of: (quality: QualitySnapshot, rail: Rail, head: number) => string | number
}

const figures: readonly Figure[] = [
  {
    word: 'Offset',
    means:
      'The position of the last event in the session’s log. A client that comes back asks for what follows it.',
    of: (_, { ledger }) => ledger.seq,
  },
  {
    word: 'Lag',
    means: 'Number of events that the log has and this rail does not show yet.',
    of: (_, { ledger }, head) => head - ledger.seq,
  },
  {
    word: 'Delay',
    means:
      'Time from the moment an event is logged until it arrives here: the median of the last 31 live events.',
    of: ({ delayMs }) => msText(delayMs),
  },
  {
    word: 'Round trip',
    means: 'Time until the server answers: the median of the last 31 pings and commands.',
    of: ({ roundTripMs }) => msText(roundTripMs),
  },
  {
    word: 'Folded',
    means:
      'Events that came joined with their neighbours, because the rail was behind. No text is lost by it.',
    of: ({ folded }) => folded,
  },
  {
    word: 'Messages',
    means:
      'Events that arrived, of all runs; a folded one counts once. Cutting a line does not make them come again.',
    of: ({ events }) => events,
  },
  { word: 'Data', means: 'Bytes received, after decompression.', of: ({ bytes }) => bytesText(bytes) },
  {
    word: 'Reconnects',
    means: 'Connections that broke and were replaced. Switching the transport is not one.',
    of: ({ reconnects }) => reconnects,
  },
]

function useQuality({ client }: Rail): QualitySnapshot {
  const get = () => client.quality.current
  return useSyncExternalStore(client.quality.subscribe, get, get)
}

export function Figures({ rails }: { rails: readonly [Rail, Rail] }) {
  const qualities = [useQuality(rails[0]), useQuality(rails[1])] as const
  const head = Math.max(rails[0].ledger.seq, rails[1].ledger.seq)
  return (
    <section className="panel figures" aria-labelledby="figures-title">
      <h2 id="figures-title">Figures</h2>
      <div className="measures">
        <table>
          <thead>
            <tr>
              <td />
              {rails.map(({ name }, index) => (
                <th key={name} scope="col">
                  <span className={`key key-${name}`}>Rail {name}</span>{' '}
                  <small>{transportNames[qualities[index]!.transport]}</small>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {figures.map(({ word, means, of }) => (
              <tr key={word}>
                <th scope="row">
                  <Term word={word}>{means}</Term>
                </th>
                {rails.map((rail, index) => (
                  <td key={rail.name} data-figure={word}>
                    {of(qualities[index]!, rail, head)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
        <Plots rails={rails} />
      </div>
    </section>
  )
}
