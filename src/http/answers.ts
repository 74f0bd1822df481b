/** Bounds the memory of unsent responses: limits the requests of a connection that are answered at a time. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { constants, type Http2ServerRequest, type Http2Session } from 'node:http2'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { PAGE_BYTES } from '../protocol/index.ts'
import type { Arriving } from './arriving.ts'
import { streamOf } from './http2.ts'
import type { ConnectionLimits } from './limits.ts'
import { dropRest, withoutStacks, withStacks } from './pipelines.ts'
import { type Sending, StallWatch } from './stalled-answers.ts'
import type { Turnstile } from './turnstile.ts'
import { countWaitingBody } from './waiting-bodies.ts'

/** Size of the pieces in which a long answer is written, in bytes. Pieces make progress visible. */
const PIECE_BYTES = 64 * 1024

/** Maximum number of waiting requests of all connections. A connection that adds one more is closed. */
const WAITING = 2000

export type AnswerLimits = Pick<ConnectionLimits, 'answers' | 'answerBytes' | 'allAnswerBytes'> & {
  /** Time without progress after which an answer's connection, or on HTTP/2 its stream, is closed; in ms. */
  stallMs: number
}

/** A request that waits until its connection may answer one more. */
interface Turn {
  readonly response: ServerResponse
  readonly heavy: boolean
  /** The request was started before and parked, such as a long-poll that waited for events. */
  readonly resumed: boolean
  start(): void
}

/** One connection: its waiting requests, and its answers that are in preparation or being sent. */
interface Connection {
  /** The socket, on HTTP/1.1 only. */
  readonly socket: Socket | undefined
  /** Resumed requests are started before new ones. Arrays, since an empty `Set` takes 200 bytes of each idle connection. */
  readonly resumed: Turn[]
  readonly waiting: Turn[]
  /** Number of unfinished answers; on HTTP/2 only of those that are booked. */
  running: number
  bytes: number
  /** The socket is paused because requests wait. */
  held: boolean
}

/** An answer in preparation or being sent. */
interface Answer extends Sending {
  readonly connection: Connection
  /** Bytes booked for it: the maximum size of a page until its own size is known. */
  bytes: number
  /** No bytes are booked for it: an event stream, a waiting long-poll, or a command. */
  parked: boolean
}

/**
 * Starts requests, and delays some of them until the client has read earlier answers. A request of 80 bytes can cause a
 * page of 1 MB, so a client that requests pages without reading them would fill the memory.
 *
 * Answers to GET may be large, except event streams, which have their own bounds. On HTTP/2 a few of them are in
 * preparation at a time. On HTTP/1.1 answers are sent in the order of their requests, so a large one is started only
 * after all earlier ones have been sent: behind a stream it would occupy memory as long as the stream lasts.
 */
export class Answers {
  readonly #limits: AnswerLimits
  readonly #connections = new WeakMap<object, Connection>()
  readonly #answers = new Map<ServerResponse, Answer>()
  /** Connections whose next request waits for memory that other connections use, in order of arrival. */
  readonly #crowd = new Set<Connection>()
  readonly #turnstile: Turnstile
  readonly #arriving: Arriving
  /** A listener that keeps a socket paused while requests of it wait. */
  readonly #keepPaused: (this: Socket) => void
  /** Listener for the end of an HTTP/1.1 connection. */
  readonly #onClose: (this: Socket) => void
  readonly #stalls: StallWatch
  #bytes = 0
  #waiting = 0

