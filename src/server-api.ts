/** What the program that has a server may do with it: publish, and manage sessions. It needs no permission. */
import type { FastifyInstance } from 'fastify'
import type { Target } from './auth/revocations.ts'
import { formatPlace, PLACE, parsePlace, placeOf } from './log/activity.ts'
import {
  type ControlOf,
  check,
  type EventBody,
  Id,
  Offset,
  type OnNoViewers,
  SessionCommand,
  TwinrailError,
  type TwinrailEvent,
  WAIT_MS,
} from './protocol/index.ts'
import type { Typed } from './server-types.ts'
import type { SessionDescription } from './sessions/description.ts'
import type { Principal } from './sessions/principal.ts'
import type { AckFields } from './sessions/repeats.ts'
import { type SessionSummary, summaryOf } from './sessions/sessions.ts'
import type { TransportContext } from './transports/context.ts'
import { readPage } from './transports/long-poll-page.ts'

/** Who an action of the program itself is recorded for, unless it says otherwise. */
const SERVER = 'server'

/** For whom an action of the program is recorded. */
export interface ByOption {
  /** The id of the principal that the action is recorded for: the `by` of its events. @default "server" */
  by?: string
}

/** The program's own way to the sessions of a server. Every method throws `unavailable` while the log cannot be reached. */
export interface ServerSessions {
  /**
   * Creates a session; resolves with `created: false` when it exists, and leaves that as it is.
   * @param options.sessionId default a new id that nobody can guess
   * @param options.metadata default `{}`; at most 16 KiB of JSON
   */
  create(
    options?: { sessionId?: string; metadata?: Record<string, unknown> } & ByOption,
  ): Promise<{ created: boolean; sessionId: string; head: string }>
  /** The session with its runs and open questions, as `GET /v1/sessions/:sessionId` has it. @throws `session-not-found` */
  get(sessionId: string): Promise<SessionDescription>
  /**
   * A page of all sessions, the last active ones first.
   * @param options.after the `next` of the page before
   * @param options.limit 1 to 1000; default 100
   */
  list(options?: {
    after?: string
    limit?: number
  }): Promise<{ sessions: readonly SessionSummary[]; next?: string }>
  /**
   * Changes the metadata by a JSON Merge Patch; subscribers get `session.updated`.
   * @throws `session-not-found`, `too-large`
   */
  update(sessionId: string, metadata: Record<string, unknown>, options?: ByOption): Promise<SessionSummary>
  /** Deletes the session: its runs are aborted and its streams end. Resolves with `false` when there was none. */
  delete(sessionId: string): Promise<boolean>
  /**
   * The session's events in order, from the log. Without `follow` it ends at the newest one. A `gap` says which events
   * retention has deleted, a `reset` that the session was deleted and made anew: discard what came before.
   * @param options.after start after this offset; default from the oldest event
   * @param options.run only the events of this run, up to its terminal event
   * @param options.follow waits for further events, until the session is deleted or the server stops
   * @param options.signal ends the wait
   * @throws `session-not-found`, `run-not-found`, `bad-request`
   */
  events(
    sessionId: string,
    options?: { after?: string; run?: string; follow?: boolean; signal?: AbortSignal },
  ): AsyncGenerator<TwinrailEvent | ControlOf<'gap'> | ControlOf<'reset'>, void, undefined>
  /**
   * Starts a run, and creates the session when it is missing. Resolves once `run.started` is in the log. The `runId` of an
   * existing run gives the same answer again.
   * @param run.runId default a new random id
   * @throws `agent-not-found`, `bad-request` for a wrong input, `conflict`
   */
  start(
    sessionId: string,
    run: { agent: string; input?: unknown; runId?: string; onNoViewers?: OnNoViewers } & ByOption,
  ): Promise<{ runId: string; offset: string }>
  /** Cancels a run. @throws `session-not-found`, `run-ended` */
  cancel(sessionId: string, runId: string, options?: { reason?: string } & ByOption): Promise<void>
}

/** What every server offers to the program that has it, wherever it listens. */
export interface ServerApi {
  /**
   * Appends an event, or an array of them (all or none), and creates the session when it is missing. Resolves with the
   * first one's offset once they are in the log.
   *
   * An event of your own (`x.…`) may name any open run as its `runId`. Events of the protocol's types may name runs that
   * were opened by a `run.started` published with the same `by`; such a run ends as `producer-lost` when nothing is
   * published in it for `producerLeaseMs`.
   * @param options.ephemeral sends one event of your own to live subscribers only; it is not logged and has no offset
   * @throws `bad-request`, `forbidden` for a run of another owner, `run-not-found`, `run-ended`, `conflict`, `too-large`
   */
  publish(
    sessionId: string,
    event: EventBody | readonly EventBody[],
    options?: { ephemeral?: boolean } & ByOption,
  ): Promise<{ offset?: string }>
  /** Creates, reads, changes and deletes sessions, and starts and cancels runs. */
  readonly sessions: ServerSessions
  /**
   * Authorizes what is open again, on all nodes of the log: the streams and waiting requests of a principal, of a session,
   * or all of them. Call it when rights have changed. Resolves once all nodes were told.
   * @throws TwinrailError `unavailable`
   */
  reauthorize(target?: Target): Promise<void>
}

