/** A session as a timeline of runs and events, with search. */
import { memo, useCallback, useEffect, useLayoutEffect, useRef, useState, useSyncExternalStore } from 'react'
import type { TwinrailEvent } from '../../src/protocol/index.ts'
import type { Session } from '../index.ts'
import { type Api, type Found, type Wanted, wordsOf } from './api.ts'
import { clock, day, hueOf, short } from './format.ts'
import { type Row, rowOf } from './rows.ts'
import { TimelineStore } from './timeline-store.ts'

export function Timeline({
  api,
  session,
  run,
  onRun,
}: {
  api: Api
  session: Session
  run: string | undefined
  onRun: (run: string | undefined) => void
}) {
  const [store, setStore] = useState<TimelineStore>()
  useEffect(() => {
    const made = new TimelineStore(session, run)
    setStore(made)
    void made.newest()
    return () => made.close()
  }, [session, run])
  const [wanted, setWanted] = useState<Wanted>()
  /** The offset that a search has led to. */
  const [target, setTarget] = useState<string>()

  return (
    <section className="timeline" aria-label="Timeline">
      <SearchForm wanted={wanted} run={run} onRun={onRun} onSearch={setWanted} />
      {wanted && store ? (
        <Results
          api={api}
          session={session}
          wanted={wanted}
          run={run}
          onShow={offset => {
            setWanted(undefined)
            setTarget(offset)
            void store.at(offset)
          }}
        />
      ) : null}
      {store && !wanted ? <Window store={store} target={target} onRun={onRun} /> : null}
    </section>
  )
}

function SearchForm({
  wanted,
  run,
  onRun,
  onSearch,
}: {
  wanted: Wanted | undefined
  run: string | undefined
  onRun: (run: string | undefined) => void
  onSearch: (wanted: Wanted | undefined) => void
}) {
  const text = useRef<HTMLInputElement>(null)
  const form = useRef<HTMLFormElement>(null)
  const clear = useCallback(() => {
    form.current?.reset()
    onSearch(undefined)
  }, [onSearch])

  // `/` goes to the search, Escape leaves it.
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const { target } = event
      const types = target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement
      if (event.key === '/' && !types) {
        text.current?.focus()
        event.preventDefault()
      } else if (event.key === 'Escape' && (target === text.current || wanted)) clear()
    }
    document.addEventListener('keydown', press)
    return () => document.removeEventListener('keydown', press)
  }, [wanted, clear])

  return (
    <form
      ref={form}
      className="search"
      aria-label="Search in the events"
      onSubmit={event => {
        event.preventDefault()
        const data = new FormData(event.currentTarget)
        const field = (name: string) => String(data.get(name) ?? '').trim() || undefined
        const next = { text: field('text'), type: field('type') }
        onSearch(next.text || next.type ? next : undefined)
      }}
    >
      <label>
        <span className="unseen">Text in the events</span>
        <input ref={text} name="text" placeholder="Search text ( / )" autoComplete="off" maxLength={1000} />
      </label>
      <label className="of-type">
        <span className="unseen">Type of the events</span>
        <input name="type" placeholder="Type, as run.*" autoComplete="off" maxLength={129} list="types" />
        <datalist id="types">
          {['run.*', 'text.*', 'tool.*', 'input.*', 'x.*', 'run.failed', 'run.cancelled'].map(type => (
            <option key={type} value={type} />
          ))}
        </datalist>
      </label>
      <button type="submit">Search</button>
      {wanted ? (
        <button type="button" onClick={clear}>
          Back to the timeline
        </button>
      ) : null}
      {run === undefined ? null : (
        <button type="button" className="chip" onClick={() => onRun(undefined)}>
          Run {run} <span aria-hidden="true">×</span>
          <span className="unseen">show all runs</span>
        </button>
      )}
    </form>
  )
}

function Results({
  api,
  session,
  wanted,
  run,
  onShow,
}: {
  api: Api
  session: Session
  wanted: Wanted
  run: string | undefined
  onShow: (offset: string) => void
}) {
  const [found, setFound] = useState<Found>({ events: [], looked: 0 })
  const [state, setState] = useState<'searching' | 'done'>('searching')
  const [problem, setProblem] = useState('')
  const leave = useRef(new AbortController())

  const look = useCallback(
    async (before: Found) => {
      const { signal } = leave.current
      setState('searching')
      setProblem('')
      try {
        const answer = await api.search(session.id, { ...wanted, run }, before.next, signal)
        if (signal.aborted) return
        setFound({
          events: [...before.events, ...answer.events],
          looked: before.looked + answer.looked,
          ...(answer.next !== undefined && { next: answer.next }),
        })
      } catch (error) {
        if (!signal.aborted) setProblem(wordsOf(error))
      }
      if (!signal.aborted) setState('done')
    },
    [api, session, wanted, run],
  )
  useEffect(() => {
    leave.current = new AbortController()
    setFound({ events: [], looked: 0 })
    void look({ events: [], looked: 0 })
    return () => leave.current.abort()
  }, [look])

  return (
    <div className="results">
      <p className="soft" role="status">
        {state === 'searching'
          ? `Searching; ${short(found.looked)} events looked at …`
          : `${short(found.events.length)} found in ${short(found.looked)} events, newest first.${found.next ? ' Older events were not looked at.' : ''}`}
      </p>
      {problem ? <p className="problem">{problem}</p> : null}
      <ol className="rows">
        {found.events.map(event => (
          <EventRow key={event.offset} row={rowOf(event as TwinrailEvent)} onShow={onShow} />
        ))}
      </ol>
      {found.next && state === 'done' ? (
        <button type="button" className="more" onClick={() => void look(found)}>
          Search on in older events
        </button>
      ) : null}
    </div>
  )
}

