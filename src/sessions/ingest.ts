/** Ingest: events from producers outside, in any language. PROTOCOL.md, "Ingest". */
import type { Bus } from '../bus/bus.ts'
import { type Body, type Journal, offsetOf, runNotFound } from '../bus/journal.ts'
import { keys } from '../log/keys.ts'
import type { AppendConditions, Appended, Lease, OnceKey } from '../log/log.ts'
import { isTerminal, TwinrailError } from '../protocol/index.ts'
import { type RunNote, refused, runEnded } from './conditions.ts'
import type { Expiry } from './expiry.ts'
import { parseIngested, parseLines } from './ingested.ts'
import type { Principal } from './principal.ts'
import { digest } from './repeats.ts'

/** Where ingested events stand. */
export interface Ingested {
  /** Offset of the first; absent where a producer repeats what is no longer its last call. */
  first?: string
  /** Offset of the log's last event. */
  head: string
  /** How many of the events given are in the log now. */
  count: number
}

/** A producer that numbers its events, so that retries are exact. */
export interface Producer {
  id: string
  /** Number of the first event given. */
  seq: number
}

export interface IngestParts {
  readonly journal: Journal
  readonly bus: Bus
  readonly expiry: Expiry
  /** How long a run opened by ingest lives without another event, in ms. */
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
   * Appends events as one, all or nothing, and makes the session when it is missing.
   * @throws TwinrailError naming the first bad event; nothing is appended then
   */
  all(
    sessionId: string,
    values: readonly unknown[],
    principal: Principal,
    producer?: Producer,
  ): Promise<Ingested> {
    return this.#take(sessionId, values, principal, producer && ownedBy(principal, producer), true)
  }

