/** The WebSocket transport: a client's sockets, each shared by many sessions and commands. PROTOCOL.md, "WebSocket". */
import { ClientError, errorOfClose, errorOfRefusal, isUnauthorized } from '../errors.ts'
import { type Cancel, type ControlOf, HEARTBEAT_MS, startTimer } from '../protocol.ts'
import type { Credential, Credentials } from './credentials.ts'
import { INBOX_BYTES, SocketSubscription } from './socket-subscription.ts'
import {
  endpoint,
  parseMessage,
  type Socket,
  type SocketConstructor,
  type TransportRequest,
  type TransportStream,
} from './transport.ts'
import { ANSWER_MS, PATIENCE, silent } from './watchdog.ts'

const encoder = new TextEncoder()

/** Opens sockets on demand: one, unless the same session is followed more than once. */
export class SocketPool {
  readonly #url: string
  readonly #make: SocketConstructor | undefined
  readonly #sockets = new Set<SharedSocket>()

  constructor(url: string, make: SocketConstructor | undefined) {
    this.#url = url
    this.#make = make
  }

  /** The WebSocket transport: a subscription on the first socket that does not carry the session yet. */
  async *stream(request: TransportRequest): ReturnType<TransportStream> {
    yield* this.#subscribe(request).messages()
  }

