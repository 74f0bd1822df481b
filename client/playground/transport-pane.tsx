/** One transport: its controls, its figures, and the runs that it delivered. */
import { useId, useState } from 'react'
import type { Transport } from '../index.ts'
import type { UseSession } from '../react/index.ts'
import { RunPanel } from './run.tsx'
import type { ThrottledClient } from './throttled-client.ts'

const bytesText = (bytes: number) =>
  bytes < 1000
    ? `${bytes} B`
    : bytes < 1e6
      ? `${(bytes / 1e3).toFixed(1)} kB`
      : `${(bytes / 1e6).toFixed(1)} MB`
const msText = (ms: number | undefined) => (ms === undefined ? '–' : `${Math.round(ms)} ms`)

export function TransportPane({
  client,
  view,
  first,
}: {
  client: ThrottledClient
  view: UseSession
  first: boolean
}) {
  const [cut, setCut] = useState(client.cut)
  const [slowMs, setSlowMs] = useState(client.slowMs)
  const [wish, setWish] = useState<string>(view.connection.transport)
  const title = useId()
  const { connection } = view
  const figures = {
    Delay: msText(connection.delayMs),
    'Round trip': msText(connection.roundTripMs),
    Events: connection.events,
    Folded: connection.folded,
    Data: bytesText(connection.bytes),
    Reconnects: connection.reconnects,
    Offset: client.seq,
  }
  const toggle = () => {
    client.setCut(!cut)
    setCut(!cut)
  }
  return (
    <section className="rail panel" aria-labelledby={title} data-rail={client.name}>
      <div className="row">
        <h2 id={title}>{client.name}</h2>
        <span className={`state ${connection.state}`} role="status">
          {cut ? 'cut by you' : connection.state} · {connection.transport}
        </span>
        <button type="button" className="switch small" onClick={toggle}>
          {cut ? 'Mend' : 'Cut'}
        </button>
      </div>
      <div className="row controls">
        <label>
          Transport{' '}
          <select
            value={wish}
            onChange={({ target }) => {
              setWish(target.value)
              client.client.switchTransport(target.value as Transport | 'auto')
            }}
          >
            <option value="sse">SSE</option>
            <option value="websocket">WebSocket</option>
            <option value="long-poll">long-poll</option>
            <option value="auto">auto</option>
          </select>
        </label>
        <label>
          Reader takes{' '}
          <select
            value={slowMs}
            onChange={({ target }) => {
              client.slowMs = Number(target.value)
              setSlowMs(client.slowMs)
            }}
          >
            <option value={0}>no time</option>
            <option value={20}>20 ms an event</option>
            <option value={100}>100 ms an event</option>
            <option value={1000}>1 s an event</option>
          </select>
        </label>
      </div>
      <p className="soft because">
        Why {connection.transport}: {connection.because.join('; ')}.
      </p>
      <dl className="figures">
        {Object.entries(figures).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {view.error && (
        <p className="problem" role="alert">
          {view.error.message}
        </p>
      )}
      {view.runs.length === 0 && (
        <p className="soft">Nothing here yet. Ask something: the answer comes over both rails.</p>
      )}
      <div className="runs">
        {[...view.runs].reverse().map(run => (
          <RunPanel key={run.runId} run={run} polite={first} />
        ))}
      </div>
    </section>
  )
}
