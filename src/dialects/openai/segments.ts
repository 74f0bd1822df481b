/** Responses as parts of runs: started, answered, and found again by the id of a response. */
import { randomUUID } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { ForeignMessage } from '../../agents/agent.ts'
import { parseOffset, TwinrailError } from '../../protocol/index.ts'
import type { ListedAgent } from '../../sessions/agent-list.ts'
import { newSessionId } from '../../sessions/sessions.ts'
import type { TransportContext } from '../../transports/context.ts'
import { mayDo, maySee } from '../allow.ts'
import { findRun, idOf, inputOf, parsePlace, placeOf, runIdOf } from '../chats.ts'
import { givenInput, type Metadata, type OpenQuestion, type Reply } from './requests.ts'

/** A part of a run that one response shows. */
export interface Segment {
  readonly sessionId: string
  readonly runId: string
  readonly epoch: number
  /** Number of the event that it begins with. */
  readonly seq: number
  /** Number of the run's first event. */
  readonly start: number
}

/** The segment as one word, for the ids of responses. */
export function wordOf({ sessionId, runId, seq }: Segment): string {
  return placeOf(sessionId, runId, seq)
}

export class Segments {
  readonly #context: TransportContext

  constructor(context: TransportContext) {
    this.#context = context
  }

  /** Starts a run. @throws TwinrailError the refusal */
  async start(
    request: FastifyRequest,
    agent: ListedAgent,
    sessionId: string,
    messages: readonly ForeignMessage[],
    extra: Record<string, unknown>,
    metadata: Metadata,
  ): Promise<Segment> {
    const principal = await mayDo(this.#context, request, ['run.start', 'subscribe'], sessionId)
    const input = inputOf(agent, messages, { ...extra, metadata }, givenInput(metadata))
    const key = request.headers['idempotency-key']
    const runId = typeof key === 'string' ? runIdOf(key, sessionId) : randomUUID()
    const { offset = '' } = await this.#context.sessions.execute(
      {
        id: 'openai',
        type: 'run.start',
        sessionId,
        agent: agent.name,
        input,
        runId,
        onNoViewers: 'continue',
      },
      principal,
    )
    const { epoch, seq } = parseOffset(offset) as { epoch: number; seq: number }
    return { sessionId, runId, epoch, seq, start: seq }
  }

  /** Answers questions of one run, which goes on. @throws TwinrailError the refusal */
  async answer(request: FastifyRequest, sessionId: string, replies: readonly Reply[]): Promise<Segment> {
    const principal = await mayDo(this.#context, request, ['input.answer', 'subscribe'], sessionId)
    let first: number | undefined
    for (const { requestId, value } of replies) {
      try {
        const ack = await this.#context.sessions.execute(
          { id: 'openai', type: 'input.answer', sessionId, requestId, value },
          principal,
        )
        first ??= parseOffset(ack.offset ?? '')?.seq
      } catch (error) {
        // Somebody else was first: the response goes on after that answer.
        if (!(error instanceof TwinrailError && error.code === 'already-answered')) throw error
        first ??= parseOffset(String(error.details?.['offset']))?.seq
      }
    }
    const { epoch } = await this.#context.journal.session(sessionId)
    const event = first === undefined ? undefined : await this.#context.journal.event(sessionId, first)
    if (!event?.runId) throw new TwinrailError('input-not-found', 'no run waits for these results')
    const run = await this.#context.journal.run(sessionId, event.runId)
    return { sessionId, runId: event.runId, epoch, seq: event.seq, start: run.start }
  }

  /** The open questions of a session; none when it does not exist. */
  async questionsOf(sessionId: string): Promise<readonly OpenQuestion[]> {
    if (!(await this.#context.journal.findSession(sessionId))) return []
    const { pendingInputs } = await this.#context.sessions.describe(sessionId)
    return pendingInputs as unknown as OpenQuestion[]
  }

  /** The part of a run that a response's id names. @throws TwinrailError `run-not-found` */
  async find(request: FastifyRequest, id: string): Promise<Segment> {
    const place = parsePlace(id.replace(/^resp_/, ''))
    const run =
      place &&
      (await maySee(this.#context, request, place.sessionId)) &&
      (await findRun(this.#context, place.sessionId, place.runId))
    if (place && run && place.seq >= run.start) return { ...place, epoch: run.epoch, start: run.start }
    throw new TwinrailError('run-not-found', 'there is no response with this id')
  }

  /** The name of the agent that executes the run. */
  async modelOf({ sessionId, start }: Segment): Promise<string> {
    const started = await this.#context.journal.event(sessionId, start)
    return started?.event.type === 'run.started' ? started.event.data.agent : 'unknown'
  }
}

/** A session for a request that names none: a new one, unless the client says that it repeats itself. */
export function sessionFor(request: FastifyRequest, metadata: Metadata): string {
  const named = metadata?.['conversation']
  if (named) return idOf(named)
  const key = request.headers['idempotency-key']
  return typeof key === 'string' && key !== '' ? idOf(`key:${runIdOf(key)}`) : newSessionId()
}
