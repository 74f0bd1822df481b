/** Executes commands that change a session. Each becomes an event; of conflicting commands, the first in the log wins. */
import { randomUUID } from 'node:crypto'
import type { Agent } from '../agents/agent.ts'
import { textOfInput } from '../agents/chat-fields.ts'
import { type Body, type Journal, offsetOf, runNotFound } from '../bus/journal.ts'
import type { Tracing } from '../bus/tracing.ts'
import { COMMAND_KEY_TTL_MS, keys } from '../log/keys.ts'
import type { AppendConditions, Appended, KeyEntry, OnceKey } from '../log/log.ts'
import { beginning, type Command, check, type SessionCommand, TwinrailError } from '../protocol/index.ts'
import type { Expiry } from './expiry.ts'
import type { AnswerNote, RunNote } from './key-notes.ts'
import type { OpenRun, Principal } from './principal.ts'
import type { ProducerRuns } from './producer-runs.ts'
import { refusalError, runEnded } from './refused-append.ts'
import { type AckFields, ackOf, digest, repeatedAnswer, repeatedStart } from './repeats.ts'
import type { Runner, StartedRun } from './runner.ts'
import type { SchemaChecker } from './schemas/checker.ts'
import type { SessionStates } from './states.ts'
import type { Place, Workers } from './workers/workers.ts'

type Of<T extends SessionCommand['type']> = Extract<SessionCommand, { type: T }>

export interface CommandParts {
  readonly journal: Journal
  readonly states: SessionStates
  readonly runner: Runner
  readonly expiry: Expiry
  readonly schemas: SchemaChecker
  readonly agents: ReadonlyMap<string, Agent>
  readonly workers: Workers
  /** Keeps the runs of workers counted. */
  readonly producerRuns: ProducerRuns
  readonly tracing?: Tracing | undefined
  /** Counts a run of a principal as open until the returned function is called. @throws TwinrailError `rate-limited` */
  readonly openRun: OpenRun
}

/** A run whose `run.started` is in the log. */
type Started = Pick<
  StartedRun,
  'sessionId' | 'runId' | 'epoch' | 'startSeq' | 'by' | 'onNoViewers' | 'traceparent' | 'onDone'
>

/** Where a run will be executed: in this process, or by a worker. */
type StartPlace = Omit<Place, 'begin'> & { begin(started: Started): void }

interface Startable {
  readonly inputText?: string | undefined
  /** What the run's note has in addition. */
  readonly ofWorker?: Pick<RunNote, 'work'>
  placeOf(runId: string): Promise<StartPlace>
}

/**
 * Whether a command only appends one event, under no condition. Several of one session may be executed at the same time:
 * they take effect in the order in which they were begun.
 */
export function isJoint(command: Command): boolean {
  if (command.type !== 'publish') return false
  const { key, ephemeral, event } = command
  return key === undefined && !ephemeral && event.runId === undefined
}

export class Commands {
  readonly #parts: CommandParts

  constructor(parts: CommandParts) {
    this.#parts = parts
  }

  /**
   * Executes a command; resolves with its ack when its event is in the log. A repeated command changes nothing and gets
   * the ack of the first. A repeat is recognised by its `key`; `run.start` also by its runId, `input.answer` by its value.
   * @throws TwinrailError the reason of a refusal; the session has not changed then
   */
  async execute(command: SessionCommand, principal: Principal): Promise<AckFields> {
    if (command.key !== undefined) {
      const [session, [entry]] = await Promise.all([
        this.#parts.journal.findSession(command.sessionId),
        this.#parts.journal.lookup(command.sessionId, [keys.command(principal.id, command.key)]),
      ])
      if (session && entry) return ackOf(session.epoch, entry)
    }
    switch (command.type) {
      case 'run.start':
        return this.#start(command, principal)
      case 'run.cancel':
        return this.#cancel(command, principal)
      case 'input.answer':
        return this.#answer(command, principal)
      case 'input.steer':
        return this.#steer(command, principal)
      case 'publish':
        return this.#publish(command, principal)
    }
  }

