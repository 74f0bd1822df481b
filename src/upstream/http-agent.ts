/** An agent that is an HTTP endpoint: what it streams becomes the events of a run. */
import type { z } from 'zod'
import { type Agent, type RunContext, RunError, type RunResult } from '../agents/agent.ts'
import { ChatInput, conversation } from '../agents/ai-sdk/conversation.ts'
import { safeId } from '../agents/ids.ts'
import { type EventBody, TwinrailError } from '../protocol/index.ts'
import { sleep } from '../protocol/timers.ts'
import type { Answered, Decoder, Turn, UpstreamDialect, UpstreamMessage } from './dialects/dialect.ts'
import { dialectOf, framingOf, mustBe, recognized, unknownBody } from './dialects/index.ts'
import type { UpstreamDialectName } from './dialects/names.ts'
import type { MapFrame } from './dialects/plain.ts'
import { framesOf, type SourceFrame } from './frames.ts'
import { type CallLimits, call, lost, type UpstreamCall, type UpstreamResponse } from './response.ts'
import { ValidEvents } from './valid-events.ts'

export type { UpstreamDialectName } from './dialects/names.ts'
export { upstreamDialects } from './dialects/names.ts'
export type { MapFrame } from './dialects/plain.ts'
export type { SourceFrame } from './frames.ts'

/** Ids of a run, for the addresses of an upstream. */
export interface UpstreamIds {
  /** The session of the run. */
  readonly sessionId: string
  /** The run's id. */
  readonly runId: string
}

/** The options of {@link httpAgent}. */
export interface HttpAgentOptions<Input = ChatInput> {
  /** The name in `run.start`. */
  name: string
  /** The endpoint. Requests go only to this origin. */
  url: string | URL
  /**
   * What the endpoint speaks. `auto` recognizes it by content type and first frame, and sends a request that has the
   * fields of all dialects. @default "auto"
   */
  dialect?: UpstreamDialectName
  /** @default "An agent over HTTP." */
  description?: string
  /** The schema of a run's input. @default `{prompt}` or `{messages}`, and any other fields */
  input?: z.ZodType<Input>
  /** Headers of every request, such as `authorization`; a function is called for each request. They are never logged. */
  headers?: Readonly<Record<string, string>> | (() => MaybePromise<Readonly<Record<string, string>>>)
  /** The body of the first request, in place of the dialect's. */
  body?(input: Input, turn: Turn): unknown
  /** For the dialects `sse`, `ndjson` and `text`: the events of a frame; `undefined` for the usual ones. */
  map?: MapFrame
  /**
   * Called with POST when the run is cancelled; must be of the same origin.
   * @default `openai-responses`: the response's `/cancel`; otherwise none
   */
  stop?(ids: UpstreamIds): string | URL
  /**
   * How a stream goes on that was cut off: `last-event-id` repeats the request with the id of the last frame as
   * `Last-Event-ID`; a function gives the address of a GET that repeats the stream from its beginning, of which what
   * has come is left out.
   * @default `openai-responses`: the response is read on with `starting_after`, if the upstream keeps it; otherwise none,
   * and the run fails as `upstream-lost`
   */
  resume?: 'last-event-id' | ((ids: UpstreamIds) => string | URL)
  /** Maximum time until the headers of a response have arrived, in ms. @default 60000 */
  headersTimeoutMs?: number
  /** Maximum time without a byte, in ms; heartbeats count as bytes. @default 300000 */
  silenceTimeoutMs?: number
  /** Maximum size of one frame, in UTF-16 units. @default 4 Mi */
  maxFrameChars?: number
}

type MaybePromise<T> = T | Promise<T>

const FRAME_CHARS = 4 * 1024 * 1024
const HEADERS_TIMEOUT_MS = 60_000
const SILENCE_TIMEOUT_MS = 300_000

/** Requests of one run: the first, and one after each round of answers. */
const MAX_REQUESTS = 100

/**
 * Attempts to go on with a stream that was cut off, without a frame between them, and the pauses before them, in ms: each is
 * twice as long as the one before, up to the longest. A server has 53 s to come back.
 */
const RESUMES = 10
const RESUME_PAUSE_MS = 200
const LONGEST_PAUSE_MS = 10_000

/** Frames that only show that the upstream lives. */
const HEARTBEAT = /^\s*(?:"?(?:heartbeat|ping|keep-?alive)"?)?\s*$/i

