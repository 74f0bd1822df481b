/** Tries everything at once, in a session of the doctor's own: every event published goes to all transports. */
import { endpoint, newId } from '../../../client/index.ts'
import { ANSWER_MS, type Answer, call, jsonOf, type Question, reasonOf, refusalOf, saidBy } from './http.ts'
import { type PollSighting, watchLongPoll } from './long-poll-wire.ts'
import { type Reached, reach } from './reach.ts'
import type { Sighting } from './sighting.ts'
import { watchSse } from './sse-wire.ts'
import { atMost, now } from './time.ts'
import { type SocketSighting, watchWebSocket } from './websocket-wire.ts'

/** Events that are published, one after the other. */
const EVENTS = 5

/** Between two of them, in ms: enough to see whether they come one by one. */
const APART_MS = 300

/** How long to wait for the first word of every connection before going on without it, in ms. */
const PATIENCE_MS = 2000

/** The longest that the server holds a long-poll, in ms. */
const LONGEST_POLL_MS = 30_000

/** The agent that plays what it is told, for a stream that a POST is answered with. */
const PLAYER = 'playback'

export interface Published {
  offset: string
  sentAt: number
  ackedAt: number
}

/** What was seen. */
export interface Examination {
  url: string
  reached: Reached
  /** Why commands do not get through. */
  commandsFail: string | undefined
  /** Why a page of this very address is refused. */
  pageRefused: string | undefined
  published: Published[]
  /** As a browser asks for it; silent but for the server's own pings. */
  sse: Sighting
  /** The same, but pinged every second, and asked for without compression. */
  beating: Sighting
  /** Asked for with the offset of the first event as `Last-Event-ID`. */
  resumed: Sighting
  /** None where the server has no agent to play with. */
  post: Sighting | undefined
  websocket: SocketSighting
  longPoll: PollSighting
  /** How long it was silent, in ms. */
  silenceMs: number
}

export interface ExamineOptions {
  url: string
  /** Sent with every request. */
  headers: Record<string, string>
  /** How long to be silent, in ms. */
  silenceMs: number
  signal: AbortSignal
  /** Told what is done now, and for how many ms it will last. */
  onStep(step: string, forMs: number): void
}

/**
 * Looks at a server through whatever stands before it; deletes its session before it resolves.
 * @throws NothingToExamine; the reason of `signal` when it aborts
 */
export async function examine(options: ExamineOptions): Promise<Examination> {
  const { url, headers, silenceMs, signal, onStep } = options
  onStep(`looking for a server at ${url}`, ANSWER_MS)
  const reached = await reach(url, headers, signal)
  const sessionId = `doctor-${newId()}`
  const session = endpoint(url, `sessions/${sessionId}`)
  const events = endpoint(url, `sessions/${sessionId}/events`)
  const commands = endpoint(url, `sessions/${sessionId}/commands`)
  const wires = new AbortController()
  const watching = AbortSignal.any([signal, wires.signal])
  const create = (more: Record<string, string> = {}) =>
    post({ url: endpoint(url, 'sessions'), headers: { ...headers, ...more }, body: { sessionId }, signal })
  let deleted = false
  const remove = async () => {
    if (deleted) return
    deleted = true
    // Also after Ctrl-C, so with a signal of its own.
    await call({ url: session, method: 'DELETE', headers, signal: new AbortController().signal }).catch(
      () => {}, // nobody is left to tell, and what is empty costs little
    )
  }

  try {
    const commandsFail = await create()
    const pageRefused = commandsFail ? undefined : await create({ origin: new URL(url).origin })

    onStep('opening every transport', PATIENCE_MS)
    const get = { url: events, headers, signal: watching }
    const sse = watchSse(get)
    const beating = watchSse({
      ...get,
      url: endpoint(url, `sessions/${sessionId}/events`, { heartbeatMs: 1000 }),
      headers: { ...headers, 'accept-encoding': 'identity' },
    })
    const websocket = watchWebSocket(url, sessionId, headers, watching)
    const longPoll = watchLongPoll(
      url,
      sessionId,
      Math.min(0.8 * silenceMs, LONGEST_POLL_MS),
      headers,
      watching,
    )
    const played = reached.agents.includes(PLAYER) && !commandsFail
    const posted = played
      ? watchSse({ url: commands, method: 'POST', headers, body: playing(), signal: watching })
      : undefined
    const streams = [sse, beating, websocket, ...(posted ? [posted] : [])]
    await atMost(PATIENCE_MS, Promise.all(streams.map(({ spoke }) => spoke)), signal)
    signal.throwIfAborted()

    onStep(`publishing ${EVENTS} events, one after the other`, EVENTS * APART_MS)
    const published = commandsFail ? [] : await publish(commands, headers, signal)
    const resumed = watchSse({ ...get, headers: { ...headers, 'last-event-id': published[0]?.offset ?? '' } })

    onStep('being silent, to see whether something cuts in', silenceMs)
    const silent = [sse, beating, websocket, longPoll].map(({ closed }) => closed)
    await atMost(silenceMs, Promise.all(silent), signal)
    signal.throwIfAborted()

    // Its end makes whatever holds a stream back let go of it, and tells what was late from what was lost.
    onStep('ending the session', PATIENCE_MS)
    await remove()
    const ends = [...streams, resumed, longPoll].filter(wire => wire !== websocket)
    await atMost(PATIENCE_MS, Promise.all(ends.map(({ closed }) => closed)), signal)
    signal.throwIfAborted()
    return {
      ...{ url, reached, commandsFail, pageRefused, published, silenceMs },
      ...{ sse, beating, resumed, post: posted, websocket, longPoll },
    }
  } finally {
    wires.abort()
    await remove()
  }
}

/** Makes a POST that is to be answered with 2xx; gives why it was not. */
async function post(question: Question): Promise<string | undefined> {
  try {
    const answer = await call({ ...question, method: 'POST' })
    return isFine(answer) ? undefined : saidBy(refusalOf(answer))
  } catch (error) {
    question.signal.throwIfAborted()
    return reasonOf(error)
  }
}

const isFine = ({ status }: Answer) => status >= 200 && status < 300

/** A run whose events are as far apart as those that are published. */
function playing(): object {
  const events = Array.from({ length: EVENTS }, (_, i) => ({
    type: 'x.doctor',
    data: { number: i + 1 },
    time: i * APART_MS,
  }))
  return { id: 'play', type: 'run.start', agent: PLAYER, input: { events } }
}

/** Publishes; what is refused is left out. */
async function publish(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<Published[]> {
  const published: Published[] = []
  const begunAt = now()
  for (let i = 0; i < EVENTS; i++) {
    await atMost(begunAt + i * APART_MS - now(), new Promise(() => {}), signal)
    signal.throwIfAborted()
    const sentAt = now()
    const body = { id: `${i}`, type: 'publish', event: { type: 'x.doctor', data: { number: i + 1 } } }
    const answer = await call({ url, method: 'POST', headers, body, signal }).catch(() => undefined)
    const offset = answer && isFine(answer) ? jsonOf(answer)?.['offset'] : undefined
    if (typeof offset === 'string') published.push({ offset, sentAt, ackedAt: now() })
  }
  return published
}