  async #start(command: Of<'run.start'>, principal: Principal): Promise<AckFields> {
    const { sessionId, runId = randomUUID(), onNoViewers } = command
    const noteOf = (): RunNote => ({
      agent: command.agent,
      digest: digest(command.input),
      by: principal.id,
      ...(onNoViewers !== 'continue' && { onNoViewers }),
    })
    if (command.runId !== undefined) {
      const earlier = await this.#findEntry(sessionId, keys.run(runId))
      if (earlier) return repeatedStart(earlier.epoch, runId, earlier.entry, noteOf())
    }
    const { inputText, placeOf, ofWorker } = await this.#startable(command)
    // A digest takes longer than a check, so what is refused gets none.
    const note = { ...noteOf(), ...ofWorker }
    const traceparent = this.#parts.tracing?.traceparent()
    const started = {
      type: 'run.started',
      runId,
      data: {
        agent: command.agent,
        input: command.input,
        messageId: randomUUID(),
        ...(inputText !== undefined && { inputText }),
        ...(traceparent !== undefined && { traceparent }),
      },
    }
    const ack = { runId }
    const run = { key: keys.run(runId), note }
    const onDone = this.#parts.openRun(principal.id)
    let place: StartPlace | undefined
    let isRunning = false
    try {
      place = await placeOf(runId)
      const waiting = place.waits ? [{ type: 'run.status', runId, data: { status: 'queued' } }] : []
      let appended = await this.#append(command, principal, [started, ...waiting], ack, {
        create: true,
        once: [run],
        absent: [keys.cancel(runId)],
        leases: [{ ...place.lease, runId }],
      })
      if (!appended.accepted && appended.reason === 'key' && appended.key === keys.cancel(runId)) {
        // The run was cancelled before it was started: log its start and its end, and never run the agent.
        const { reason } = appended.entry.note as { reason: string }
        const cancelled = { type: 'run.cancelled', runId, data: { reason } }
        appended = await this.#append(command, principal, [started, cancelled], ack, {
          once: [run, { key: keys.end(runId), note: { type: 'run.cancelled' }, index: 1 }],
        })
        if (appended.accepted) return { ...ack, offset: offsetOf(appended, appended.first) }
      }
      if (!appended.accepted) {
        if (appended.reason === 'key' && appended.key === run.key) {
          return repeatedStart(appended.epoch, runId, appended.entry, note)
        }
        return this.#settle(command, principal, appended)
      }
      const { epoch, first: startSeq } = appended
      isRunning = true
      const { begin } = place
      const by = principal.id
      // In a later turn of the event loop, so that the ack is written before the run's first event.
      setImmediate(() => begin({ sessionId, runId, epoch, startSeq, by, onNoViewers, traceparent, onDone }))
      return { ...ack, offset: offsetOf({ epoch }, startSeq) }
    } finally {
      if (!isRunning) {
        onDone()
        place?.cancel()
      }
    }
  }

  /** What a run of the command's agent needs. @throws TwinrailError `agent-not-found`; `bad-request` for its input */
  async #startable(command: Of<'run.start'>): Promise<Startable> {
    const { agents, runner, workers, producerRuns, schemas } = this.#parts
    const own = agents.get(command.agent)
    if (own) {
      const input = check(own.input, command.input, 'input')
      return {
        inputText: own.inputText ? own.inputText(input) : textOfInput(own.chat ?? {}, input),
        placeOf: async runId => ({
          lease: runner.lease(runId),
          waits: false,
          begin: started => runner.start({ ...started, agent: own, input }),
          cancel: () => {},
        }),
      }
    }
    const agent = workers.agent(command.agent)
    if (!agent) {
      throw new TwinrailError(
        'agent-not-found',
        'the server has no agent of this name; GET /v1/agents lists its agents',
        {
          details: { agent: beginning(command.agent, 256) },
        },
      )
    }
    const { input } = command
    await schemas.checkInput(agent.input, input)
    return {
      inputText: textOfInput(agent.chat ?? {}, input),
      ofWorker: { work: { resume: agent.resume } },
      placeOf: async () => {
        const place = await workers.place(agent.name, command.sessionId)
        return {
          ...place,
          begin: ({ onDone, ...started }) => {
            producerRuns.add(started.sessionId, started.runId, onDone)
            place.begin({ ...started, input })
          },
        }
      },
    }
  }

  async #cancel(command: Of<'run.cancel'>, principal: Principal): Promise<AckFields> {
    const { sessionId, runId, reason } = command
    const { epoch } = await this.#parts.journal.session(sessionId)
    const cancelReason = reason ?? 'requested'
    const [started] = await this.#parts.journal.lookup(sessionId, [keys.run(runId)])
    if (!started) {
      const noted = await this.#append(
        command,
        principal,
        [],
        {},
        {
          epoch,
          once: [{ key: keys.cancel(runId), note: { reason: cancelReason }, ttlMs: COMMAND_KEY_TTL_MS }],
          absent: [keys.run(runId)],
        },
      )
      if (noted.accepted) return {}
      const key = noted.reason === 'key' ? noted.key : undefined
      if (key === keys.cancel(runId)) return {}
      // Unless the run was started since the look-up, the refusal is final.
      if (key !== keys.run(runId)) return this.#settle(command, principal, noted)
    }
    const bodies = [
      { type: 'run.cancel-requested', runId, data: reason === undefined ? {} : { reason } },
      { type: 'run.cancelled', runId, data: { reason: cancelReason } },
    ]
    const appended = await this.#append(
      command,
      principal,
      bodies,
      {},
      {
        epoch,
        once: [{ key: keys.end(runId), note: { type: 'run.cancelled' }, index: 1 }],
        release: [runId],
      },
    )
    return this.#settle(command, principal, appended)
  }

  async #answer(command: Of<'input.answer'>, principal: Principal): Promise<AckFields> {
    const { journal, states, expiry, schemas } = this.#parts
    const { sessionId, requestId, value } = command
    const session = await journal.session(sessionId)
    const { epoch } = session
    const [question, answer] = await journal.lookup(sessionId, [
      keys.input(requestId),
      keys.answer(requestId),
    ])
    if (!question) {
      throw new TwinrailError('input-not-found', 'the session has no question with this requestId', {
        details: { requestId },
      })
    }
    if (answer) return repeatedAnswer(epoch, requestId, answer, value, principal)
    const { runId } = (question.note ?? {}) as { runId?: string }
    const [end] = runId === undefined ? [] : await journal.lookup(sessionId, [keys.end(runId)])
    if (end) throw runEnded(epoch, runId as string, end)

    const pending = await states.pendingInput(await journal.session(sessionId), requestId)
    if (pending?.expiresAt !== undefined && pending.expiresAt <= Date.now()) {
      await expiry.expire(sessionId, epoch, runId, requestId)
    }
    if (pending?.schema !== undefined) await schemas.checkAnswer(pending.schema, value)

    const note: AnswerNote = { by: principal.id, value }
    const body = { type: 'input.answered', runId, data: { requestId, value } }
    const appended = await this.#append(
      command,
      principal,
      [body],
      {},
      {
        epoch,
        once: [{ key: keys.answer(requestId), note }],
        beyondLimit: true,
        absent: runId === undefined ? [] : [keys.end(runId)],
      },
    )
    if (!appended.accepted && appended.reason === 'key' && appended.key === keys.answer(requestId)) {
      return repeatedAnswer(epoch, requestId, appended.entry, value, principal)
    }
    return this.#settle(command, principal, appended)
  }

  async #steer(command: Of<'input.steer'>, principal: Principal): Promise<AckFields> {
    const { sessionId, runId, text } = command
    const { epoch } = await this.#parts.journal.session(sessionId)
    await this.#mustHaveRun(sessionId, runId)
    const ack = { inputId: randomUUID() }
    const body = { type: 'input.steered', runId, data: { ...ack, text } }
    const appended = await this.#append(command, principal, [body], ack, {
      epoch,
      absent: [keys.end(runId)],
    })
    return this.#settle(command, principal, appended, ack)
  }

  async #publish(command: Of<'publish'>, principal: Principal): Promise<AckFields> {
    const { sessionId, ephemeral } = command
    const event = this.#parts.schemas.own.checked(command.event, 'event')
    const { runId } = event
    if (isJoint(command)) {
      return this.#settle(
        command,
        principal,
        await this.#parts.journal.publish(sessionId, event, principal.id),
      )
    }
    if (runId !== undefined) {
      await this.#parts.journal.session(sessionId)
      await this.#mustHaveRun(sessionId, runId)
    }
    const absent = runId === undefined ? [] : [keys.end(runId)]
    const bodies = ephemeral ? [] : [event]
    const appended = await this.#append(command, principal, bodies, {}, { create: true, absent })
    if (!ephemeral) return this.#settle(command, principal, appended)
    if (!appended.accepted) return this.#settle(command, principal, appended)
    await this.#parts.journal.publishEphemeral(sessionId, event, principal.id)
    return {}
  }

  /** Appends with the principal as author, and takes the command's key if it has one. */
  async #append(
    command: SessionCommand,
    principal: Principal,
    bodies: readonly Body[],
    ack: AckFields,
    conditions: AppendConditions,
  ): Promise<Appended> {
    const { key } = command
    const by = principal.id
    if (key === undefined) return this.#parts.journal.append(command.sessionId, bodies, { ...conditions, by })
    const taken: OnceKey = { key: keys.command(by, key), note: ack, ttlMs: COMMAND_KEY_TTL_MS }
    const once = [taken, ...(conditions.once ?? [])]
    return this.#parts.journal.append(command.sessionId, bodies, { ...conditions, once, by })
  }

  /** The ack of an accepted append, or of the earlier command with the same key. @throws TwinrailError the refusal */
  #settle(command: SessionCommand, principal: Principal, appended: Appended, ack: AckFields = {}): AckFields {
    if (appended.accepted) return { ...ack, offset: offsetOf(appended, appended.first) }
    if (appended.reason === 'key' && appended.key === keys.command(principal.id, command.key ?? '')) {
      return ackOf(appended.epoch, appended.entry)
    }
    throw refusalError(command.sessionId, appended)
  }

  /** The entry of a key, in a session that may not exist. */
  async #findEntry(sessionId: string, key: string): Promise<{ epoch: number; entry: KeyEntry } | undefined> {
    const session = await this.#parts.journal.findSession(sessionId)
    const [entry] = session ? await this.#parts.journal.lookup(sessionId, [key]) : []
    return session && entry && { epoch: session.epoch, entry }
  }

  /** @throws TwinrailError `run-not-found` */
  async #mustHaveRun(sessionId: string, runId: string): Promise<void> {
    const [started] = await this.#parts.journal.lookup(sessionId, [keys.run(runId)])
    if (!started) throw runNotFound(runId)
  }
}
