/** The `RunContext` that an agent gets: the session's history, questions to users, and steering messages. */
import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { Answer, AskRequest, RunContext } from '../agents/agent.ts'
import type { Inbox } from '../agents/inbox.ts'
import type { Body, Journal } from '../bus/journal.ts'
import { keys } from '../log/keys.ts'
import { check, Id, parseEventBody, TwinrailError } from '../protocol/index.ts'
import type { Expiry } from './expiry.ts'
import { checkQuestion } from './question.ts'
import { tooManyOpen } from './refused-append.ts'
import type { RunClock } from './run-clock.ts'
import { type RunLog, RunStopped } from './run-log.ts'
import type { SchemaChecker } from './schemas/checker.ts'

export interface RunContextParts {
  readonly journal: Journal
  readonly sessionId: string
  readonly runId: string
  readonly epoch: number
  readonly by: string | undefined
  readonly traceparent: string | undefined
  /** Number of the run's `run.started`. */
  readonly startSeq: number
  readonly signal: AbortSignal
  readonly log: RunLog
  readonly inbox: Inbox
  readonly schemas: SchemaChecker
  /** Paused while the agent waits for an answer. */
  readonly clock: RunClock
  readonly expiry: Expiry
}

/** Makes the context of one run. */
export function contextOf(parts: RunContextParts): RunContext {
  const { journal, sessionId, runId, by, traceparent, startSeq, signal, log, inbox } = parts
  const apply = async (steers: ReturnType<Inbox['takeSteers']>) => {
    if (steers.length === 0) return steers
    await log.append(steers.map(({ inputId }) => ({ type: 'input.applied', runId, data: { inputId } })))
    return steers
  }
  return {
    sessionId,
    runId,
    by,
    traceparent,
    signal,
    history: () => history(journal, sessionId, startSeq - 1),
    recent: () => recent(journal, sessionId, startSeq - 1),
    ask: request => {
      const answer = ask(parts, request)
      // An agent may ask and end without awaiting the answer; that must not be an unhandled rejection.
      answer.catch(() => {})
      return answer
    },
    steering: {
      take: () => apply(inbox.takeSteers()),
      async *[Symbol.asyncIterator]() {
        while (await inbox.untilSteered()) yield* await apply(inbox.takeSteers())
      },
    },
  }
}

async function ask(
  parts: RunContextParts,
  { requestId = randomUUID(), ...request }: AskRequest,
): Promise<Answer> {
  const { runId, inbox, clock, signal } = parts
  check(Id, requestId, 'ask: requestId')
  const body = parseEventBody({ type: 'input.requested', runId, data: { requestId, ...request } }, 'ask')
  await checkQuestion(body, parts)
  const answer = inbox.answer(requestId)
  answer.catch(() => {})
  clock.pause()
  try {
    await logRequest(parts, body, requestId)
    const { sessionId, epoch, expiry } = parts
    if (request.expiresAt !== undefined)
      expiry.schedule(sessionId, epoch, runId, requestId, request.expiresAt)
    return await answer
  } catch (error) {
    throw error instanceof RunStopped ? signal.reason : error
  } finally {
    clock.resume()
  }
}

async function logRequest({ log, runId }: RunContextParts, body: Body, requestId: string): Promise<void> {
  const appended = await log.append([body], { once: [{ key: keys.input(requestId), note: { runId } }] })
  if (appended.accepted) return
  if (appended.reason === 'open') throw tooManyOpen(appended)
  if (appended.reason !== 'key') return
  const { runId: asker } = (appended.entry.note ?? {}) as { runId?: string }
  // An agent that resumes a run repeats its questions; they are in the log already.
  if (asker === runId) return
  throw new TwinrailError('conflict', 'ask: another run of this session uses the requestId; choose another')
}

async function* history(journal: Journal, sessionId: string, through: number) {
  for await (const { event } of journal.events(sessionId, 0, through)) yield event
}

/** How many events are read at once backwards, and about how many bytes of them. */
const RECENT = { events: 256, bytes: 1024 * 1024 }

/** The events up to a number, newest first. Lets the event loop turn between pages. */
async function* recent(journal: Journal, sessionId: string, through: number) {
  let size = RECENT.events
  for (let last = through; last > 0; ) {
    const page = await journal.read(sessionId, Math.max(0, last - size), {
      events: size,
      bytes: RECENT.bytes,
      through: last,
    })
    const [first] = page?.events ?? []
    if (!page || !first) return
    if (page.events.at(-1)!.seq < last) {
      // The older ones fill the page. One event always fits.
      size = Math.ceil(size / 4)
      continue
    }
    for (const { event } of page.events.toReversed()) yield event
    last = first.seq - 1
    size = Math.min(RECENT.events, size * 2)
    await setImmediate()
  }
}
