/** Tries everything at once, in a session of the doctor's own: every event published goes to all transports. */
import { ANSWER_MS } from './http.ts'
import { type PollSighting, watchLongPoll } from './long-poll-wire.ts'
import { type Reached, reach } from './reach.ts'
import { APART_MS, DoctorSession, EVENTS, type Published } from './session.ts'
import type { Sighting } from './sighting.ts'
import { watchSse } from './sse-wire.ts'
import { atMost } from './time.ts'
import { type SocketSighting, watchWebSocket } from './websocket-wire.ts'

/** How long to wait for the first word of every connection, and for their ends, before going on without, in ms. */
const PATIENCE_MS = 2000

/** The longest that the server holds a long-poll, in ms. */
const LONGEST_POLL_MS = 30_000

/** The agent that plays what it is told, for a stream that a POST is answered with. */
const PLAYER = 'playback'

/** The connections that were watched. */
interface Wires {
  /** As a browser asks for it; silent but for the server's own pings. */
  sse: Sighting
  /** The same, but pinged every second, and asked for without compression. */
  beating: Sighting
  /** None where the server has no agent to play with. */
  post: Sighting | undefined
  websocket: SocketSighting
  longPoll: PollSighting
}

/** What was seen. */
export interface Examination extends Wires {
  url: string
  reached: Reached
  /** Why a page of this very address is refused. */
  pageRefused: string | undefined
  /** At least one. */
  published: Published[]
  /** Asked for with the offset of the first event as `Last-Event-ID`. */
  resumed: Sighting
}

export interface ExamineOptions {
  url: string
  /** Sent with every request. */
  headers: Record<string, string>
  /** How long to be silent, in ms. */
  silenceMs: number
  signal: AbortSignal
  /** Told what is done now, and for how many ms it will last at the most. */
  onStep(step: string, forMs: number): void
}

/**
 * Looks at a server through whatever stands before it; deletes its session before it settles.
 * @throws NothingToExamine; the reason of `signal` when it aborts
 */
export async function examine(options: ExamineOptions): Promise<Examination> {
  const { url, headers, silenceMs, signal, onStep } = options
  onStep(`looking for a server at ${url}`, ANSWER_MS)
  const reached = await reach(url, headers, signal)
  const session = new DoctorSession(url, headers, signal)
  const wires = new AbortController()
  const watching = AbortSignal.any([signal, wires.signal])
  const patiently = async (ms: number, promises: Promise<void>[]) => {
    await atMost(ms, Promise.all(promises), signal)
    signal.throwIfAborted()
  }
  try {
    await session.create()
    const pageRefused = await session.refusedToPages()

    onStep('opening every transport', PATIENCE_MS)
    const opened = open(options, session, reached.agents.includes(PLAYER), watching)
    const { sse, beating, post, websocket, longPoll } = opened
    const streams = [sse, beating, ...(post ? [post] : [])]
    await patiently(
      PATIENCE_MS,
      [...streams, websocket].map(({ spoke }) => spoke),
    )

    onStep(`publishing ${EVENTS} events, one after the other`, EVENTS * APART_MS)
    const published = await session.publish()
    const last = { 'last-event-id': published[0]!.offset }
    const resumed = watchSse({
      url: session.address('events'),
      headers: { ...headers, ...last },
      signal: watching,
    })

    onStep('being silent, to see whether something cuts in', silenceMs)
    await patiently(
      silenceMs,
      [sse, beating, websocket, longPoll].map(({ closed }) => closed),
    )

    // Its end makes whatever holds a stream back let go of it, and tells what was late from what was lost.
    onStep('ending the session', PATIENCE_MS)
    await session.delete()
    await patiently(
      PATIENCE_MS,
      [...streams, resumed, longPoll].map(({ closed }) => closed),
    )
    return { url, reached, pageRefused, published, ...opened, resumed }
  } finally {
    wires.abort()
    await session.delete()
  }
}

function open(options: ExamineOptions, session: DoctorSession, plays: boolean, signal: AbortSignal): Wires {
  const { url, headers, silenceMs } = options
  return {
    sse: watchSse({ url: session.address('events'), headers, signal }),
    beating: watchSse({
      url: session.address('events', { heartbeatMs: 1000 }),
      headers: { ...headers, 'accept-encoding': 'identity' },
      signal,
    }),
    post: plays
      ? watchSse({ url: session.address('commands'), method: 'POST', headers, body: playing(), signal })
      : undefined,
    websocket: watchWebSocket(url, session.id, headers, signal),
    // Shorter than the silence, so that a poll ends by itself in it.
    longPoll: watchLongPoll(
      url,
      session.id,
      Math.min(Math.round(0.8 * silenceMs), LONGEST_POLL_MS),
      headers,
      signal,
    ),
  }
}

/** A run whose events are as far apart as those that are published. */
function playing(): object {
  const events = Array.from({ length: EVENTS }, (_, i) => ({
    type: 'x.doctor',
    data: { number: i + 1 },
    time: i * APART_MS,
  }))
  return { id: 'play', type: 'run.start', agent: PLAYER, input: { events } }
}
