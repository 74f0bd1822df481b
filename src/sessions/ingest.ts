/** Ingest: appends the events of external producers. PROTOCOL.md, "Ingest". */
import type { Bus } from '../bus/bus.ts'
import { type Body, type Journal, offsetOf, runNotFound } from '../bus/journal.ts'
import { keys, partsOf } from '../log/keys.ts'
import type { AppendConditions, Appended, Lease, OnceKey, SessionInfo } from '../log/log.ts'
import { type EventBody, isTerminal, TwinrailError } from '../protocol/index.ts'
import type { Expiry } from './expiry.ts'
import type { RunNote } from './key-notes.ts'
import { parseIngestedEvent, parseIngestedLines } from './parse-ingest.ts'
import type { OpenRun, Principal } from './principal.ts'
import type { ProducerRuns } from './producer-runs.ts'
import { checkQuestion } from './question.ts'
import { type RefusedAppend, refusalError, runEnded } from './refused-append.ts'
import { digest } from './repeats.ts'
import type { SchemaChecker } from './schemas/checker.ts'
import type { SessionStates } from './states.ts'
import { replaced, type Writer, writerConditions } from './writers.ts'

/** The outcome of an ingest. */
export interface Ingested {
  /**
   * Offset of the first event, also of one that the log had before. Absent when no event was given, and when a producer
   * repeats an event of so long ago that the log does not know where it lies.
   */
  first?: string
  /** Offset of the session's last event. */
  head: string
  /** How many of the given events are in the log now. */
  count: number
}

/** A producer that numbers its events, so that a retry adds only what is missing. */
export interface Producer {
  id: string
  /** Number of the first event of the call. */
  seq: number
  /** The producer appends only while it is the newest one of this writer. */
  writer?: Writer | undefined
}

export interface IngestParts {
  readonly journal: Journal
  readonly bus: Bus
  readonly expiry: Expiry
  readonly schemas: SchemaChecker
  readonly states: SessionStates
  /** Counts a run of a principal as open until the returned function is called. @throws TwinrailError `rate-limited` */
  readonly openRun: OpenRun
  readonly runs: ProducerRuns
  /** A run opened by ingest fails after this time without an event of its producer, in ms. */
  readonly leaseMs: number
}

interface Batch {
  bodies: Body[]
  conditions: AppendConditions
}

export class Ingest {
  readonly #parts: IngestParts

  constructor(parts: IngestParts) {
    this.#parts = parts
  }

  /**
   * Appends all events or none, and creates the session when it is missing. Without events it renews the leases of
   * `runs`, or of all open runs of the principal, and throws `session-not-found` when there is no session.
   * @param runs only without events; those that have ended are left out
   * @throws TwinrailError naming the first bad event; nothing is appended then
   */
  async appendAll(
    sessionId: string,
    values: readonly unknown[],
    principal: Principal,
    producer?: Producer,
    runs?: readonly string[],
  ): Promise<Ingested> {
    if (values.length === 0) return this.#renew(sessionId, principal, runs)
    const { own } = this.#parts.schemas
    const bodies = values.map((value, i) =>
      parseIngestedEvent(value, values.length === 1 ? 'event' : `event ${i}`, own),
    )
    return this.#appendBodies(sessionId, bodies, principal, producer && ownedBy(principal, producer), true)
  }

