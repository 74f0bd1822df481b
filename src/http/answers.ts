/** Answers that nobody reads: how many requests of a connection are answered at a time, and how long one may wait. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { constants, type Http2ServerRequest, type Http2Session, type ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { PAGE_BYTES } from '../protocol/index.ts'
import { type Cancel, startInterval } from '../protocol/timers.ts'
import type { ConnectionLimits } from './limits.ts'

/** A long answer is handed over in pieces of so many bytes, so that progress can be seen. */
const PIECE_BYTES = 64 * 1024

/** Requests that may wait for their turn, of all connections. One more ends its connection. */
const WAITING = 2000

/** While requests wait for what others hold, an answer that nobody reads is given up after this time, in ms. */
const CROWDED_MS = 1000

export type AnswerLimits = Pick<ConnectionLimits, 'answers' | 'answerBytes' | 'allAnswerBytes'> & {
  /** An answer of which nothing is read for so long ends its connection, or on HTTP/2 its stream; in ms. */
  stallMs: number
}

/** Something that waits until its connection may answer one more. */
interface Turn {
  readonly response: ServerResponse
  readonly heavy: boolean
  /** A request that was passed on before and waited for news. */
  readonly resumed: boolean
  start(): void
}

/** One connection: its requests that wait, and its answers that are made or sent. */
interface Connection {
  /** The socket, on HTTP/1.1 only. */
  readonly socket: Socket | undefined
  /** Requests that were passed on before come first. */
  readonly resumed: Set<Turn>
  readonly waiting: Set<Turn>
  /** On HTTP/1.1 all that are not over; on HTTP/2 those that are booked. */
  running: number
  bytes: number
  /** The socket is not read, since requests wait. */
  held: boolean
}

/** An answer that is made or sent. */
interface Answer {
  readonly connection: Connection
  /** What it is booked with: what a page may take, until its size is known. */
  bytes: number
  /** Bytes of it that were not handed to the connection yet. */
  left: number
  /** Bytes that waited at the last look, and since when it is the same number. */
  waited: number
  since: number
  /** It is not booked: an event stream, a long-poll that waits, or a command. */
  parked: boolean
}

/**
 * Passes requests on, and lets some wait until earlier answers were read. A page takes a megabyte and is asked for with
 * 80 bytes, so a client that asks and never reads would fill the memory.
 *
 * Answers of GET may be large, but for event streams, which have bounds of their own. On HTTP/2 a few of them are made
 * at a time. On HTTP/1.1 answers go out in the order of their requests, so a large one is begun only when all before it
 * are out: behind a stream it would keep its memory for as long as the stream lasts.
 */
export class Answers {
  readonly #limits: AnswerLimits
  readonly #connections = new WeakMap<object, Connection>()
  readonly #answers = new Map<ServerResponse, Answer>()
  /** Connections whose next turn waits for other connections' answers, in the order in which they came. */
  readonly #crowd = new Set<Connection>()
  /** A listener that keeps a socket paused while requests of it wait. */
  readonly #keepPaused: (this: Socket) => void
  /** A listener for the end of an HTTP/1.1 connection. */
  readonly #onClose: (this: Socket) => void
  #bytes = 0
  #waiting = 0
  #stopLooking: Cancel | undefined

