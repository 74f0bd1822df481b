/** Who follows a session on the node that answers, and what ends that. */
import { useCallback, useState } from 'react'
import { type Api, type Subscriber, wordsOf } from './api.ts'
import { ConfirmButton } from './confirm-button.tsx'
import { seqOf, short, size, span } from './format.ts'
import { useAction, usePolled } from './hooks.ts'

const POLL_MS = 2000

/** What each state means, for those who point at it. */
const meanings: Record<Subscriber['state'], string> = {
  opening: 'It has sent nothing yet',
  live: 'It has every event',
  'catching-up': 'It reads the log, page by page',
  folded: 'It fell behind and gets neighbouring deltas as one event until it is live again',
  paused: 'The client has not consumed what its window holds',
  stalled: 'The client, or its network, does not take what was written',
  waiting: 'A long-poll that waits for news',
}

export function Subscribers({ api, sessionId }: { api: Api; sessionId: string }) {
  /** Where the pages up to the shown one begin. */
  const [pages, setPages] = useState<readonly (string | undefined)[]>([undefined])
  const after = pages.at(-1)
  const load = useCallback(
    (signal: AbortSignal) => api.subscribers(sessionId, after, signal),
    [api, sessionId, after],
  )
  const { value, error, reload } = usePolled(load, POLL_MS)
  const { busy, problem, run } = useAction()
  const [said, setSaid] = useState('')

  const end = (what: string, ended: Promise<{ ended: boolean; nodeId: string }>) =>
    run(async () => {
      const answer = await ended
      setSaid(
        answer.ended
          ? what
          : `Node ${answer.nodeId.slice(0, 8)} answered; it is not open there, or not any more.`,
      )
      reload()
    })

  if (!value) return <p className={error ? 'problem' : 'soft'}>{error ? wordsOf(error) : 'Loading …'}</p>
  const now = Date.now()
  return (
    <section className="subscribers" aria-label="Subscribers">
      <p className="soft" role="status">
        {said ||
          `${value.total} on node ${value.nodeId.slice(0, 8)}. Subscribers on other nodes are not in this list.`}
      </p>
      {problem || error ? <p className="problem">{problem || wordsOf(error)}</p> : null}
      {value.subscribers.length === 0 ? <p className="empty">Nobody follows this session here.</p> : null}
      <ul>
        {value.subscribers.map(subscriber => (
          <li key={subscriber.subscriptionId} data-subscription={subscriber.subscriptionId}>
            <div className="who">
              <span className={`state ${subscriber.state}`} title={meanings[subscriber.state]}>
                {subscriber.state}
              </span>
              <strong>{subscriber.principal || 'anonymous'}</strong>
              <span className="soft">{subscriber.transport}</span>
            </div>
            <dl>
              <Fact name="At">#{seqOf(subscriber.cursor)}</Fact>
              <Fact name="Lag">
                {subscriber.lagEvents === 0
                  ? 'none'
                  : `${short(subscriber.lagEvents)} events${subscriber.lagBytes > 0 ? `, ${size(subscriber.lagBytes)}` : ''}`}
              </Fact>
              <Fact name="Policy">
                {subscriber.lag}, {subscriber.replay}
              </Fact>
              <Fact name="Buffer">{size(subscriber.waitingBytes)}</Fact>
              <Fact name="Since">{span(now - subscriber.since)}</Fact>
              {subscriber.runId === undefined ? null : <Fact name="Run">{subscriber.runId}</Fact>}
            </dl>
            <div className="buttons">
              <ConfirmButton
                label="End"
                asks="End it for good?"
                disabled={busy || subscriber.state === 'opening'}
                onConfirm={() =>
                  end(
                    'The subscription has ended; its client does not come back by itself.',
                    api.end(sessionId, subscriber.subscriptionId),
                  )
                }
              />
              {subscriber.transport === 'long-poll' ? null : (
                <ConfirmButton
                  label="Reconnect"
                  asks="Close its connection?"
                  disabled={busy}
                  onConfirm={() =>
                    end(
                      'The connection is closed; its client reconnects at its cursor.',
                      api.close(subscriber.connectionId),
                    )
                  }
                />
              )}
            </div>
          </li>
        ))}
      </ul>
      {pages.length > 1 || value.next ? (
        <div className="row">
          <button type="button" disabled={pages.length === 1} onClick={() => setPages(pages.slice(0, -1))}>
            Earlier ones
          </button>
          <button type="button" disabled={!value.next} onClick={() => setPages([...pages, value.next])}>
            Later ones
          </button>
        </div>
      ) : null}
    </section>
  )
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}