  /**
   * @param turnstile what every request passes once it may be answered
   * @param arriving counts the bodies of requests that wait for that
   */
  constructor(limits: AnswerLimits, turnstile: Turnstile, arriving: Arriving) {
    this.#limits = limits
    this.#turnstile = turnstile
    this.#arriving = arriving
    this.#stalls = new StallWatch(this.#answers, limits.stallMs, () => this.#crowd.size > 0)
    const isHeld = (socket: Socket) => this.#connections.get(socket)?.held
    this.#keepPaused = function () {
      if (isHeld(this)) this.pause()
    }
    const close = (socket: Socket) => this.#close(socket)
    this.#onClose = function () {
      withStacks()
      close(this)
    }
  }

  /** Bytes booked for all answers together. */
  get bytes(): number {
    return this.#bytes
  }

  /** Returns a listener for a server's requests. It calls `handle` for each request when the limits allow it. */
  listener(handle: RequestListener): RequestListener {
    return (request, response) => {
      const connection = this.#connectionOf(request)
      if (!connection) return handle(request, response)
      // Node goes on to read requests that came together with the one for which the connection was closed.
      if (connection.socket?.destroyed) return
      const heavy = isHeavy(request)
      const start = () => {
        this.#begin(connection, response, heavy)
        if (isProbe(request)) return handle(request, response)
        const stopCounting = countWaitingBody(this.#arriving, request, response)
        this.#turnstile.pass(heavy, () => {
          stopCounting()
          if (this.#answers.has(response)) handle(request, response)
        })
      }
      if (connection.socket || heavy) this.#wait(connection, { response, heavy, resumed: false, start })
      else start()
    }
  }

  /** Books the answer's size, now that it is known. Returns the payload in the form in which it is to be sent. */
  sized(response: ServerResponse, payload: string | Buffer): Readable | string | Buffer {
    const bytes = Buffer.byteLength(payload)
    const answer = this.#answers.get(response)
    if (answer && !answer.parked) this.#book(answer, bytes)
    if (bytes <= PIECE_BYTES) return payload
    // Converted once, so that the string can be collected while its bytes are sent.
    const whole = typeof payload === 'string' ? Buffer.from(payload) : payload
    return Readable.from(pieces(whole, answer), { objectMode: false, highWaterMark: PIECE_BYTES })
  }

  /** The request waits for news, or its answer is a stream with bounds of its own: others need not wait for it. */
  park(response: ServerResponse): void {
    const answer = this.#answers.get(response)
    if (!answer || answer.parked) return
    answer.parked = true
    if (!answer.connection.socket) answer.connection.running--
    this.#book(answer, 0)
  }

  /** Resumes a parked request. Resolves when the limits allow its answer, or when the client has disconnected. */
  unpark(response: ServerResponse): Promise<void> {
    const answer = this.#answers.get(response)
    if (!answer?.parked) return Promise.resolve()
    const { connection } = answer
    return new Promise(resolve => {
      const start = () => {
        answer.parked = false
        if (!connection.socket) connection.running++
        this.#book(answer, PAGE_BYTES)
        this.#turnstile.pass(true, resolve)
      }
      const turn = { response, heavy: true, resumed: true, start }
      response.once('close', () => {
        this.#leave(connection, turn)
        resolve()
      })
      this.#wait(connection, turn)
    })
  }

  #connectionOf(request: IncomingMessage): Connection | undefined {
    const { stream } = request as unknown as Partial<Http2ServerRequest>
    const key: Socket | Http2Session | undefined = stream ? stream.session : request.socket
    if (!key) return undefined
    const known = this.#connections.get(key)
    if (known) return known
    const socket = stream ? undefined : request.socket
    const made: Connection = {
      socket,
      resumed: [],
      waiting: [],
      running: 0,
      bytes: 0,
      held: false,
    }
    this.#connections.set(key, made)
    socket?.prependListener('close', withoutStacks).once('close', this.#onClose)
    return made
  }

  /** Node does not emit `close` on a response that has no socket yet, so waiting requests are removed here. */
  #close(socket: Socket): void {
    const connection = this.#connections.get(socket)
    if (!connection) return
    this.#waiting -= waitingOf(connection)
    connection.waiting.length = 0
    connection.resumed.length = 0
    // Node emits `close` on the first one.
    if (connection.running <= 1) return
    for (const [response, answer] of this.#answers) {
      if (answer.connection === connection) this.#end(answer, response)
    }
  }

  #wait(connection: Connection, turn: Turn): void {
    const { socket, waiting } = connection
    if (!turn.resumed && waiting.length === 0 && this.#fits(connection, turn)) return turn.start()
    const queue = turn.resumed ? connection.resumed : waiting
    queue.push(turn)
    this.#waiting++
    if (turn.resumed) return this.#schedule(connection)
    if (socket) this.#hold(connection, socket)
    else turn.response.once('close', () => this.#leave(connection, turn))
    if (this.#waiting > WAITING) this.#refuse(connection, turn.response)
  }

  /** Removes a request from the waiting ones. */
  #leave({ resumed, waiting }: Connection, turn: Turn): void {
    const queue = turn.resumed ? resumed : waiting
    const index = queue.indexOf(turn)
    if (index < 0) return
    queue.splice(index, 1)
    this.#waiting--
  }

  /** Starts waiting requests in a later turn of the event loop, so that other connections get their turn in between. */
  #schedule(connection: Connection): void {
    if (waitingOf(connection) > 0) setImmediate(() => this.#advance(connection))
  }

  /** Pauses the socket and keeps it paused: Node resumes it after each request and while a body is read. */
  #hold(connection: Connection, socket: Socket): void {
    if (!connection.held) socket.on('resume', this.#keepPaused)
    connection.held = true
    socket.pause()
  }

  /** Starts the next request if the limits allow it, and schedules the one after it. */
  #advance(connection: Connection): void {
    this.#crowd.delete(connection)
    const { socket, resumed, waiting } = connection
    const turn = resumed[0] ?? waiting[0]
    if (turn && this.#fits(connection, turn)) {
      this.#leave(connection, turn)
      if (!isGone(turn.response)) turn.start()
      this.#schedule(connection)
    }
    this.#admitNext()
    if (!socket || !connection.held || waiting.length > 0) return
    connection.held = false
    socket.off('resume', this.#keepPaused).resume()
  }

  #fits(connection: Connection, { heavy, resumed }: Turn): boolean {
    const { answers, answerBytes } = this.#limits
    if (connection.socket) {
      if (heavy && !resumed && connection.running > 0) return false
      if (!heavy) return connection.running < answers
    } else if (connection.running >= answers) return false
    if (connection.bytes > 0 && connection.bytes + PAGE_BYTES > answerBytes) return false
    if (this.#hasRoom) return true
    this.#crowd.add(connection)
    return false
  }

  #begin(connection: Connection, response: ServerResponse, heavy: boolean): void {
    const since = performance.now()
    const answer: Answer = { connection, bytes: 0, left: 0, waited: 0, since, parked: !heavy }
    this.#answers.set(response, answer)
    this.#stalls.begin()
    if (connection.socket || heavy) connection.running++
    if (heavy) this.#book(answer, PAGE_BYTES)
    response.once('close', () => this.#end(answer, response))
  }

  #end(answer: Answer, response: ServerResponse): void {
    const { connection } = answer
    if (!this.#answers.delete(response)) return
    if (connection.socket || !answer.parked) connection.running--
    this.#book(answer, 0)
    this.#schedule(connection)
    if (this.#answers.size === 0) this.#stalls.end()
  }

  /** Changes an answer's booking. A smaller one makes room for waiting requests. */
  #book(answer: Answer, bytes: number): void {
    const change = bytes - answer.bytes
    answer.bytes = bytes
    answer.connection.bytes += change
    this.#bytes += change
    if (change >= 0) return
    this.#schedule(answer.connection)
    this.#admitNext()
  }

  /** Wakes the connection that has waited longest for other connections' answers, if there is room for it. */
  #admitNext(): void {
    if (!this.#hasRoom) return
    for (const next of this.#crowd) {
      this.#crowd.delete(next)
      if (waitingOf(next) > 0) return this.#schedule(next)
    }
  }

  get #hasRoom(): boolean {
    return this.#bytes === 0 || this.#bytes + PAGE_BYTES <= this.#limits.allAnswerBytes
  }

  /**
   * Too many wait: the connection that brings one more is ended. On HTTP/2 a connection that has few waiting loses only
   * the stream, since it may have others that are in use.
   */
  #refuse({ socket, waiting }: Connection, response: ServerResponse): void {
    if (socket) {
      dropRest(socket)
      return void socket.destroy()
    }
    const stream = streamOf(response)
    if (waiting.length <= this.#limits.answers) return stream?.close(constants.NGHTTP2_REFUSED_STREAM)
    stream?.session?.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM)
    stream?.session?.destroy()
  }
}

const waitingOf = ({ resumed, waiting }: Connection): number => resumed.length + waiting.length

/** Health checks must not wait behind clients' requests. */
const PROBES: ReadonlySet<string> = new Set(['/healthz', '/readyz'])

function isProbe({ url = '' }: IncomingMessage): boolean {
  return PROBES.has(url.split('?', 1)[0] as string)
}

/** Whether the answer may be large. Those to commands and ingests are short. */
function isHeavy(request: IncomingMessage): boolean {
  const {
    method,
    url = '',
    headers: { accept },
  } = request
  if (method !== 'GET' && method !== 'HEAD') return false
  if (isProbe(request)) return false
  const [path = ''] = url.split('?')
  return !(path.endsWith('/events') && /\btext\/event-stream\b/i.test(accept ?? ''))
}

function isGone(response: ServerResponse): boolean {
  return (streamOf(response) ?? response).destroyed
}

function* pieces(bytes: Buffer, answer: Answer | undefined): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    if (answer) answer.left = bytes.length - at
    yield bytes.subarray(at, at + PIECE_BYTES)
  }
}
