/** The live figures of the server, read once a second while the page is visible. */
import { useCallback, useRef } from 'react'
import type { Api, ServerFigures } from './api.ts'
import { wordsOf } from './api.ts'
import { short, size, span } from './format.ts'
import { usePolled } from './hooks.ts'

interface Shown {
  figures: ServerFigures
  /** Per second, since the answer before of the same node. */
  rates: { appended: number; delivered: number; bytes: number } | undefined
  /** Nodes that have answered this page. */
  nodes: number
}

export function Counters({ api }: { api: Api }) {
  /** The last answer of each node: a load balancer may send each request to another one. */
  const last = useRef(new Map<string, ServerFigures>())
  const load = useCallback(
    async (signal: AbortSignal): Promise<Shown> => {
      const figures = await api.server(signal)
      const before = last.current.get(figures.nodeId)
      last.current.set(figures.nodeId, figures)
      const seconds = before ? (figures.time - before.time) / 1000 : 0
      const rates =
        before && seconds > 0
          ? {
              appended: (figures.appended.events - before.appended.events) / seconds,
              delivered: (figures.delivered.events - before.delivered.events) / seconds,
              bytes: (figures.delivered.bytes - before.delivered.bytes) / seconds,
            }
          : undefined
      return { figures, rates, nodes: last.current.size }
    },
    [api],
  )
  const { value, error } = usePolled(load, 1000)
  if (!value)
    return <div className="counters">{error ? <p className="problem">{wordsOf(error)}</p> : null}</div>
  const { figures, rates, nodes } = value
  const open = Object.values(figures.connections).reduce((sum, count) => sum + count, 0)
  const byTransport = Object.entries(figures.connections).filter(([, count]) => count > 0)
  const rate = (perSecond: number | undefined) => (perSecond === undefined ? '–' : `${short(perSecond)}/s`)
  const { log } = figures
  return (
    <section className="counters" aria-label="Live figures">
      <dl>
        <Figure name="Connections" value={short(open)}>
          {byTransport.length === 0
            ? 'none'
            : byTransport.map(([transport, count]) => `${transport} ${short(count)}`).join(', ')}
        </Figure>
        <Figure name="Live sessions" value={short(figures.liveSessions)}>
          {short(figures.subscriptions)} subscriptions
        </Figure>
        <Figure name="Lagging" value={short(figures.lagging)} alarm={figures.lagging > 0}>
          behind the head
        </Figure>
        <Figure name="Open runs" value={short(figures.openRuns)}>
          executed here
        </Figure>
        <Figure name="Appended" value={rate(rates?.appended)}>
          {short(figures.appended.events)} events
        </Figure>
        <Figure name="Delivered" value={rate(rates?.delivered)}>
          {rates ? `${size(rates.bytes)}/s` : `${short(figures.delivered.events)} events`}
        </Figure>
        <Figure name="Memory" value={size(figures.memory.rss)}>
          heap {size(figures.memory.heapUsed)}
        </Figure>
        <Figure name={`Log ${log.driver}`} value={log.bytes === undefined ? '–' : size(log.bytes)}>
          {log.maxBytes === undefined ? 'no limit' : `of ${size(log.maxBytes)}`}
        </Figure>
      </dl>
      <p className={error ? 'problem' : 'soft'}>
        {error
          ? `No news: ${wordsOf(error)}`
          : `Node ${figures.nodeId.slice(0, 8)}, up ${span(figures.time - figures.startedAt)}${nodes > 1 ? `; ${nodes} nodes have answered, these are the figures of one` : ''}`}
      </p>
    </section>
  )
}

function Figure({
  name,
  value,
  alarm = false,
  children,
}: {
  name: string
  value: string
  alarm?: boolean
  children: React.ReactNode
}) {
  return (
    <div className={alarm ? 'figure alarm' : 'figure'} data-figure={name}>
      <dt>{name}</dt>
      <dd>
        <strong>{value}</strong>
        <small>{children}</small>
      </dd>
    </div>
  )
}
