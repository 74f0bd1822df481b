/** One page of a session's events, for `GET …/events`. It waits for events if the request says so. */

import type { Bus } from '../bus/bus.ts'
import { type RunRange, startOf } from '../bus/cursor.ts'
import { fold } from '../bus/fold.ts'
import type { Journal } from '../bus/journal.ts'
import { areLarge } from '../bus/large-events.ts'
import type { LogEvent } from '../log/event.ts'
import type { LogPage, ReadBounds, SessionInfo } from '../log/log.ts'
import type { Presence } from '../presence/presence.ts'
import {
  type Control,
  type EndReason,
  formatOffset,
  isTerminal,
  PAGE_BYTES,
  PAGE_EVENTS,
  parseOffset,
  type SubscriptionOptions,
} from '../protocol/index.ts'
import { startTimer } from '../protocol/timers.ts'
import { bytesOf, type Page } from './page.ts'
import type { SharedPages } from './shared-pages.ts'

/** The parts of the server that pages are read from. */
export interface PageContext {
  readonly journal: Journal
  readonly bus: Bus
  /** Counts those who wait as viewers. @default they are not counted */
  readonly presence?: Presence
  /** Pages that other requests have just read. */
  readonly pages: SharedPages
}

export interface PageRequest {
  sessionId: string
  options: Pick<SubscriptionOptions, 'after' | 'last' | 'run' | 'replay'>
  /** Maximum number of events. @default 1000 */
  limit?: number | undefined
  /** Reads backwards: the events just before this offset, in ascending order. */
  before?: string | undefined
  /** Maximum wait for events when there are none, in ms. @default 0 */
  waitMs?: number | undefined
  /** `begin` is called before the wait, with the offset that the client has, and `end` after it. The page is read further once `end` has resolved. */
  aroundWait?: { begin(cursor: string): void; end(): Promise<void> } | undefined
  /** Aborts the wait when the client has left. */
  signal?: AbortSignal | undefined
}

/** Maximum number of raw events read for one page: a compact page folds many events into few. */
const SCAN_EVENTS = 10 * PAGE_EVENTS

/** @throws TwinrailError `session-not-found`, `run-not-found` */
export async function readPage(context: PageContext, request: PageRequest): Promise<Page> {
  const { journal, bus, presence, pages } = context
  if (request.before !== undefined) return readBackwards(journal, request, request.before)
  const { sessionId, options, waitMs = 0 } = request
  const leave = waitMs > 0 && presence ? addViewer(presence, sessionId, options.run) : undefined
  try {
    const page = await readForwards(journal, pages, request)
    if (page.events.length > 0 || page.controls.length > 0 || waitMs === 0) return page
    const after = { ...request, options: { ...options, after: page.next } }
    request.aroundWait?.begin(page.next)
    const news = await somethingNew(bus, after, page.next)
    await request.aroundWait?.end()
    if (news === 'events') return await readForwards(journal, pages, after)
    return news === 'deleted' ? { ...page, controls: [endOf(request, 'deleted')] } : page
  } finally {
    leave?.()
  }
}

/** A poller counts as a viewer for as long as its next poll may take. */
const POLL_GRACE_MS = 30_000

function addViewer(presence: Presence, sessionId: string, run: string | undefined): () => void {
  const leave = presence.addViewer(sessionId, run)
  return () => {
    setTimeout(leave, POLL_GRACE_MS).unref()
  }
}

/** Resolves when the session has matching events, when it was deleted, or after the maximum wait. */
async function somethingNew(
  bus: Bus,
  request: PageRequest,
  next: string,
): Promise<'events' | 'deleted' | 'nothing'> {
  const { sessionId, options, waitMs = 0, signal } = request
  const seen = parseOffset(next)?.seq ?? 0
  return new Promise((resolve, reject) => {
    let stop: (() => void) | undefined
    let over = false
    const finish = (news: 'events' | 'deleted' | 'nothing') => {
      if (over) return
      over = true
      cancel()
      signal?.removeEventListener('abort', gone)
      stop?.()
      // Events of the same event-loop turn belong to the same page.
      setImmediate(resolve, news)
    }
    const gone = () => finish('nothing')
    const cancel = startTimer(waitMs, gone)
    if (signal?.aborted) return gone()
    signal?.addEventListener('abort', gone)
    bus
      .listen(sessionId, {
        event(event) {
          if (options.run === undefined || event.runId === options.run) finish('events')
        },
        deleted: () => finish('deleted'),
        // The next read reports it.
        lost: () => finish('events'),
      })
      .then(listening => {
        stop = listening.stop
        if (over) stop()
        // An event was appended between the read and the start of listening.
        else if (listening.head > seen) finish('events')
      }, reject)
  })
}

/** The `end` that a stream would send. */
function endOf(
  { sessionId, options: { run } }: Pick<PageRequest, 'sessionId' | 'options'>,
  reason: EndReason,
): Control {
  return { type: 'end', sessionId, ...(run !== undefined && { runId: run }), reason }
}

async function readForwards(journal: Journal, pages: SharedPages, request: PageRequest): Promise<Page> {
  const { sessionId, options, limit } = request
  const session = await journal.session(sessionId)
  const run = options.run === undefined ? undefined : await journal.run(sessionId, options.run)
  const { after, last, replay } = options
  const { epoch, head, earliest } = session
  const asked = [after, last, options.run, replay, limit]
  const key = JSON.stringify([sessionId, epoch, earliest, run?.start, run?.end, ...asked])
  return pages.get(key, head, earlier => pageOf(journal, request, session, run, earlier))
}