  /** @param told whether a refusal reaches the producer; if so, a run whose cancel came first is told of before */
  async #take(
    sessionId: string,
    values: readonly unknown[],
    principal: Principal,
    producer: Producer | undefined,
    told: boolean,
  ): Promise<Ingested> {
    if (values.length === 0) throw new TwinrailError('bad-request', 'expected at least one event, got none')
    const bodies = values.map((value, i) =>
      parseIngested(value, values.length === 1 ? 'event' : `event ${i}`),
    )
    const batch = await this.#batch(sessionId, bodies, principal)
    const appended = await this.#append(sessionId, batch, principal, producer)
    if (!appended.accepted) {
      const done = producer && (await this.#done(sessionId, bodies, appended, producer))
      if (done) {
        const rest = { id: producer.id, seq: producer.seq + done }
        const { head } = await this.#take(sessionId, values.slice(done), principal, rest, told)
        return { head, count: bodies.length }
      }
      if (told) await this.#startCancelled(sessionId, bodies, appended, principal)
      throw this.#refusal(sessionId, appended, principal)
    }
    const { first, head } = appended
    await this.#parts.bus.admitted(sessionId)
    return {
      ...(first > 0 && { first: offsetOf(appended, first) }),
      head: offsetOf(appended, head),
      count: bodies.length,
    }
  }

  /**
   * Appends line after line of NDJSON. The first bad line ends it; what stood before stays.
   * @throws TwinrailError with `details {first, head, count}` of what was appended
   */
  async lines(
    sessionId: string,
    batches: AsyncIterable<readonly string[]>,
    principal: Principal,
    producer?: Producer,
  ): Promise<Ingested> {
    let first: string | undefined
    let head: string | undefined
    let count = 0
    const add = async (values: readonly unknown[]) => {
      if (values.length === 0) return
      const numbered = producer && ownedBy(principal, { id: producer.id, seq: producer.seq + count })
      const done = await this.#take(sessionId, values, principal, numbered, values.length === 1)
      first ??= done.first
      head = done.head
      count += values.length
    }
    try {
      for await (const lines of batches) {
        const { values, error } = parseLines(lines, count)
        // Together they cost one append; one by one only when that is refused, to find the line.
        try {
          await add(values)
        } catch (refusal) {
          if (values.length <= 1 || !(refusal instanceof TwinrailError) || refusal.retryable) throw refusal
          for (const value of values) await add([value])
        }
        if (error) throw error
      }
      if (head === undefined) throw new TwinrailError('bad-request', 'expected at least one event, got none')
    } catch (error) {
      if (!(error instanceof TwinrailError)) throw error
      const sofar = { ...(first && { first }), ...(head && { head }), count }
      throw new TwinrailError(error.code, count > 0 ? `line ${count + 1}: ${error.message}` : error.message, {
        details: { ...error.details, ...sofar },
        ...(error.retryAfterMs !== undefined && { retryAfterMs: error.retryAfterMs }),
      })
    }
    return { ...(first !== undefined && { first }), head, count }
  }

  /** What must hold for these events to be appended. */
  async #batch(sessionId: string, bodies: readonly Body[], principal: Principal): Promise<Batch> {
    const once: OnceKey[] = []
    const absent = new Set<string>()
    const leases = new Map<string, Lease>()
    const ended = new Map<string, string>()

    for (const [index, { type, runId, data }] of bodies.entries()) {
      if (runId !== undefined) {
        const terminal = ended.get(runId)
        if (terminal) {
          throw new TwinrailError('run-ended', `event ${index}: the run ends before it`, {
            details: { runId, type: terminal },
          })
        }
        if (type === 'run.started') {
          const { agent, input } = data as { agent: string; input?: unknown }
          const note: RunNote = { agent, digest: digest(input), by: principal.id, external: true }
          once.push({ key: keys.run(runId), note, index })
          absent.add(keys.cancel(runId))
        } else if (!leases.has(runId)) {
          await this.#mustOwn(sessionId, runId, principal)
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
    // An `end` key that this very call takes cannot be wanted absent for the events before it.
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

  async #mustOwn(sessionId: string, runId: string, principal: Principal): Promise<void> {
    const [started] = await this.#parts.journal.lookup(sessionId, [keys.run(runId)])
    if (!started) throw runNotFound(runId)
    const { by, external } = started.note as RunNote
    if (!external || by !== principal.id) {
      throw new TwinrailError(
        'forbidden',
        'the run belongs to somebody else; ingest into runs that you opened',
        {
          details: { runId },
        },
      )
    }
  }

  async #append(
    sessionId: string,
    { bodies, conditions }: Batch,
    principal: Principal,
    producer: Producer | undefined,
  ): Promise<Appended> {
    const appended = await this.#parts.journal.append(sessionId, bodies, {
      ...conditions,
      ...(producer && { producer }),
      by: principal.id,
    })
    if (appended.accepted) {
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
   * How many leading events of a refused call the log has from that producer already: they count as done, though they
   * may be what the refusal is about. A call whose events are all done is accepted whatever its conditions; one that is
   * not is refused here, since the key is taken.
   */
  async #done(
    sessionId: string,
    bodies: readonly Body[],
    refusal: Appended & { accepted: false },
    producer: Producer,
  ): Promise<number> {
    if (refusal.reason !== 'key') return 0
    const { epoch, key } = refusal
    let done = 0
    for (let more = bodies.length; done + 1 < more; ) {
      const count = Math.floor((done + more) / 2)
      const asked = await this.#parts.journal.append(sessionId, bodies.slice(0, count), {
        epoch,
        absent: [key],
        producer,
      })
      if (asked.accepted) done = count
      else more = count
    }
    return done
  }

  /** Where a cancel came before the run: tells of the run and its end, and refuses what follows. */
  async #startCancelled(
    sessionId: string,
    bodies: readonly Body[],
    refusal: Appended & { accepted: false },
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

  #refusal(sessionId: string, appended: Appended & { accepted: false }, principal: Principal): TwinrailError {
    if (appended.reason === 'key' && appended.key.startsWith('run:')) {
      const { by, external } = appended.entry.note as RunNote
      if (!external || by !== principal.id) {
        return new TwinrailError('forbidden', 'the runId belongs to somebody else; choose another')
      }
    }
    return refused(sessionId, appended)
  }
}

const requestIdOf = (data: unknown) => (data as { requestId: string }).requestId

/** The producer under a name that no other principal's can have: two may choose the same id. */
function ownedBy(principal: Principal, { id, seq }: Producer): Producer {
  return { id: `${principal.id} ${id}`, seq }
}