  constructor(limits: AnswerLimits) {
    this.#limits = limits
    const isHeld = (socket: Socket) => this.#connections.get(socket)?.held
    this.#keepPaused = function () {
      if (isHeld(this)) this.pause()
    }
    const close = (socket: Socket) => this.#close(socket)
    this.#onClose = function () {
      close(this)
    }
  }

  /** Bytes that all answers are booked with now. */
  get bytes(): number {
    return this.#bytes
  }

  /** The listener for a server's requests; calls `handle` for each in its turn. */
  listener(handle: RequestListener): RequestListener {
    return (request, response) => {
      const connection = this.#connectionOf(request)
      if (!connection) return handle(request, response)
      const heavy = isHeavy(request)
      const start = () => {
        this.#begin(connection, response, heavy)
        handle(request, response)
      }
      if (connection.socket || heavy) this.#wait(connection, { response, heavy, resumed: false, start })
      else start()
    }
  }

  /** The size of an answer is known. Gives the answer in the form in which it is to be sent. */
  sized(response: ServerResponse, payload: string | Buffer): Readable | string | Buffer {
    const bytes = Buffer.byteLength(payload)
    const answer = this.#answers.get(response)
    if (answer && !answer.parked) this.#book(answer, bytes)
    if (bytes <= PIECE_BYTES) return payload
    // The text is not kept beside its bytes.
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

  /** A parked request goes on. Resolves when it is its turn again, or when the client has left. */
  unpark(response: ServerResponse): Promise<void> {
    const answer = this.#answers.get(response)
    if (!answer?.parked) return Promise.resolve()
    const { connection } = answer
    return new Promise(resolve => {
      const start = () => {
        answer.parked = false
        if (!connection.socket) connection.running++
        this.#book(answer, PAGE_BYTES)
        resolve()
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
      resumed: new Set(),
      waiting: new Set(),
      running: 0,
      bytes: 0,
      held: false,
    }
    this.#connections.set(key, made)
    socket?.once('close', this.#onClose)
    return made
  }

  /** A response that waits for its turn has no socket, and is never told that the connection closed. */
  #close(socket: Socket): void {
    const connection = this.#connections.get(socket)
    if (!connection) return
    this.#waiting -= connection.waiting.size + connection.resumed.size
    connection.waiting.clear()
    connection.resumed.clear()
    // The first one is told by itself.
    if (connection.running <= 1) return
    for (const [response, answer] of this.#answers) {
      if (answer.connection === connection) this.#end(answer, response)
    }
  }

  #wait(connection: Connection, turn: Turn): void {
    const { socket, waiting } = connection
    if (!turn.resumed && waiting.size === 0 && this.#fits(connection, turn)) return turn.start()
    const queue = turn.resumed ? connection.resumed : waiting
    queue.add(turn)
    this.#waiting++
    if (turn.resumed) return this.#schedule(connection)
    if (socket) this.#hold(connection, socket)
    else turn.response.once('close', () => this.#leave(connection, turn))
    if (this.#waiting > WAITING) this.#refuse(connection, turn.response)
  }

  /** Takes a turn out of those that wait. */
  #leave({ resumed, waiting }: Connection, turn: Turn): void {
    if (resumed.delete(turn) || waiting.delete(turn)) this.#waiting--
  }

  /** Starts what may start, one turn of the event loop later: requests that are ready must not keep others waiting. */
  #schedule(connection: Connection): void {
    if (connection.waiting.size + connection.resumed.size > 0) setImmediate(() => this.#advance(connection))
  }

  /** Reads no further requests. Node resumes the socket by itself, after each request and while a body is read. */
  #hold(connection: Connection, socket: Socket): void {
    if (!connection.held) socket.on('resume', this.#keepPaused)
    connection.held = true
    socket.pause()
  }

  /** Starts the next one if it may start, and the one behind it in another turn of the event loop. */
  #advance(connection: Connection): void {
    this.#crowd.delete(connection)
    const { socket, resumed, waiting } = connection
    const [turn] = resumed.size > 0 ? resumed : waiting
    if (turn && this.#fits(connection, turn)) {
      this.#leave(connection, turn)
      if (!isGone(turn.response)) turn.start()
      this.#schedule(connection)
    }
    if (!socket || !connection.held || waiting.size > 0) return
    connection.held = false
    socket.off('resume', this.#keepPaused).resume()
  }

  #fits(connection: Connection, { heavy, resumed }: Turn): boolean {
    const { answers, answerBytes, allAnswerBytes } = this.#limits
    if (connection.socket) {
      if (heavy && !resumed && connection.running > 0) return false
      if (!heavy) return connection.running < answers
    } else if (connection.running >= answers) return false
    if (connection.bytes > 0 && connection.bytes + PAGE_BYTES > answerBytes) return false
    if (this.#bytes === 0 || this.#bytes + PAGE_BYTES <= allAnswerBytes) return true
    this.#crowd.add(connection)
    return false
  }

  #begin(connection: Connection, response: ServerResponse, heavy: boolean): void {
    const since = performance.now()
    const answer: Answer = { connection, bytes: 0, left: 0, waited: 0, since, parked: !heavy }
    this.#answers.set(response, answer)
    if (connection.socket || heavy) connection.running++
    if (heavy) this.#book(answer, PAGE_BYTES)
    response.once('close', () => this.#end(answer, response))
    const everyMs = Math.min(CROWDED_MS, this.#limits.stallMs) / 4
    this.#stopLooking ??= startInterval(everyMs, () => this.#look(), { unref: true })
  }

  #end(answer: Answer, response: ServerResponse): void {
    const { connection } = answer
    if (!this.#answers.delete(response)) return
    if (connection.socket || !answer.parked) connection.running--
    this.#book(answer, 0)
    this.#schedule(connection)
    if (this.#answers.size > 0) return
    this.#stopLooking?.()
    this.#stopLooking = undefined
  }

  /** Books an answer with another size. Less of it makes room for others. */
  #book(answer: Answer, bytes: number): void {
    const change = bytes - answer.bytes
    answer.bytes = bytes
    answer.connection.bytes += change
    this.#bytes += change
    if (change >= 0) return
    this.#schedule(answer.connection)
    for (const other of this.#crowd) this.#schedule(other)
  }

  /** Gives up answers of which nothing was read for too long. */
  #look(): void {
    const now = performance.now()
    const { stallMs } = this.#limits
    const patience = this.#crowd.size > 0 ? Math.min(CROWDED_MS, stallMs) : stallMs
    for (const [response, answer] of this.#answers) {
      const wire = wireOf(response)
      // An event stream that has not ended watches over its own writes.
      const waits = response.writableEnded || answer.left > 0 ? answer.left + (wire?.writableLength ?? 0) : 0
      if (waits !== answer.waited || waits === 0) {
        answer.waited = waits
        answer.since = now
      } else if (now - answer.since >= patience) wire?.destroy()
    }
  }

  /** Too many wait: the connection that brings one more is ended, or on HTTP/2 its stream. */
  #refuse({ socket }: Connection, response: ServerResponse): void {
    if (socket) socket.destroy()
    else streamOf(response)?.close(constants.NGHTTP2_REFUSED_STREAM)
  }
}

/** Load balancers and supervisors must not wait for what clients do. */
const PROBES: ReadonlySet<string> = new Set(['/healthz', '/readyz'])

/** Whether the answer may be large. Those to commands and ingests are short. */
function isHeavy({ method, url = '', headers: { accept } }: IncomingMessage): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false
  const [path = ''] = url.split('?')
  if (PROBES.has(path)) return false
  return !(path.endsWith('/events') && /\btext\/event-stream\b/i.test(accept ?? ''))
}

function streamOf(response: ServerResponse): ServerHttp2Stream | undefined {
  return (response as unknown as { stream?: ServerHttp2Stream }).stream
}

function isGone(response: ServerResponse): boolean {
  return (streamOf(response) ?? response).destroyed
}

/** What takes the answer's bytes: the socket, or the HTTP/2 stream. */
function wireOf(response: ServerResponse): Socket | ServerHttp2Stream | undefined {
  return streamOf(response) ?? response.socket ?? undefined
}

function* pieces(bytes: Buffer, answer: Answer | undefined): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    if (answer) answer.left = bytes.length - at
    yield bytes.subarray(at, at + PIECE_BYTES)
  }
  if (answer) answer.left = 0
}