/**
 * Creates an agent that calls an HTTP endpoint and logs what it streams.
 *
 * Promises: everything that arrives is logged in order and as valid events: parts that the endpoint leaves open are
 * ended, large deltas are split, and what the protocol does not have becomes `x.<dialect>.<type>`. The response is read
 * only as fast as the log takes its events. A cancelled run closes the request and calls `stop`. Questions and approvals
 * that end a response become `input.requested`; their answers go back in the next request.
 *
 * The run fails as `upstream-unreachable`, `upstream-timeout`, `upstream-refused` (4xx), `upstream-error` (5xx, or
 * reported in the stream), `upstream-redirect` (to another origin), `upstream-no-stream` (a web page or JSON),
 * `upstream-invalid`, `upstream-too-large` (a frame without end) or `upstream-lost` (the connection ended before the
 * answer did). What came before stays in the log.
 * @throws TypeError when the url is none of http or https
 * @example
 * ```ts
 * import { createServer } from 'twinrail'
 * import { httpAgent } from 'twinrail/agents/http'
 *
 * const support = httpAgent({ name: 'support', url: 'http://localhost:8000/agent', dialect: 'ag-ui' })
 * const server = await createServer({ agents: [support] })
 * ```
 */
export function httpAgent<Input = ChatInput>(options: HttpAgentOptions<Input>): Agent<Input> {
  const url = new URL(options.url)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new TypeError(`expected the url of an http or https server, got ${url.protocol}//…`)
  }
  return {
    name: options.name,
    description: options.description ?? 'An agent over HTTP.',
    input: options.input ?? (ChatInput as unknown as z.ZodType<Input>),
    run: (input, context) => new UpstreamRun(options, url, input, context).run(),
  }
}

class UpstreamRun<Input> {
  readonly #options: HttpAgentOptions<Input>
  readonly #url: URL
  readonly #input: Input
  readonly #context: RunContext
  readonly #limits: CallLimits
  #dialect: UpstreamDialect | undefined
  #events: ValidEvents
  /** Reads the present response. */
  #decoder: Decoder | undefined

