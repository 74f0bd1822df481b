/**
 * For applications that call `streamText` themselves: writes its result into a session of a Twinrail server, as a run
 * that any client can watch. Needs no package, so it may run where the application does, such as in a Next.js route.
 */
import { randomUUID } from 'node:crypto'
import type { EventBody } from '../../protocol/index.ts'
import { sleep } from '../../protocol/timers.ts'
import type { Chunk } from './chunks.ts'
import { decode, newDecodeState } from './decode.ts'

/** The session that a result is written to. */
export interface PipeSession {
  /** The server, such as `http://127.0.0.1:8787`. */
  url: string
  /** The session; it is created when it is missing. */
  sessionId: string
  /** Headers of every request, such as `authorization`. */
  headers?: Record<string, string>
}

/** The run that a result becomes. */
export interface PipeOptions {
  /** @default a new random one */
  runId?: string
  /** The name under which the run is listed. @default "ai-sdk" */
  agent?: string
  /** What the run was asked, as its clients show it. @default null */
  input?: unknown
}

/** Events that wait for the server; with more, the result is not read on. */
const MAX_WAITING = 1000

/** Attempts at one request, and the pause after the first that failed, in ms; it doubles each time. */
const ATTEMPTS = 6
const PAUSE_MS = 250

/** Event types that only commands make. */
const commandOnly = /^(input\.(answered|steered)|run\.cancel-requested)$/

/**
 * Writes the UI message stream of a result, with its tools, reasoning, sources and data, into a session. Resolves with
 * the run's id once its terminal event is in the log. A run whose result fails ends as failed.
 * @throws Error when the server refuses an event, or cannot be reached for about 8 s
 * @example
 * ```ts
 * import { streamText, type LanguageModel } from 'ai'
 * import { pipeUIMessageStream } from 'twinrail/ai-sdk'
 *
 * export async function answer(model: LanguageModel, sessionId: string, prompt: string) {
 *   const result = streamText({ model, prompt })
 *   return pipeUIMessageStream({ url: 'http://127.0.0.1:8787', sessionId }, result, { input: { prompt } })
 * }
 * ```
 */
export async function pipeUIMessageStream(
  session: PipeSession,
  result: { toUIMessageStream(): AsyncIterable<unknown> | ReadableStream<unknown> },
  options: PipeOptions = {},
): Promise<{ runId: string }> {
  const state = newDecodeState()
  return pipe(session, options, async function* () {
    for await (const chunk of iterable(result.toUIMessageStream())) yield decode(state, chunk as Chunk)
    if (!state.hasEnded) yield [{ type: 'run.completed', data: {} }]
  })
}

/**
 * Writes the text of a result into a session, as one text. See {@link pipeUIMessageStream}.
 */
export async function pipeTextStream(
  session: PipeSession,
  result: { textStream: AsyncIterable<string> | ReadableStream<string> },
  options: PipeOptions = {},
): Promise<{ runId: string }> {
  return pipe(session, options, async function* (): AsyncGenerator<EventBody[], void, void> {
    yield [{ type: 'text.start', data: { partId: 'text' } }]
    for await (const delta of iterable(result.textStream)) {
      if (delta !== '') yield [{ type: 'text.delta', data: { partId: 'text', delta } }]
    }
    yield [
      { type: 'text.end', data: { partId: 'text' } },
      { type: 'run.completed', data: {} },
    ]
  })
}

async function* iterable<T>(source: AsyncIterable<T> | ReadableStream<T>): AsyncGenerator<T, void, void> {
  // Older browsers and runtimes have streams that cannot be iterated over.
  if (Symbol.asyncIterator in source) yield* source as AsyncIterable<T>
  else {
    const reader = (source as ReadableStream<T>).getReader()
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value
  }
}

async function pipe(
  session: PipeSession,
  { runId = randomUUID(), agent = 'ai-sdk', input = null }: PipeOptions,
  events: () => AsyncGenerator<EventBody[], void, void>,
): Promise<{ runId: string }> {
  const writer = new Writer(session, runId)
  await writer.add([{ type: 'run.started', data: { agent, input } }])
  try {
    for await (const bodies of events()) await writer.add(bodies)
  } catch (error) {
    if (writer.failure === undefined) {
      const message = error instanceof Error ? error.message : String(error)
      await writer.add([{ type: 'run.failed', data: { code: 'agent-error', message } }])
    }
  }
  await writer.flush()
  return { runId }
}

/** Sends events in order, those that came meanwhile together. A repeated request changes nothing: see `producer`. */
class Writer {
  readonly #session: PipeSession
  readonly #runId: string
  readonly #producer = randomUUID()
  #waiting: object[] = []
  #sent = 0
  #sending: Promise<void> | undefined
  failure: unknown

  constructor(session: PipeSession, runId: string) {
    this.#session = session
    this.#runId = runId
  }

  async add(bodies: readonly EventBody[]): Promise<void> {
    for (const body of bodies) {
      if (!commandOnly.test(body.type)) this.#waiting.push({ ...body, runId: this.#runId })
    }
    this.#sending ??= this.#send()
    if (this.#waiting.length >= MAX_WAITING) await this.#sending
    if (this.failure !== undefined) throw this.failure
  }

  async flush(): Promise<void> {
    await this.#sending
    if (this.failure !== undefined) throw this.failure
  }

  async #send(): Promise<void> {
    // What comes in this turn goes together.
    await Promise.resolve()
    try {
      while (this.#waiting.length > 0) {
        const batch = this.#waiting.splice(0, MAX_WAITING)
        await this.#post(batch)
        this.#sent += batch.length
      }
    } catch (error) {
      this.failure = error
    }
    this.#sending = undefined
  }

  async #post(batch: readonly object[]): Promise<void> {
    const { url, sessionId, headers } = this.#session
    const target = `${url}/v1/sessions/${encodeURIComponent(sessionId)}/events?producer=${this.#producer}&seq=${this.#sent}`
    for (let attempt = 1; ; attempt++) {
      try {
        const response = await fetch(target, {
          method: 'POST',
          headers: { ...headers, 'content-type': 'application/json' },
          body: JSON.stringify(batch),
        })
        const text = await response.text()
        if (response.ok) return
        if (response.status < 500 && response.status !== 429) throw new Refused(`${response.status} ${text}`)
        throw new Error(`${response.status} ${text}`)
      } catch (error) {
        if (error instanceof Refused || attempt >= ATTEMPTS) throw error
        await sleep(PAUSE_MS * 2 ** (attempt - 1))
      }
    }
  }
}

/** The server will not take these events, however often they are sent. */
class Refused extends Error {}
