/** One rail: what it delivered, how far it is, and the buttons that disturb it. */
import { useEffect, useId, useLayoutEffect, useRef, useSyncExternalStore } from 'react'
import type { Transport } from '../index.ts'
import type { UseSession } from '../react/index.ts'
import { Messages } from './messages.tsx'
import type { Rail } from './rail.ts'

export const transportNames: Record<Transport, string> = {
  sse: 'SSE',
  websocket: 'WebSocket',
  'long-poll': 'Long-poll',
}

const states: Record<string, string> = {
  idle: 'not connected',
  connecting: 'connecting',
  open: 'open',
  waiting: 'reconnecting',
  closed: 'closed',
}

/** A number of the width of five digits, so that nothing moves when it grows. */
const padded = (value: number) => String(value).padStart(5, '\u2007')

/**
 * A scrolled element stays at its end while its content grows, unless the reader scrolled away from the end.
 * @param newest changes when the reader is to be brought to the end again
 */
function usePinned(newest: string | undefined) {
  const box = useRef<HTMLElement>(null)
  const content = useRef<HTMLDivElement>(null)
  const pinned = useRef(true)
  const top = useRef(0)
  const toEnd = () => {
    if (pinned.current && box.current) box.current.scrollTop = box.current.scrollHeight
  }
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs when there is something newer
  useLayoutEffect(() => {
    pinned.current = true
    toEnd()
  }, [newest])
  // biome-ignore lint/correctness/useExhaustiveDependencies: it reads references only
  useEffect(() => {
    // Observers are called after the layout of a frame, so that reading the height costs no other layout.
    const observer = new ResizeObserver(toEnd)
    observer.observe(box.current!)
    observer.observe(content.current!)
    return () => observer.disconnect()
  }, [])
  const onScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current!
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 40
    // Content that has grown since the last frame is no scrolling of the reader.
    pinned.current = isAtEnd || (pinned.current && scrollTop >= top.current)
    top.current = scrollTop
  }
  return { box, content, onScroll }
}

export function RailPane({ rail, view, head }: { rail: Rail; view: UseSession; head: number }) {
  const { cut, slow, transport } = useSyncExternalStore(rail.subscribe, rail.getState)
  const title = useId()
  const { connection, messages } = view
  const { seq } = rail.ledger
  const { box, content, onScroll } = usePinned(view.run?.runId)
  const waits = view.questions.length > 0
  return (
    <section className="rail" aria-labelledby={title} data-rail={rail.name} data-cut={cut}>
      <header>
        <h2 id={title}>
          <span className="badge" aria-hidden="true">
            {rail.name}
          </span>
          <span className="unseen">Rail {rail.name}: </span>
          {transportNames[connection.transport]}
        </h2>
        <span className={`state ${cut ? 'cut' : connection.state}`} data-state={connection.state}>
          {cut ? 'line cut' : waits ? 'waits for you' : slow ? 'slow reader' : states[connection.state]}
        </span>
        <span className="progress">
          <b>{padded(seq)}</b> of {head}
          <span className="unit"> events</span>
        </span>
      </header>
      <div className="track" aria-hidden="true">
        <div style={{ transform: `scaleX(${head === 0 ? 0 : seq / head})` }} />
      </div>
      <section
        className="answers"
        ref={box}
        onScroll={onScroll}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
        tabIndex={0}
        aria-label={`Answers on rail ${rail.name}`}
      >
        <div ref={content}>
          {messages.length === 0 && (
            <p className="empty">
              {rail.name === 'A'
                ? 'Rail A carries the session over Server-Sent Events: one HTTP response that goes on.'
                : 'Rail B carries the same session over a WebSocket. Both show every word once.'}
            </p>
          )}
          <Messages view={view} />
        </div>
      </section>
      {/* The failure of a run stands with its answer. */}
      {view.error && view.error !== view.runs.at(-1)?.error && (
        <p className="problem" role="alert">
          {view.error.message}
        </p>
      )}
      <div className="controls">
        <button type="button" className="cut" aria-pressed={cut} onClick={() => rail.set({ cut: !cut })}>
          <span className="swap">
            <span hidden={cut}>Cut</span>
            <span hidden={!cut}>Mend</span>
          </span>
          <span className="long"> the line</span>
        </button>
        <button type="button" className="slow" aria-pressed={slow} onClick={() => rail.set({ slow: !slow })}>
          Slow<span className="long"> reader</span>
        </button>
        <label>
          <span className="unseen">Transport of rail {rail.name}</span>
          <select
            value={transport}
            onChange={({ target }) => rail.set({ transport: target.value as Transport | 'auto' })}
          >
            <option value="sse">SSE</option>
            <option value="websocket">WebSocket</option>
            <option value="long-poll">Long-poll</option>
            <option value="auto">Automatic</option>
          </select>
        </label>
      </div>
    </section>
  )
}