/** The page that these leave to read. @param earlier the same page of when the log had fewer events */
async function pageOf(
  journal: Journal,
  { sessionId, options, limit }: PageRequest,
  session: SessionInfo,
  run: RunRange | undefined,
  earlier: Page | undefined,
): Promise<Page> {
  const start = startOf(session, options, run)
  const { epoch, earliest } = session
  const at = (seq: number) => formatOffset(epoch, seq)

  const controls: Control[] = []
  if (start.reset) controls.push({ type: 'reset', sessionId, reason: start.reset, head: at(session.head) })
  if (start.gap) {
    const { from, to } = start.gap
    controls.push({ type: 'gap', sessionId, from: at(from), to: at(to), reason: 'trimmed' })
  }
  const found = start.over
    ? { events: [], large: undefined, cursor: start.cursor, head: session.head }
    : await scan(journal, session, start.cursor, run, options, limit ?? PAGE_EVENTS, earlier?.large)
  const ended = start.over || (options.run !== undefined && found.events.some(e => isTerminal(e.type)))
  if (ended) controls.push(endOf({ sessionId, options }, 'run-ended'))
  return {
    events: found.events,
    controls,
    head: at(found.head),
    earliest: at(earliest),
    next: at(found.cursor),
    caughtUp: ended || found.cursor >= found.head,
    large: found.large,
  }
}

/**
 * Reads until the page is full or the log has no more events. The cursor also moves past events that the filter drops.
 */
async function scan(
  journal: Journal,
  session: SessionInfo,
  after: number,
  run: RunRange | undefined,
  { run: runId, replay }: PageRequest['options'],
  limit: number,
  held: readonly LogEvent[] = [],
): Promise<{ events: LogEvent[]; large: Page['large']; cursor: number; head: number }> {
  const { epoch } = session
  const folds = replay !== 'full'
  const bounds = {
    events: folds ? SCAN_EVENTS : limit,
    bytes: PAGE_BYTES,
    ...(run?.end !== undefined && { through: run.end }),
  }
  let cursor = after
  for (;;) {
    const page = await readOn(journal, session, cursor, bounds, held)
    const last = page?.events.at(-1)
    if (!page || page.epoch !== epoch || !last)
      return { events: [], large: undefined, cursor, head: page?.head ?? cursor }
    const seen = runId === undefined ? page.events : page.events.filter(event => event.runId === runId)
    const events = fit(folds ? fold(epoch, seen) : seen, limit)
    const whole = events.length === 0 || events.at(-1)?.seq === seen.at(-1)?.seq
    const large =
      cursor === after && areLarge(bytesOf(page.events), page.events.length) ? page.events : undefined
    cursor = whole ? last.seq : (events.at(-1) as LogEvent).seq
    if (events.length > 0 || cursor >= page.head) return { events, large, cursor, head: page.head }
    await new Promise(resolve => setImmediate(resolve))
  }
}

/** As `journal.read`. Where it begins with the events that are at hand, only those behind them are read. */
async function readOn(
  journal: Journal,
  { sessionId, epoch, head, earliest }: SessionInfo,
  after: number,
  bounds: ReadBounds,
  held: readonly LogEvent[],
): Promise<LogPage | undefined> {
  const last = held.at(-1)
  if (!last || held[0]?.seq !== after + 1) return journal.read(sessionId, after, bounds)
  const events = bounds.events - held.length
  const bytes = bounds.bytes - bytesOf(held)
  if (events <= 0 || bytes <= 0) return { epoch, head, earliest, events: held }
  const rest = await journal.read(sessionId, last.seq, { ...bounds, events, bytes })
  return rest && { ...rest, events: [...held, ...rest.events] }
}

/** The longest beginning of `events` that fits into a page. */
function fit(events: readonly LogEvent[], limit: number): LogEvent[] {
  let bytes = 0
  const count = events.findIndex((event, i) => {
    bytes += event.bytes
    return i > 0 && (i >= limit || bytes > PAGE_BYTES)
  })
  return count < 0 ? [...events] : events.slice(0, count)
}

async function readBackwards(
  journal: Journal,
  { sessionId, options, limit = PAGE_EVENTS }: PageRequest,
  before: string,
): Promise<Page> {
  const session = await journal.session(sessionId)
  const run = options.run === undefined ? undefined : await journal.run(sessionId, options.run)
  const { epoch, head, earliest } = session
  const at = (seq: number) => formatOffset(epoch, seq)
  const { reset } = startOf(session, { after: before, last: undefined, replay: 'full' })
  const controls: Control[] = reset ? [{ type: 'reset', sessionId, reason: reset, head: at(head) }] : []

  const given = reset ? head + 1 : (parseOffset(before)?.seq ?? 0)
  const oldest = Math.max(earliest, run?.start ?? 1)
  let first = Math.max(oldest, Math.min(given, (run?.end ?? head) + 1))
  const events: LogEvent[] = []
  let bytes = 0
  for await (const stretch of journal.backwards(session, first, oldest, limit)) {
    let full = false
    for (const event of [...stretch.events].reverse()) {
      const wanted = options.run === undefined || event.runId === options.run
      full = wanted && events.length > 0 && (events.length >= limit || bytes + event.bytes > PAGE_BYTES)
      if (full) break
      first = event.seq
      if (!wanted) continue
      events.unshift(event)
      bytes += event.bytes
    }
    if (full) break
    first = stretch.from
    if (events.length >= limit || bytes >= PAGE_BYTES) break
  }
  return {
    events: options.replay === 'full' ? events : fold(epoch, events),
    controls,
    head: at(head),
    earliest: at(earliest),
    next: at(first),
    caughtUp: first <= oldest,
  }
}