  /** @throws TypeError when there is no WebSocket constructor */
  #subscribe(request: TransportRequest): SocketSubscription {
    const { sessionId, credential } = request
    for (const socket of this.#sockets) {
      // A token reaches the open sockets, headers do not.
      const isCurrent = credential.token !== undefined || socket.credential === credential
      if (socket.alive && isCurrent && !socket.carries(sessionId)) return socket.subscribe(request)
    }
    if (!this.#make) throw new TypeError('There is no global WebSocket: pass that of the package ws')
    const address = endpoint(this.#url, 'ws')
    address.protocol = address.protocol.replace('http', 'ws')
    const { headers } = credential
    const socket =
      request.credentials.socket(this.#make, address, request) ??
      new this.#make(address.href, ['twinrail.v1'], { headers })
    const shared: SharedSocket = new SharedSocket(socket, request, () => this.#sockets.delete(shared))
    this.#sockets.add(shared)
    return shared.subscribe(request)
  }

  /** A socket that can send commands now, if there is one. */
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

/** One WebSocket. It closes itself when it has no subscription and no pending command. */
export class SharedSocket {
  /** The credentials that the server knows of this socket. */
  credential: Credential
  readonly #credentials: Credentials
  readonly #onGone: () => void
  readonly #stopRenewing: () => void
  readonly #socket: Socket
  readonly #subscriptions = new Map<string, SocketSubscription>()
  readonly #replies = new Map<string, Reply>()
  #open = false
  #greeted = false
  #failure: ClientError | undefined
  #heartbeatMs = HEARTBEAT_MS
  #receivedAt = Date.now()
  #watch: Cancel | undefined
  #ids = 0

  constructor(
    socket: Socket,
    { credential, credentials }: Pick<TransportRequest, 'credential' | 'credentials'>,
    onGone: () => void,
  ) {
    this.credential = credential
    this.#credentials = credentials
    this.#onGone = onGone
    this.#stopRenewing = credentials.keep(this)
    this.#socket = socket
    socket.addEventListener('open', () => {
      this.#open = true
      for (const subscription of this.#subscriptions.values()) subscription.begin()
    })
    socket.addEventListener('message', ({ data }) => this.#message(data))
    socket.addEventListener('close', ({ code, reason }) => this.fail(errorOfClose(code, reason)))
    socket.addEventListener('error', () => {}) // `close` follows with the reason
    this.#watchFor(PATIENCE * this.#heartbeatMs)
  }

  get alive(): boolean {
    return !this.#failure
  }

  get greeted(): boolean {
    return this.#greeted && this.alive
  }

  carries(sessionId: string): boolean {
    return this.#subscriptions.has(sessionId)
  }

  subscribe(request: TransportRequest): SocketSubscription {
    const subscription: SocketSubscription = new SocketSubscription(request, {
      id: `s${++this.#ids}`,
      send: message => this.send(message),
      leave: broken => this.#leave(subscription, broken),
    })
    this.#subscriptions.set(request.sessionId, subscription)
    const { heartbeatMs } = request.start
    if (heartbeatMs !== undefined && heartbeatMs < this.#heartbeatMs) {
      this.#heartbeatMs = heartbeatMs
      this.#watchFor(PATIENCE * heartbeatMs)
    }
    if (this.#open) subscription.begin()
    return subscription
  }

  /** Does nothing before the socket is open: the watchdog of a process that slept may ask too early. */
  send(message: object): void {
    if (this.#open && this.alive) this.#socket.send(JSON.stringify(message))
  }

  /**
   * Sends a command and resolves with its ack.
   * @throws ClientError the server's refusal; `silent` or `connection-lost` when the outcome is unknown
   */
  command(command: { id: string }): Promise<ControlOf<'ack'>> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(command.id)?.reject(silent(ANSWER_MS)), ANSWER_MS)
      this.#replies.set(command.id, { resolve, reject, timer })
      this.send(command)
    })
  }

  /** Gives the server a new token. @throws ClientError as {@link command} does */
  renew(token: string): Promise<ControlOf<'ack'>> {
    return this.command({ type: 'auth', id: `a${++this.#ids}`, token } as { id: string })
  }

  #message(data: unknown): void {
    if (this.#failure) return
    this.#receivedAt = Date.now()
    if (typeof data !== 'string')
      return this.fail(new ClientError('protocol-error', 'The server sent a binary message'))
    try {
      for (const json of data.split('\n')) this.#receive(json)
    } catch (error) {
      this.fail(error as ClientError)
    }
  }

  #receive(json: string): void {
    const message = parseMessage(json)
    const sessionId = message.kind === 'event' ? message.event.sessionId : message.control['sessionId']
    if (typeof sessionId === 'string') {
      const subscription = this.#subscriptions.get(sessionId)
      if (subscription && subscription.add(message, encoder.encode(json).byteLength) > INBOX_BYTES) {
        this.fail(new ClientError('too-slow', 'The server sent more than its window'))
      }
      return
    }
    if (message.kind === 'event') return
    const { control } = message
    switch (control.type) {
      case 'hello':
        this.#greeted = true
        this.#heartbeatMs = Math.min(control.heartbeatMs, ...this.#requestedHeartbeats())
        this.#watchFor(PATIENCE * this.#heartbeatMs)
        this.#credentials.greeted(this, control)
        return this.#ping()
      case 'ping':
        return this.#ping()
      case 'pong':
        for (const subscription of this.#subscriptions.values())
          subscription.request.onClock(control.time, control.serverTime)
        return
      case 'ack':
        for (const subscription of this.#subscriptions.values()) subscription.acked(control.id)
        return this.#settle(control.id)?.resolve(control)
      case 'nack':
        for (const subscription of this.#subscriptions.values()) subscription.refused(control)
        return this.#settle(control.id ?? '')?.reject(errorOfRefusal(control))
      case 'closing':
        if (control.code === 'unauthorized') this.#credentials.refused(this.credential)
        for (const subscription of this.#subscriptions.values()) subscription.add(message, 0)
    }
  }

  /** Requests a reading of the server's clock, if a subscription wants one. */
  #ping(): void {
    for (const { request } of this.#subscriptions.values()) {
      if (request.wantsClock) return this.send({ type: 'ping', time: Date.now() })
    }
  }

  *#requestedHeartbeats(): Generator<number> {
    for (const { request } of this.#subscriptions.values()) {
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

  #leave(subscription: SocketSubscription, broken: boolean): void {
    const { sessionId } = subscription.request
    if (this.#subscriptions.get(sessionId) !== subscription) return
    this.#subscriptions.delete(sessionId)
    if (broken && this.#subscriptions.size === 0)
      return this.fail(new ClientError('connection-lost', 'Closed'))
    if (this.#open && this.#subscriptions.size > 0)
      this.send({ type: 'unsubscribe', id: `u${++this.#ids}`, sessionId })
    this.#closeIfIdle()
  }

  #closeIfIdle(): void {
    if (this.#subscriptions.size > 0 || this.#replies.size > 0 || this.#failure) return
    this.#failure = new ClientError('connection-lost', 'Closed')
    this.#release()
    this.#socket.close(1000)
  }

  /** Ends the socket, its subscriptions and its pending commands. */
  fail(error: ClientError): void {
    if (this.#failure) return
    this.#failure = error
    if (isUnauthorized(error)) this.#credentials.refused(this.credential)
    this.#release()
    for (const subscription of [...this.#subscriptions.values()]) subscription.fail(error)
    for (const id of [...this.#replies.keys()]) {
      this.#settle(id)?.reject(new ClientError('connection-lost', error.message, { cause: error }))
    }
    // `ws` keeps the process alive for half a minute while it waits for a broken peer's close.
    if (this.#socket.terminate) this.#socket.terminate()
    else this.#socket.close(1000)
  }

  #release(): void {
    this.#watch?.()
    this.#stopRenewing()
    this.#onGone()
  }

  /**
   * Checks for silence after `ms`. A timer that fires late shows that this process slept, not that the peer is dead.
   */
  #watchFor(ms: number): void {
    this.#watch?.()
    const due = Date.now() + ms
    this.#watch = startTimer(ms, () => {
      const patience = PATIENCE * this.#heartbeatMs
      const rest = this.#receivedAt + patience - Date.now()
      if (rest > 0) return this.#watchFor(rest)
      if (Date.now() - due <= this.#heartbeatMs + 100) return this.fail(silent(Date.now() - this.#receivedAt))
      this.send({ type: 'ping', time: Date.now() })
      this.#watchFor(this.#heartbeatMs)
    })
  }
}
