/** What a check works with: a session of its own, requests, commands, and a stream over the channel under test. */
import { randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import type { Channel } from './channels.ts'
import { type Got, type Http, Inbox, isEvent, type Message, type Sent, Socket, type Target } from './wire.ts'

/** The options of a subscription. */
export type Params = Record<string, string | number | boolean | undefined>

/** A complete answer. */
export interface Answer {
  status: number
  headers: Readonly<Record<string, string>>
  text: string
  /** The text as JSON; an empty object when it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: what another server answers may be anything
  body: any
}

/** The check cannot be made on this server. */
export class Skipped extends Error {}

/** A subscription, whichever way its messages come. */
export interface Stream {
  next(): Promise<Got>
  /** Everything up to and including the first message of the type. */
  until(type: string): Promise<Got[]>
  /** Events up to `caught-up`. */
  backlog(): Promise<Got[]>
  /** The next events, this many. */
  events(count: number): Promise<Got[]>
  close(): void
}

const JSON_TYPE = { 'content-type': 'application/json' }

export class Check {
  readonly channel: Channel
  /** The id of a session that no other check uses. It does not exist yet. */
  readonly session = `conformance-${randomBytes(9).toString('hex')}`
  readonly target: Target
  readonly signal: AbortSignal
  readonly #http: Http
  readonly #close: (() => void)[] = []
  readonly #sessions = new Set([this.session])
  #commander: Promise<Socket> | undefined
  #ids = 0

  constructor(target: Target, channel: Channel, http: Http, signal: AbortSignal) {
    this.target = target
    this.channel = channel
    this.signal = signal
    this.#http = http
  }

  /** Another session of this check. */
  another(): string {
    const id = `${this.session}-${this.#sessions.size}`
    this.#sessions.add(id)
    return id
  }

  /** One request with its whole answer. */
  async request(path: string, sent: Sent = {}): Promise<Answer> {
    const { status, headers, body } = await this.#open(path, sent)
    let text = ''
    for await (const part of body.setEncoding('utf8')) text += part
    return { status, headers, text, body: parsed(text) }
  }

  post(path: string, body: unknown, headers: Record<string, string> = JSON_TYPE): Promise<Answer> {
    const text = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
    return this.request(path, { method: 'POST', headers, body: text })
  }

  /** The path of the session's routes. */
  path(rest = '', session = this.session): string {
    return `/v1/sessions/${session}${rest}`
  }

  /** Asks again and again, with pauses, until the answer holds. */
  async until<T>(ask: () => Promise<T>, holds: (answer: T) => boolean): Promise<T> {
    for (;;) {
      const answer = await ask()
      if (holds(answer)) return answer
      await new Promise(resolve => setTimeout(resolve, 20))
      this.signal.throwIfAborted()
    }
  }

  async create(session = this.session): Promise<string> {
    const { body, status, text } = await this.post('/v1/sessions', { sessionId: session })
    this.ok(status === 201 || status === 200, `POST /v1/sessions: expected 201, got ${status} ${text}`)
    return body.head
  }

  /** Ingests events; gives the offset of the first. */
  async ingest(events: object | object[], session = this.session): Promise<string> {
    const { status, body, text } = await this.post(this.path('/events', session), events)
    this.equal(status, 200, `ingest: ${text}`)
    return body.first
  }

  /** Ingests `x.n` events with the numbers from 1 to `count` as their data. */
  async numbers(count: number): Promise<string[]> {
    const first = await this.ingest(
      Array.from({ length: count }, (_, i) => ({ type: 'x.n', data: { n: i + 1 } })),
    )
    const [epoch, seq] = first.split('-')
    return Array.from({ length: count }, (_, i) => `${epoch}-${Number(seq) + i}`)
  }

  /** Sends a command over the channel under test; gives its `ack` or `nack`. */
  async command(command: Record<string, unknown>, session = this.session): Promise<Message> {
    const { id = `c${++this.#ids}` } = command as { id?: string }
    if (this.channel !== 'websocket') {
      return (await this.post(this.path('/commands', session), { ...command, id })).body
    }
    this.#commander ??= this.socket()
    const socket = await this.#commander
    socket.send({ sessionId: session, ...command, id })
    for (;;) {
      const { message } = await socket.inbox.next()
      if ((message.type === 'ack' || message.type === 'nack') && message.id === id) return message
    }
  }

  /** A WebSocket, closed with the check. */
  async socket(protocols?: string[]): Promise<Socket> {
    const socket = await Socket.open(this.target, this.signal, protocols)
    this.#close.push(() => socket.close())
    return socket
  }

  /** A WebSocket after its `hello`. */
  async greeted(): Promise<Socket> {
    const socket = await this.socket()
    await nextOf(socket, 'hello')
    return socket
  }

  /** Subscribes over the channel under test. A refusal is an error that begins with its code. */
  async follow(params: Params = {}, { session = this.session, headers = {} } = {}): Promise<Stream> {
    if (this.channel === 'long-poll') return this.#poll(params, session)
    const inbox =
      this.channel === 'websocket'
        ? await this.#subscribe(params, session)
        : await this.#stream(params, session, headers)
    return streamOf(
      () => inbox.next(),
      () => {
        for (const close of this.#close.splice(0)) close()
      },
    )
  }

  /** The code with which a subscription is refused. */
  async refusal(params: Params, session = this.session): Promise<string> {
    try {
      const stream = await this.follow(params, { session })
      const got = await stream.next()
      return `no refusal, but ${got.json}`
    } catch (error) {
      return String((error as Error).message).split(':')[0] as string
    }
  }

  /** The first bytes of an event stream, and its messages. */
  async eventStream(
    query = '',
    sent: Sent = {},
    path = this.path('/events'),
  ): Promise<{ head: Answer; inbox: Inbox }> {
    const { status, headers, body } = await this.#open(path + query, {
      ...sent,
      headers: { accept: 'text/event-stream', ...sent.headers },
    })
    const head: Answer = { status, headers, text: '', body: {} }
    const inbox = new Inbox(this.signal)
    if (status !== 200) {
      for await (const part of body.setEncoding('utf8')) head.text += part
      head.body = parsed(head.text)
      return { head, inbox }
    }
    let rest = ''
    body.setEncoding('utf8').on('data', (part: string) => {
      head.text += head.text.length < 1000 ? part : ''
      const blocks = (rest + part).split('\n\n')
      rest = blocks.pop() as string
      for (const block of blocks) {
        const fields = block.split('\n').map((line): [string, string] => {
          const at = line.indexOf(':')
          return [line.slice(0, at), line.slice(at + 1).replace(/^ /, '')]
        })
        const json = fields.find(([name]) => name === 'data')?.[1]
        if (json !== undefined) inbox.put({ json, message: JSON.parse(json) as Message, fields })
      }
    })
    body.on('close', () => inbox.end('the stream has ended'))
    return { head, inbox }
  }

  ok(holds: unknown, otherwise: string): void {
    if (!holds) throw new Error(otherwise)
  }

  equal(got: unknown, expected: unknown, what: string): void {
    if (!isDeepStrictEqual(got, expected)) {
      throw new Error(`${what}: expected ${brief(expected)}, got ${brief(got)}`)
    }
  }

  /** @throws Skipped */
  skip(why: string): never {
    throw new Skipped(why)
  }

  /** Closes what is open, and deletes the sessions. */
  async end(): Promise<void> {
    for (const close of this.#close) close()
    for (const session of this.#sessions) {
      await this.#http
        .open(this.path('', session), { method: 'DELETE' })
        .then(({ body }) => body.resume())
        .catch(() => {})
    }
  }

  async #open(path: string, sent: Sent) {
    const opened = await this.#http.open(path, sent)
    this.#close.push(opened.close)
    return opened
  }

  async #stream(params: Params, session: string, headers: Record<string, string>): Promise<Inbox> {
    const { head, inbox } = await this.eventStream(
      queryOf(params),
      { headers },
      this.path('/events', session),
    )
    if (head.status === 200) return inbox
    throw new Error(`${head.body.error?.code ?? head.status}: ${head.text}`)
  }

  async #subscribe(params: Params, session: string): Promise<Inbox> {
    const socket = await this.greeted()
    const options = params['create'] === 1 ? { ...params, create: true } : params
    socket.send({ type: 'subscribe', id: 'subscribe', sessionId: session, ...options })
    let { message } = await socket.inbox.next()
    // One follows the `hello` within a second, which may be before the answer.
    while (message.type === 'ping') ({ message } = await socket.inbox.next())
    if (message.type === 'nack') throw new Error(`${message.code}: ${message.message}`)
    return socket.inbox
  }

  /** Page after page, as if they were one stream. */
  async #poll(params: Params, session: string): Promise<Stream> {
    let query: Params = params
    let caughtUp = false
    let isOver = false
    const waiting: Got[] = []
    const poll = async () => {
      const { status, body, text } = await this.request(this.path('/events', session) + queryOf(query), {
        headers: { accept: 'application/json' },
      })
      if (status !== 200) throw new Error(`${body.error?.code ?? status}: ${text}`)
      const { last: _, create: _create, replay, ...rest } = query
      query = { ...rest, after: body.next, wait: 5000, ...(replay !== 'none' && { replay }) }
      const controls = (body.controls as Message[]).map(message => ({
        json: JSON.stringify(message),
        message,
      }))
      const texts = elementsOf(text)
      const ends = controls.filter(({ message }) => message.type === 'end')
      waiting.push(...controls.filter(one => !ends.includes(one)))
      waiting.push(...texts.map(json => ({ json, message: JSON.parse(json) as Message })))
      if (body.caughtUp && !caughtUp) {
        caughtUp = true
        const message = { type: 'caught-up', offset: body.next }
        waiting.push({ json: JSON.stringify(message), message })
      }
      waiting.push(...ends)
      isOver = ends.length > 0
    }
    await poll()
    return streamOf(
      async () => {
        for (;;) {
          const got = waiting.shift()
          if (got) return got
          if (isOver) throw new Error('no further message came: the page had an end')
          if (this.signal.aborted) throw new Error('no further message came in time')
          await poll()
        }
      },
      () => {},
    )
  }
}