function Window({
  store,
  target,
  onRun,
}: {
  store: TimelineStore
  target: string | undefined
  onRun: (run: string | undefined) => void
}) {
  const { rows, hasOlder, isFollowing, isLoading, problem, over } = useSyncExternalStore(
    useCallback(listener => store.subscribe(listener), [store]),
    () => store.state,
  )
  const box = useRef<HTMLDivElement>(null)
  /** Whether the newest row stays in sight. */
  const sticks = useRef(true)
  const anchor = useRef<{ height: number; top: number } | undefined>(undefined)

  useLayoutEffect(() => {
    const { current } = box
    if (!current || rows.length === 0) return
    if (anchor.current) {
      // Rows came above: what was in sight stays there.
      current.scrollTop = anchor.current.top + current.scrollHeight - anchor.current.height
      anchor.current = undefined
    } else if (sticks.current) current.scrollTop = current.scrollHeight
  }, [rows])

  const older = async () => {
    const { scrollHeight, scrollTop } = box.current!
    sticks.current = false
    anchor.current = { height: scrollHeight, top: scrollTop }
    await store.older()
  }

  return (
    <>
      <section
        className="rows-box"
        ref={box}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it
        tabIndex={0}
        aria-label="Events"
        onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
          sticks.current = scrollHeight - scrollTop - clientHeight < 60
        }}
      >
        {hasOlder ? (
          <button type="button" className="more" disabled={isLoading} onClick={() => void older()}>
            {isLoading ? 'Loading …' : 'Older events'}
          </button>
        ) : rows.length > 0 ? (
          <p className="soft beginning">This is the oldest event that the log holds.</p>
        ) : null}
        {rows.length === 0 && !isLoading && !problem ? <p className="empty">No events yet.</p> : null}
        <ol className="rows">
          {rows.map(row => (
            <EventRow key={row.first} row={row} onRun={onRun} isTarget={row.offset === target} />
          ))}
        </ol>
        {!isFollowing && !isLoading && !over && rows.length > 0 ? (
          <button type="button" className="more" onClick={() => void store.newer()}>
            Newer events
          </button>
        ) : null}
      </section>
      <div className="tail" role="status">
        {problem ? (
          <span className="problem">{problem}</span>
        ) : over ? (
          <span className="soft">{over}</span>
        ) : isFollowing ? (
          <span className="following">Following the log</span>
        ) : (
          <span className="soft">{isLoading ? 'Loading …' : 'Not at the end of the log'}</span>
        )}
        {isFollowing || over ? null : (
          <button
            type="button"
            onClick={() => {
              sticks.current = true
              void store.newest()
            }}
          >
            Newest
          </button>
        )}
      </div>
    </>
  )
}

const EventRow = memo(function EventRow({
  row,
  onRun,
  onShow,
  isTarget = false,
}: {
  row: Row
  onRun?: (run: string) => void
  onShow?: (offset: string) => void
  isTarget?: boolean
}) {
  const { first, last, type, runId, time, text, by, event } = row
  const [isOpen, setOpen] = useState(isTarget)
  return (
    <li className={isTarget ? 'row-target' : ''} data-type={type}>
      <details open={isOpen} onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
        <summary>
          <span className={`lane ${runId === undefined ? '' : `hue-${hueOf(runId)}`}`} aria-hidden="true" />
          <span className="seq">#{first === last ? last : `${first}–${last}`}</span>
          <time dateTime={new Date(time).toISOString()} title={day(time)}>
            {clock(time)}
          </time>
          <span className={`type ${kindOf(type)}`}>{type}</span>
          <span className="text">{text}</span>
        </summary>
        {isOpen ? (
          <div className="detail">
            <div className="row">
              {runId !== undefined && onRun ? (
                <button type="button" onClick={() => onRun(runId)}>
                  Only run {runId}
                </button>
              ) : null}
              {onShow ? (
                <button type="button" onClick={() => onShow(row.offset)}>
                  Show in the timeline
                </button>
              ) : null}
              <span className="soft">
                {row.offset}
                {by === undefined ? '' : `, by ${by}`}
              </span>
            </div>
            {first === last ? null : <pre className="whole">{text}</pre>}
            <pre>{JSON.stringify(event, null, 2)}</pre>
          </div>
        ) : null}
      </details>
    </li>
  )
})

/** What a type is coloured by. */
function kindOf(type: string): string {
  if (/^run\.failed$/.test(type)) return 'bad'
  if (/^run\.cancel/.test(type)) return 'wait'
  if (/^run\.completed$/.test(type)) return 'good'
  if (/^input\./.test(type)) return 'wait'
  return ''
}