/** The times of {@link Closable.close}. */
export interface CloseOptions {
  /** Time that runs have to end, in ms; the others are failed as `restart`. @default 10 s */
  graceMs?: number
  /** Time for which the server works as before while `/readyz` answers 503, in ms. @default 0 */
  drainMs?: number
}

/** What has a time to stop. */
export interface Closable {
  /**
   * Stops. It works as before for `drainMs` while `/readyz` answers 503. Then it refuses new requests, gives runs `graceMs`
   * to end, sends every subscriber the time to reconnect after, and closes the log. Later calls wait for the first.
   */
  close(options?: CloseOptions): Promise<void>
}

/** A server that listens itself. Its type has those of its agents and of the application's own events. */
export interface TwinrailServer<Types = unknown> extends ServerApi, Closable, Typed<Types> {
  /** The Fastify instance, for routes of your own. Add them before `listen`. */
  readonly app: FastifyInstance
  /**
   * Starts to listen. Resolves with the address, such as `http://127.0.0.1:8787`.
   * @throws Error when the host is not loopback and there is neither an `authorize` hook nor `insecure`
   */
  listen(options?: { host?: string; port?: number }): Promise<string>
}

/** The methods over the parts of a server. @internal */
export function createServerApi(context: TransportContext): ServerApi {
  const { sessions, journal, door, connections } = context

  function execute(command: unknown, principal: Principal): Promise<AckFields> {
    return sessions.execute(check(SessionCommand, command, 'command'), principal)
  }

  return {
    async publish(sessionId, event, { ephemeral = false, by = SERVER } = {}) {
      check(Id, sessionId, 'sessionId')
      const isOwn = !Array.isArray(event) && (event as EventBody).type?.startsWith('x.')
      if (ephemeral || isOwn) {
        const { offset } = await execute(
          { id: '1', type: 'publish', sessionId, event, ephemeral },
          { id: by },
        )
        return offset === undefined ? {} : { offset }
      }
      const events = [event].flat() as EventBody[]
      if (events.length === 0) return {}
      const { first } = await sessions.ingest(sessionId, events, { id: by })
      return first === undefined ? {} : { offset: first }
    },

    reauthorize: (target = {}) => door.revoke(target, { voids: false }),

    sessions: {
      async create({ sessionId, metadata, by = SERVER } = {}) {
        if (sessionId !== undefined) check(Id, sessionId, 'sessionId')
        return sessions.create(sessionId, metadata, by)
      },

      get: async sessionId => sessions.describe(check(Id, sessionId, 'sessionId')),

      async list({ after, limit = 100 } = {}) {
        if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
          throw new TwinrailError('bad-request', `limit: received ${limit}, expected 1 to 1000`)
        }
        if (after !== undefined && !PLACE.test(after)) {
          throw new TwinrailError('bad-request', 'after: expected the `next` of a page')
        }
        const found = await journal.recent(after === undefined ? undefined : parsePlace(after), limit)
        const last = found.at(-1)
        return {
          sessions: found.map(summaryOf),
          ...(last && found.length === limit && { next: formatPlace(placeOf(last)) }),
        }
      },

      update: async (sessionId, metadata, { by = SERVER } = {}) =>
        sessions.update(check(Id, sessionId, 'sessionId'), metadata, { id: by }),

      delete: async sessionId => sessions.delete(check(Id, sessionId, 'sessionId')),

      async *events(sessionId, { after, run, follow = false, signal } = {}) {
        check(Id, sessionId, 'sessionId')
        if (after !== undefined) check(Offset, after, 'after')
        if (run !== undefined) check(Id, run, 'run')
        const stopped = new AbortController()
        const stopsWaiting = connections.wait(() => stopped.abort())
        const either = AbortSignal.any([stopped.signal, ...(signal ? [signal] : [])])
        // The program is no viewer: a run that nobody else watches may end as `onNoViewers` says.
        const { presence: _, ...reading } = context
        try {
          for (let cursor = after; ; ) {
            const options = { after: cursor, last: undefined, run, replay: 'full' as const }
            const waitMs = follow && !either.aborted ? WAIT_MS : 0
            const page = await readPage(reading, { sessionId, options, waitMs, signal: either })
            for (const control of page.controls) {
              if (control.type === 'gap' || control.type === 'reset') yield control
            }
            for (const { event } of page.events) yield event
            const isOver = page.controls.some(({ type }) => type === 'end')
            if (isOver || (page.caughtUp && (!follow || either.aborted))) return
            cursor = page.next
          }
        } finally {
          stopsWaiting()
        }
      },

      async start(sessionId, { by = SERVER, input = null, ...run }) {
        const command = { id: '1', type: 'run.start', sessionId, input, ...run }
        const { runId = '', offset = '' } = await execute(command, { id: by })
        return { runId, offset }
      },

      async cancel(sessionId, runId, { reason, by = SERVER } = {}) {
        const command = {
          id: '1',
          type: 'run.cancel',
          sessionId,
          runId,
          ...(reason !== undefined && { reason }),
        }
        await execute(command, { id: by })
      },
    },
  }
}