/** The next message of a type on a WebSocket, passing over others. */
export async function nextOf(socket: Socket, type: string): Promise<Message> {
  for (;;) {
    const { message } = await socket.inbox.next()
    if (message.type === type) return message
  }
}

function streamOf(next: () => Promise<Got>, close: () => void): Stream {
  const stream: Stream = {
    next,
    close,
    until: type =>
      startedEarly(async () => {
        const all: Got[] = []
        do all.push(await next())
        while (all.at(-1)?.message.type !== type)
        return all
      }),
    backlog: async () => (await stream.until('caught-up')).filter(isEvent),
    events: count =>
      startedEarly(async () => {
        const events: Got[] = []
        while (events.length < count) {
          const got = await next()
          if (isEvent(got) && !got.message.ephemeral) events.push(got)
        }
        return events
      }),
  }
  return stream
}

/** A check may begin to wait, act, and look at the result only then. A failure in between is not an unhandled one. */
function startedEarly<T>(wait: () => Promise<T>): Promise<T> {
  const result = wait()
  result.catch(() => {})
  return result
}

function queryOf(params: Params): string {
  const given = Object.entries(params).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)]],
  )
  return given.length === 0 ? '' : `?${new URLSearchParams(given as [string, string][])}`
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}

/** The JSON texts of a page's events, byte for byte. */
function elementsOf(page: string): string[] {
  const found: string[] = []
  let depth = 0
  let inString = false
  const begin = page.indexOf('[')
  let start = begin + 1
  for (let i = begin; i < page.length; i++) {
    const char = page[i]
    if (inString) {
      if (char === '\\') i++
      else if (char === '"') inString = false
    } else if (char === '"') inString = true
    else if (char === '[' || char === '{') depth++
    else if (char === ']' || char === '}') {
      depth--
      if (depth > 0) continue
      if (i > start) found.push(page.slice(start, i))
      return found
    } else if (char === ',' && depth === 1) {
      found.push(page.slice(start, i))
      start = i + 1
    }
  }
  return found
}

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 300 ? `${text.slice(0, 300)} …` : text
}