  constructor(options: HttpAgentOptions<Input>, url: URL, input: Input, context: RunContext) {
    this.#options = options
    this.#url = url
    this.#input = input
    this.#context = context
    this.#dialect = dialectOf(options.dialect ?? 'auto', options.map)
    this.#events = new ValidEvents(this.#dialect?.name ?? 'sse')
    this.#limits = {
      headersTimeoutMs: options.headersTimeoutMs ?? HEADERS_TIMEOUT_MS,
      silenceTimeoutMs: options.silenceTimeoutMs ?? SILENCE_TIMEOUT_MS,
    }
  }

  async *run(): AsyncGenerator<EventBody, RunResult, void> {
    const { signal } = this.#context
    const onAbort = () => this.#stop()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return yield* this.#requests()
    } catch (error) {
      // What is open must be ended before the run's terminal event.
      yield* this.#events.close()
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  async *#requests(): AsyncGenerator<EventBody, RunResult, void> {
    const turn = await this.#turn()
    let body = this.#options.body?.(this.#input, turn) ?? this.#dialect?.body(turn) ?? unknownBody(turn)
    for (let requests = 0; requests < MAX_REQUESTS; requests++) {
      const decoder = yield* this.#exchange(body)
      if (decoder.questions.length === 0 || !decoder.next) {
        yield* this.#events.close()
        return decoder.result ?? {}
      }
      body = decoder.next(turn, await this.#answers(decoder))
    }
    throw new RunError('upstream-error', `The agent's server asked more than ${MAX_REQUESTS} times.`)
  }

  async #turn(): Promise<Turn> {
    const { sessionId, runId } = this.#context
    const input = (this.#input ?? {}) as Record<string, unknown>
    const chat = ChatInput.safeParse(input)
    const messages = chat.success
      ? ((await conversation(chat.data, () => this.#context.recent())) as UpstreamMessage[])
      : []
    return { sessionId, runId, input, messages }
  }

  async #answers({ questions }: Decoder): Promise<Answered[]> {
    return Promise.all(
      questions.map(async question => {
        const { id, ...request } = question
        const requestId = safeId(`${this.#context.runId}:${id}`).replaceAll(/[^A-Za-z0-9._:-]/g, '-')
        try {
          const { value } = await this.#context.ask({ ...request, requestId })
          return { question, value }
        } catch (error) {
          if (error instanceof TwinrailError && error.code === 'input-expired') {
            throw new RunError('input-expired', 'Nobody answered the question of the agent in time.')
          }
          throw error
        }
      }),
    )
  }

  /** One request and its response, which may take several connections. */
  async *#exchange(body: unknown): AsyncGenerator<EventBody, Decoder, void> {
    let lastId: string | undefined
    let frames = 0
    let skipped = 0
    this.#decoder = undefined
    for (let resumes = 0; ; resumes++) {
      let isConnected = false
      try {
        const upstream = frames > 0 ? this.#resumed(body, lastId) : this.#first(body)
        const response = await call(await this.#withHeaders(upstream), this.#limits, this.#context.signal)
        isConnected = true
        for await (const frame of this.#frames(response)) {
          if (this.#dialect?.framing !== 'text' && isHeartbeat(frame)) continue
          if (skipped > 0) {
            skipped--
            continue
          }
          if (!this.#dialect) yield* this.#recognize(response, frame)
          this.#decoder ??= (this.#dialect as UpstreamDialect).decoder()
          const { position } = this.#decoder
          const events = this.#decoder.decode(frame, this.#events)
          if (position === undefined || this.#decoder.position !== position) {
            frames++
            resumes = 0
          }
          lastId = frame.id ?? lastId
          yield* events
        }
        const decoder = this.#decoder
        if (decoder?.result || (decoder && this.#dialect?.endsWithConnection)) return decoder
        throw lost()
      } catch (error) {
        if (!(error instanceof RunError) || frames === 0) throw error
        const isRefused = !isConnected && /^upstream-(refused|error)$/.test(error.code)
        const mayPass = isRefused ? error.retryable : /^upstream-(lost|unreachable|timeout)$/.test(error.code)
        if (!mayPass || resumes >= RESUMES || !this.#canResume(lastId)) {
          // Nobody has said that this upstream keeps what it streams.
          throw isRefused && this.#options.resume === undefined ? lost(error) : error
        }
        if (typeof this.#options.resume === 'function') skipped = frames
        await sleep(Math.min(RESUME_PAUSE_MS * 2 ** resumes, LONGEST_PAUSE_MS), this.#context.signal)
      }
    }
  }

  #frames(response: UpstreamResponse): AsyncIterable<SourceFrame> {
    const framing = this.#dialect?.framing ?? framingOf(response)
    mustBe(framing, response.contentType)
    return framesOf(response.chunks, framing, this.#options.maxFrameChars ?? FRAME_CHARS)
  }

  #recognize(response: UpstreamResponse, frame: SourceFrame): EventBody[] {
    const framing = framingOf(response)
    this.#dialect = framing === 'sse' ? recognized(response, frame) : dialectOf(framing, this.#options.map)
    const { name } = this.#dialect as UpstreamDialect
    this.#events = new ValidEvents(name)
    return [
      { type: 'run.status', data: { status: 'connected', message: `The agent's server speaks ${name}.` } },
    ]
  }

  #canResume(lastId: string | undefined): boolean {
    const { resume } = this.#options
    if (resume === 'last-event-id') return lastId !== undefined
    return typeof resume === 'function' || this.#decoder?.rest?.(this.#url) !== undefined
  }

  #first(body: unknown): UpstreamCall {
    return { method: 'POST', url: this.#url, headers: {}, body }
  }

  #resumed(body: unknown, lastId: string | undefined): UpstreamCall {
    const { resume } = this.#options
    const address =
      typeof resume === 'function' ? resume(this.#context) : !resume && this.#decoder?.rest?.(this.#url)
    if (address) return { method: 'GET', url: this.#own(address), headers: {} }
    return { ...this.#first(body), headers: lastId === undefined ? {} : { 'last-event-id': lastId } }
  }

  /** An address of the upstream. @throws RunError when it is of another origin */
  #own(address: string | URL): URL {
    const url = new URL(address, this.#url)
    if (url.origin === this.#url.origin) return url
    throw new RunError('upstream-redirect', 'An address of the agent is not of the same origin as its url.')
  }

  async #withHeaders(upstream: UpstreamCall): Promise<UpstreamCall> {
    const { headers } = this.#options
    const own = typeof headers === 'function' ? await headers() : headers
    return {
      ...upstream,
      headers: { accept: 'text/event-stream, application/x-ndjson, text/plain', ...own, ...upstream.headers },
    }
  }

  /** Tells the upstream that the run was cancelled. The request itself is closed by the signal. */
  #stop(): void {
    const { sessionId, runId } = this.#context
    void (async () => {
      const open = this.#decoder?.result ? undefined : this.#decoder
      const given = this.#options.stop?.({ sessionId, runId }) ?? open?.stop?.(this.#url)
      if (!given) return
      const address = this.#own(given)
      const upstream = await this.#withHeaders({ method: 'POST', url: address, headers: {}, body: { runId } })
      const limits = { ...this.#limits, headersTimeoutMs: Math.min(5000, this.#limits.headersTimeoutMs) }
      const { chunks } = await call(upstream, limits, new AbortController().signal)
      for await (const _ of chunks) break
    })().catch(() => {
      // The run is cancelled all the same; the closed request tells the upstream, too.
    })
  }
}

function isHeartbeat({ data, event }: SourceFrame): boolean {
  return HEARTBEAT.test(data) || event === 'ping' || event === 'heartbeat'
}
