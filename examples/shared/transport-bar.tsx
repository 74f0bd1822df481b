/** Shows the transport that the client uses and why, and switches to another one in the middle of a stream. */
import { useState } from 'react'
import type { Client } from 'twinrail-client'
import { useQuality } from 'twinrail-client/react'

const names = { sse: 'SSE', websocket: 'WebSocket', 'long-poll': 'Long-poll' } as const

const states = {
  idle: 'no stream',
  connecting: 'connecting',
  open: 'connected',
  waiting: 'waits to reconnect',
  closed: 'closed',
} as const

type Asked = keyof typeof names | 'auto'

/**
 * One line: the state of the connection, the transport, a switch, and the reasons behind a button. Its size stays the same.
 * @param client the client whose streams are shown and switched
 */
export function TransportBar({ client }: { client: Client }) {
  const { state, transport, because, delayMs, roundTripMs, reconnects, events, bytes } = useQuality(client)
  const [asked, setAsked] = useState<Asked>('auto')
  const switchTo = (to: Asked) => {
    setAsked(to)
    client.switchTransport(to)
  }
  return (
    <div className="transport-bar" data-state={state} data-transport={transport}>
      <span className="unseen" role="status">
        {states[state]}
      </span>
      <details onKeyDown={event => event.key === 'Escape' && event.currentTarget.removeAttribute('open')}>
        <summary>
          <span className="dot" aria-hidden="true" />
          <b>{names[transport]}</b> <span className="why">why?</span>
        </summary>
        <div className="reasons">
          <p>{asked === 'auto' ? 'The client chose it:' : 'You chose it:'}</p>
          <ul>
            {because.map(reason => (
              <li key={reason}>{reason}</li>
            ))}
          </ul>
          <dl>
            <dt>State</dt>
            <dd>{states[state]}</dd>
            <dt>Delay of events</dt>
            <dd>{delayMs === undefined ? 'none yet' : `${Math.round(delayMs)} ms`}</dd>
            <dt>Round trip</dt>
            <dd>{roundTripMs === undefined ? 'none yet' : `${Math.round(roundTripMs)} ms`}</dd>
            <dt>Reconnects</dt>
            <dd>{reconnects}</dd>
            <dt>Received</dt>
            <dd>
              {events} events, {(bytes / 1024).toFixed(1)} KiB
            </dd>
          </dl>
        </div>
      </details>
      <label>
        <span className="unseen">Transport</span>
        <select value={asked} onChange={({ target }) => switchTo(target.value as Asked)}>
          <option value="auto">Automatic</option>
          {Object.entries(names).map(([value, name]) => (
            <option key={value} value={value}>
              {name}
            </option>
          ))}
        </select>
      </label>
    </div>
  )
}