  /** Renews the leases of these runs, or of all open ones that the principal has opened by ingest. */
  async #renew(sessionId: string, principal: Principal, named?: readonly string[]): Promise<Ingested> {
    const { journal } = this.#parts
    const session = await journal.session(sessionId)
    if (named) await Promise.all(named.map(runId => this.#mustOwnRun(sessionId, runId, principal)))
    const runs = named ?? (await this.#openRunsOf(session, principal))
    // The log refuses to renew what has ended.
    await Promise.all(runs.map(runId => journal.renew(sessionId, this.#lease(runId, principal))))
    return { head: offsetOf(session, session.head), count: 0 }
  }

  async #openRunsOf(session: SessionInfo, principal: Principal): Promise<string[]> {
    const { journal, states } = this.#parts
    const open = (await states.get(session)).runs.filter(({ status }) => status === 'running')
    const started = await journal.lookup(
      session.sessionId,
      open.map(({ runId }) => keys.run(runId)),
    )
    return open.filter((_, i) => isOwn(started[i]?.note, principal)).map(({ runId }) => runId)
  }

  /** @param isFinal whether a refusal ends the call; if so, a run that was cancelled before its start is logged first */
  async #appendBodies(
    sessionId: string,
    bodies: readonly EventBody[],
    principal: Principal,
    producer: Producer | undefined,
    isFinal: boolean,
  ): Promise<Ingested> {
    for (const body of bodies) await checkQuestion(body, this.#parts)
    const batch = await this.#batch(sessionId, bodies, principal)
    const appended = await this.#append(sessionId, batch, principal, producer)
    if (!appended.accepted) {
      const known = producer && (await this.#countKnown(sessionId, bodies, appended, producer))
      if (known) {
        const rest = { ...producer, seq: producer.seq + known.count }
        const added = bodies.slice(known.count)
        const { head } = await this.#appendBodies(sessionId, added, principal, rest, isFinal)
        return { ...firstOf(known.appended), head, count: bodies.length }
      }
      if (isFinal) await this.#startCancelled(sessionId, bodies, appended, principal)
      throw await this.#refusal(sessionId, appended, principal)
    }
    await this.#parts.bus.admitted(sessionId)
    return { ...firstOf(appended), head: offsetOf(appended, appended.head), count: bodies.length }
  }

  /**
   * Appends lines of NDJSON as they arrive. Stops at the first bad line; the events before it stay in the log.
   * @throws TwinrailError with `details {first, head, count}` of what was appended
   */
  async appendLines(
    sessionId: string,
    batches: AsyncIterable<readonly string[]>,
    principal: Principal,
    producer?: Producer,
  ): Promise<Ingested> {
    let first: string | undefined
    let head: string | undefined
    let count = 0
    const add = async (bodies: readonly EventBody[]) => {
      if (bodies.length === 0) return
      const numbered = producer && ownedBy(principal, { ...producer, seq: producer.seq + count })
      const ingested = await this.#appendBodies(sessionId, bodies, principal, numbered, bodies.length === 1)
      if (count === 0) first = ingested.first
      head = ingested.head
      count += bodies.length
    }
    try {
      for await (const lines of batches) {
        const { bodies, error } = parseIngestedLines(lines, count, this.#parts.schemas.own)
        // One append for the batch. If it is refused, one append per event finds the bad line.
        try {
          await add(bodies)
        } catch (refusal) {
          if (bodies.length <= 1 || !(refusal instanceof TwinrailError) || refusal.retryable) throw refusal
          for (const body of bodies) await add([body])
        }
        if (error) throw error
      }
      if (head === undefined) {
        throw new TwinrailError(
          'bad-request',
          'expected at least one line with an event, got none; [] as application/json renews leases',
        )
      }
    } catch (error) {
      if (!(error instanceof TwinrailError)) throw error
      const progress = { ...(first && { first }), ...(head && { head }), count }
      const named = count === 0 || error.message.startsWith('line ')
      throw new TwinrailError(error.code, named ? error.message : `line ${count + 1}: ${error.message}`, {
        details: { ...error.details, ...progress },
        ...(error.retryAfterMs !== undefined && { retryAfterMs: error.retryAfterMs }),
      })
    }
    return { ...(first !== undefined && { first }), head, count }
  }

  /** The conditions under which these events are appended. */
  async #batch(sessionId: string, bodies: readonly Body[], principal: Principal): Promise<Batch> {
    const once: OnceKey[] = []
    const absent = new Set<string>()
    const leases = new Map<string, Lease>()
    const ended = new Map<string, string>()

    for (const [index, { type, runId, data }] of bodies.entries()) {
      if (runId !== undefined) {
        const terminal = ended.get(runId)
        if (terminal) {
          throw new TwinrailError('run-ended', `event ${index}: an earlier event of the call ends its run`, {
            details: { runId, type: terminal },
          })
        }
        if (type === 'run.started') {
          const { agent, input } = data as { agent: string; input?: unknown }
          const note: RunNote = { agent, digest: digest(input), by: principal.id, external: true }
          once.push({ key: keys.run(runId), note, index })
          absent.add(keys.cancel(runId))
        } else if (!leases.has(runId)) {
          await this.#mustOwnRun(sessionId, runId, principal)
        }
        leases.set(runId, this.#lease(runId, principal))
        if (isTerminal(type)) {
          once.push({ key: keys.end(runId), note: { type }, index })
          ended.set(runId, type)
        } else {
          absent.add(keys.end(runId))
        }
      }
      if (type === 'input.requested') {
        once.push({ key: keys.input(requestIdOf(data)), note: { runId }, index })
      } else if (type === 'input.expired') {
        once.push({ key: keys.answer(requestIdOf(data)), note: { expired: true }, index })
      }
    }
    return {
      bodies: [...bodies],
      conditions: {
        create: true,
        once,
        absent: [...absent],
        leases: [...leases.values()],
        release: [...ended.keys()],
      },
    }
  }

  #lease(runId: string, principal: Principal): Lease {
    return { runId, token: `producer:${principal.id}`, ttlMs: this.#parts.leaseMs }
  }

  /** @throws TwinrailError `run-not-found`; `forbidden` when the principal did not open the run by ingest */
  async #mustOwnRun(sessionId: string, runId: string, principal: Principal): Promise<void> {
    const [started] = await this.#parts.journal.lookup(sessionId, [keys.run(runId)])
    if (!started) throw runNotFound(runId)
    if (!isOwn(started.note, principal)) {
      throw new TwinrailError('forbidden', 'the run is not yours; ingest into runs that you opened', {
        details: { runId },
      })
    }
  }

  async #append(
    sessionId: string,
    { bodies, conditions }: Batch,
    principal: Principal,
    producer: Producer | undefined,
  ): Promise<Appended> {
    const { writer, ...numbered } = producer ?? {}
    const newest =
      writer && (await writerConditions(this.#parts.journal, sessionId, principal.id, producer!.id, writer))
    const opened = this.#openRuns(sessionId, bodies, conditions, principal)
    const closeAll = () => {
      for (const [, close] of opened) close()
    }
    const appended = await this.#parts.journal
      .append(sessionId, bodies, {
        ...conditions,
        ...(newest && {
          once: [...(conditions.once ?? []), ...newest.once],
          absent: [...(conditions.absent ?? []), ...newest.absent],
        }),
        ...(producer && { producer: numbered as Producer }),
        by: principal.id,
      })
      .catch(error => {
        closeAll()
        throw error
      })
    if (!appended.accepted) closeAll()
    if (appended.accepted) {
      for (const [runId, close] of opened) this.#parts.runs.add(sessionId, runId, close)
      for (const { type, runId, data } of bodies) {
        if (type !== 'input.requested') continue
        const { requestId, expiresAt } = data as { requestId: string; expiresAt?: number }
        if (expiresAt === undefined) continue
        this.#parts.expiry.schedule(sessionId, appended.epoch, runId, requestId, expiresAt)
      }
    }
    return appended
  }

  /**
   * Counts the runs that these events open and do not end. A producer that repeats itself opens nothing.
   * @throws TwinrailError `rate-limited`; nothing is counted then
   */
  #openRuns(
    sessionId: string,
    bodies: readonly Body[],
    { release = [] }: AppendConditions,
    principal: Principal,
  ): [runId: string, close: () => void][] {
    const opened: [string, () => void][] = []
    try {
      for (const { type, runId = '' } of bodies) {
        if (type !== 'run.started' || release.includes(runId)) continue
        if (!this.#parts.runs.has(sessionId, runId)) opened.push([runId, this.#parts.openRun(principal.id)])
      }
    } catch (error) {
      for (const [, close] of opened) close()
      throw error
    }
    return opened
  }

  /**
   * How many leading events of a refused call the log has from that producer already; nothing when it has none. The
   * refusal may come from their own keys, for example when a retry repeats `run.started`. The log accepts a call that it
   * has as a whole without checking conditions, and refuses any other call here because the key is taken; so a binary
   * search finds the count.
   */
  async #countKnown(
    sessionId: string,
    bodies: readonly Body[],
    refusal: RefusedAppend,
    producer: Producer,
  ): Promise<{ count: number; appended: Accepted } | undefined> {
    if (refusal.reason !== 'key') return undefined
    const { epoch, key } = refusal
    let known: { count: number; appended: Accepted } | undefined
    for (let tooMany = bodies.length; (known?.count ?? 0) + 1 < tooMany; ) {
      const count = Math.floor(((known?.count ?? 0) + tooMany) / 2)
      const appended = await this.#parts.journal.append(sessionId, bodies.slice(0, count), {
        epoch,
        absent: [key],
        producer: { id: producer.id, seq: producer.seq },
      })
      if (appended.accepted) known = { count, appended }
      else tooMany = count
    }
    return known
  }

  /**
   * If the refusal is due to a cancel that came before the run's start, logs the start and the end of the run.
   * @throws TwinrailError `run-ended` then
   */
  async #startCancelled(
    sessionId: string,
    bodies: readonly Body[],
    refusal: RefusedAppend,
    principal: Principal,
  ): Promise<void> {
    if (refusal.reason !== 'key' || !refusal.key.startsWith('cancel:')) return
    const index = bodies.findIndex(
      ({ type, runId }) => type === 'run.started' && keys.cancel(runId as string) === refusal.key,
    )
    const started = bodies[index] as Body & { runId: string }
    const { runId } = started
    const { conditions } = await this.#batch(sessionId, [started], principal)
    const { reason } = refusal.entry.note as { reason: string }
    const end = { key: keys.end(runId), note: { type: 'run.cancelled' }, index: 1 }
    const appended = await this.#append(
      sessionId,
      {
        bodies: [started, { type: 'run.cancelled', runId, data: { reason } }],
        conditions: { once: [...(conditions.once ?? []), end] },
      },
      principal,
      undefined,
    )
    if (appended.accepted) {
      throw runEnded(appended.epoch, runId, { seq: appended.first + 1, note: { type: 'run.cancelled' } })
    }
  }

  async #refusal(sessionId: string, refused: RefusedAppend, principal: Principal): Promise<TwinrailError> {
    if (refused.reason === 'key' && refused.key.startsWith('writer:')) {
      const [, , name = ''] = partsOf(refused.key)
      return replaced(this.#parts.journal, sessionId, principal.id, name)
    }
    if (refused.reason === 'key' && refused.key.startsWith('run:')) {
      if (!isOwn(refused.entry.note, principal)) {
        return new TwinrailError(
          'forbidden',
          'the runId is in use by a run that is not yours; choose another',
        )
      }
    }
    return refusalError(sessionId, refused)
  }
}

type Accepted = Appended & { accepted: true }

/** Where the first event of a call lies, if that is known. */
function firstOf(appended: Accepted): { first?: string } {
  return appended.first > 0 ? { first: offsetOf(appended, appended.first) } : {}
}

/** Whether a run was opened by ingest of this principal. @param note the note of the run's start */
function isOwn(note: unknown, principal: Principal): boolean {
  const { by, external } = (note ?? {}) as Partial<RunNote>
  return external === true && by === principal.id
}

const requestIdOf = (data: unknown) => (data as { requestId: string }).requestId

/** Puts the principal into the producer's id, since two principals may choose the same one. */
function ownedBy(principal: Principal, producer: Producer): Producer {
  return { ...producer, id: `${principal.id} ${producer.id}` }
}
