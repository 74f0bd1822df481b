/** The WebSockets of a client: each carries many sessions, commands and their acks. PROTOCOL.md, "WebSocket". */
import type { ControlOf } from '../src/protocol/controls.ts'
import { HEARTBEAT_MS } from '../src/protocol/limits.ts'
import { type Cancel, startTimer } from '../src/protocol/timers.ts'
import { ClientError, errorOfClose, errorOfRefusal } from './errors.ts'
import { INBOX_BYTES, Lane } from './lane.ts'
import { endpoint, parseMessage, type RailRequest, type Socket, type SocketConstructor } from './rail.ts'
import { ANSWER_MS, PATIENCE, silent } from './watchdog.ts'

const encoder = new TextEncoder()

/** Opens sockets as they are needed: one, unless the same session is followed more than once. */
export class Sockets {
  readonly #url: string
  readonly #make: SocketConstructor | undefined
  readonly #sockets = new Set<SharedSocket>()

  constructor(url: string, make: SocketConstructor | undefined) {
    this.#url = url
    this.#make = make
  }

  /** Subscribes on the first socket that does not carry the session yet. */
  subscribe(request: RailRequest): Lane {
    for (const socket of this.#sockets) {
      if (socket.alive && !socket.carries(request.sessionId)) return socket.subscribe(request)
    }
    if (!this.#make)
      throw new TypeError('There is no global WebSocket here: pass one, as that of the ws package')
    const address = endpoint(this.#url, 'ws')
    address.protocol = address.protocol.replace('http', 'ws')
    const wire = new this.#make(address.href, ['twinrail.v1'], { headers: request.headers })
    const socket: SharedSocket = new SharedSocket(wire, () => this.#sockets.delete(socket))
    this.#sockets.add(socket)
    return socket.subscribe(request)
  }

  /** A socket that commands can go over now, if there is one. */
  get ready(): SharedSocket | undefined {
    for (const socket of this.#sockets) if (socket.greeted) return socket
    return undefined
  }
}

interface Reply {
  resolve(ack: ControlOf<'ack'>): void
  reject(error: ClientError): void
  timer: ReturnType<typeof setTimeout>
}

/** One connection; it closes itself when nobody needs it any more. */
export class SharedSocket {
  readonly #wire: Socket
  readonly #onGone: () => void
  readonly #lanes = new Map<string, Lane>()
  readonly #replies = new Map<string, Reply>()
  #open = false
  #greeted = false
  #failure: ClientError | undefined
  #heartbeatMs = HEARTBEAT_MS
  #heardAt = Date.now()
  #watch: Cancel | undefined
  #ids = 0

  constructor(wire: Socket, onGone: () => void) {
    this.#wire = wire
    this.#onGone = onGone
    wire.addEventListener('open', () => {
      this.#open = true
      for (const lane of this.#lanes.values()) lane.begin()
    })
    wire.addEventListener('message', ({ data }) => this.#message(data))
    wire.addEventListener('close', ({ code, reason }) => this.#fail(errorOfClose(code, reason)))
    wire.addEventListener('error', () => {}) // `close` follows, and says as much
    this.#watchFor(PATIENCE * this.#heartbeatMs)
  }

  get alive(): boolean {
    return !this.#failure
  }

  get greeted(): boolean {
    return this.#greeted && this.alive
  }

  carries(sessionId: string): boolean {
    return this.#lanes.has(sessionId)
  }

  subscribe(request: RailRequest): Lane {
    const lane: Lane = new Lane(request, {
      id: `s${++this.#ids}`,
      send: message => this.send(message),
      leave: broken => this.#leave(lane, broken),
    })
    this.#lanes.set(request.sessionId, lane)
    const { heartbeatMs } = request.start
    if (heartbeatMs !== undefined && heartbeatMs < this.#heartbeatMs) {
      this.#heartbeatMs = heartbeatMs
      this.#watchFor(PATIENCE * heartbeatMs)
    }
    if (this.#open) lane.begin()
    return lane
  }

  /** Does nothing before the socket is open: a process that slept meanwhile asks too early. */
  send(message: object): void {
    if (this.#open && this.alive) this.#wire.send(JSON.stringify(message))
  }

  /**
   * Sends a command and gives its ack.
   * @throws ClientError the server's refusal; `silent` or `connection-lost` when nobody knows what became of it
   */
  command(command: { id: string }): Promise<ControlOf<'ack'>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(command.id)?.reject(silent(ANSWER_MS)), ANSWER_MS)
      this.#replies.set(command.id, { resolve, reject, timer })
      this.send(command)
    })
  }

  #message(data: unknown): void {
    if (this.#failure) return
    this.#heardAt = Date.now()
    if (typeof data !== 'string')
      return this.#fail(new ClientError('protocol-error', 'A binary message came'))
    try {
      for (const json of data.split('\n')) this.#line(json)
    } catch (error) {
      this.#fail(error as ClientError)
    }
  }

  #line(json: string): void {
    const message = parseMessage(json)
    const sessionId = message.kind === 'event' ? message.event.sessionId : message.control['sessionId']
    if (typeof sessionId === 'string') {
      const lane = this.#lanes.get(sessionId)
      if (lane && lane.add(message, encoder.encode(json).byteLength) > INBOX_BYTES) {
        this.#fail(new ClientError('too-slow', 'More came than the window allows'))
      }
      return
    }
    if (message.kind === 'event') return
    const { control } = message
    switch (control.type) {
      case 'hello':
        this.#greeted = true
        this.#heartbeatMs = Math.min(control.heartbeatMs, ...this.#asked())
        this.#watchFor(PATIENCE * this.#heartbeatMs)
        return this.#ping()
      case 'ping':
        return this.#ping()
      case 'pong':
        for (const lane of this.#lanes.values()) lane.request.onClock(control.time, control.serverTime)
        return
      case 'ack':
        for (const lane of this.#lanes.values()) lane.acked(control.id)
        return this.#settle(control.id)?.resolve(control)
      case 'nack':
        for (const lane of this.#lanes.values()) lane.refused(control)
        return this.#settle(control.id ?? '')?.reject(errorOfRefusal(control))
      case 'closing':
        for (const lane of this.#lanes.values()) lane.add(message, 0)
    }
  }

  /** Asks for the server's clock, once somebody wants to know. */
  #ping(): void {
    for (const { request } of this.#lanes.values()) {
      if (request.wantsClock) return this.send({ type: 'ping', time: Date.now() })
    }
  }

  *#asked(): Generator<number> {
    for (const { request } of this.#lanes.values()) {
      if (request.start.heartbeatMs !== undefined) yield request.start.heartbeatMs
    }
  }

  #settle(id: string): Reply | undefined {
    const reply = this.#replies.get(id)
    clearTimeout(reply?.timer)
    this.#replies.delete(id)
    this.#closeIfIdle()
    return reply
  }

  #leave(lane: Lane, broken: boolean): void {
    const { sessionId } = lane.request
    if (this.#lanes.get(sessionId) !== lane) return
    this.#lanes.delete(sessionId)
    if (broken && this.#lanes.size === 0) return this.#fail(new ClientError('connection-lost', 'Given up'))
    if (this.#open && this.#lanes.size > 0)
      this.send({ type: 'unsubscribe', id: `u${++this.#ids}`, sessionId })
    this.#closeIfIdle()
  }

  #closeIfIdle(): void {
    if (this.#lanes.size > 0 || this.#replies.size > 0 || this.#failure) return
    this.#failure = new ClientError('connection-lost', 'Closed')
    this.#forget()
    this.#wire.close(1000)
  }

  #fail(error: ClientError): void {
    if (this.#failure) return
    this.#failure = error
    this.#forget()
    for (const lane of [...this.#lanes.values()]) lane.fail(error)
    for (const id of [...this.#replies.keys()]) {
      this.#settle(id)?.reject(new ClientError('connection-lost', error.message, { cause: error }))
    }
    // `ws` waits half a minute for a broken peer to close, and keeps its process alive meanwhile
    if (this.#wire.terminate) this.#wire.terminate()
    else this.#wire.close(1000)
  }

  #forget(): void {
    this.#watch?.()
    this.#onGone()
  }

  /** Looks again after `ms`; a timer that comes late says that this process slept, not that the wire is dead. */
  #watchFor(ms: number): void {
    this.#watch?.()
    const due = Date.now() + ms
    this.#watch = startTimer(ms, () => {
      const patience = PATIENCE * this.#heartbeatMs
      const rest = this.#heardAt + patience - Date.now()
      if (rest > 0) return this.#watchFor(rest)
      if (Date.now() - due <= this.#heartbeatMs + 100) return this.#fail(silent(Date.now() - this.#heardAt))
      this.send({ type: 'ping', time: Date.now() })
      this.#watchFor(this.#heartbeatMs)
    })
  }
}
