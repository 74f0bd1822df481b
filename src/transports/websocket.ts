/** WebSocket: many subscriptions and all commands on one socket. PROTOCOL.md, "WebSocket". */
import type { FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import { type Action, commandActions } from '../auth/actions.ts'
import type { Hold } from '../auth/door.ts'
import { websocketDeflate } from '../bus/compression.ts'
import { websocket } from '../bus/encoding.ts'
import type { Subscription } from '../bus/subscription.ts'
import type { Holder } from '../http/arriving.ts'
import {
  Command,
  type ConnectionCommand,
  type Control,
  check,
  connectionCommandTypes,
  limits,
  parseOffset,
  readJson,
  refusalOf,
  type SessionCommand,
  TwinrailError,
} from '../protocol/index.ts'
import { type Cancel, startTimer } from '../protocol/timers.ts'
import type { ConnectedWorker } from '../sessions/workers/connected-worker.ts'
import type { Connection } from './connections.ts'
import {
  allow,
  closing,
  createIfWanted,
  expiryOf,
  hello,
  type LossReason,
  lagLimits,
  ping,
  SECOND_MESSAGE_MS,
  subscribing,
  type TransportContext,
  tooSlow,
} from './context.ts'
import { SocketSink } from './socket-sink.ts'

/** The subprotocol that this server speaks. */
export const SUBPROTOCOL = 'twinrail.v1'

/** Maximum number of pending commands on one connection. The socket is not read while there are as many. */
const PENDING_COMMANDS = 100

/** Maximum number of buffered bytes of answers for one connection. The socket is not read while there are more. */
const UNREAD_BYTES = 256 * 1024

/** Number of heartbeats without any message after which the peer counts as dead. */
const DEAD_AFTER_BEATS = 3

type Of<T extends ConnectionCommand['type']> = Extract<ConnectionCommand, { type: T }>

/** Serves an upgraded socket until it closes. */
export function serveWebSocket(context: TransportContext, socket: WebSocket, request: FastifyRequest): void {
  new WebSocketConnection(context, socket, request)
}

class WebSocketConnection implements Connection, Holder {
  readonly transport = 'websocket'
  readonly #context: TransportContext
  readonly #socket: WebSocket
  readonly #request: FastifyRequest
  readonly #sink: SocketSink
  readonly #subscriptions = new Map<string, { subscription: Subscription<Buffer>; hold: Hold }>()
  /** Set once the client has said that it is a worker. */
  #worker: ConnectedWorker | undefined
  /** The right to execute runs of the worker's agents. */
  #workerHold: Hold | undefined
  /** The right to the connection; none before `hello`. */
  #hold: Hold | undefined
  /** Ends the wait for the `auth` of a connection without credentials. */
  #unproven: Cancel | undefined
  /** The last command of each session: the next one waits for it. */
  readonly #last = new Map<string, Promise<void>>()
  #pending = 0
  #silentBeats = 0
  /** The data of the last ping that has no pong yet. */
  #pinged: Buffer | undefined
  #second: NodeJS.Timeout | undefined

  constructor(context: TransportContext, socket: WebSocket, request: FastifyRequest) {
    this.#context = context
    this.#socket = socket
    this.#request = request
    this.#sink = new SocketSink(request.raw.socket, {
      encoding: socket.extensions.includes('permessage-deflate') ? websocketDeflate : websocket,
      bytesOf: batch => batch,
      heartbeats: context.heartbeats,
      heartbeatMs: context.heartbeatMs,
      stallMs: context.stallMs,
      ping: () => this.#ping(),
      onStalled: () => this.#lose('stalled'),
    })
    socket.on('message', (data, isBinary) => this.#message(data as Buffer, isBinary))
    socket.on('pong', () => {
      this.#silentBeats = 0
    })
    socket.on('ping', data => this.#answerPing(data))
    socket.on('close', () => this.#forget())
    // After the listener of ws, which has taken the bytes by then.
    request.raw.socket.on('data', () => context.arriving.set(this, incompleteBytes(socket)))
    // Messages that the client sends in the meantime stay in the socket.
    socket.pause()
    void this.#open()
  }

  get subscriptions(): number {
    return this.#subscriptions.size
  }

  get waitingBytes(): number {
    return this.#sink.waitingBytes
  }

  close(reason: TwinrailError): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return
    this.#send(closing(reason))
    // Once ws has begun to close, only ws may write to the socket.
    this.#forget()
    this.#socket.close(reason.close, truncated(reason.message))
    // The client's own close frame must be read, even where its commands were not.
    this.#socket.resume()
  }

  async #open(): Promise<void> {
    try {
      this.#context.connections.mustBeOpen()
      this.#hold = await this.#context.door.enter(
        this.#request,
        ['connect'],
        undefined,
        ['connections'],
        refusal => this.close(refusal),
      )
      this.#context.connections.mustBeOpen()
    } catch (error) {
      const mayProve = !this.#unproven && this.#context.door.hasNoCredentials(this.#request)
      if (error instanceof TwinrailError && error.code === 'unauthorized' && mayProve) {
        return this.#waitForProof(error)
      }
      if (!(error instanceof TwinrailError))
        this.#request.log.error({ err: error }, 'the authorize hook failed')
      this.close(error instanceof TwinrailError ? error : failed())
      return
    }
    if (this.#socket.readyState !== this.#socket.OPEN) return this.#hold.release()
    this.#context.connections.add(this)
    this.#context.door.report({
      what: 'connected',
      action: 'connect',
      principal: this.#hold.principal.id,
    })
    this.#send(hello(this.#context.heartbeatMs, this.#hold.principal))
    this.#sink.beatEvery(this.#context.heartbeatMs)
    this.#second = setTimeout(() => this.#send(ping()), SECOND_MESSAGE_MS)
    this.#socket.resume()
  }

  /** The memory of its unfinished message is needed for others. */
  giveUp(): void {
    this.#lose('incomplete')
  }

  /** A page cannot send headers with its upgrade: the first message may be an `auth` instead. */
  #waitForProof(refusal: TwinrailError): void {
    this.#unproven = startTimer(this.#context.limits.authMs, () => this.close(refusal))
    this.#socket.resume()
  }

  #send(control: Control): void {
    this.#sink.control(control)
  }

  /** Destroys a connection that no `closing` message would reach. */
  #lose(reason: LossReason): void {
    this.#context.onLost('websocket', reason)
    this.#socket.terminate()
  }

  #ping(): void {
    if (this.#silentBeats > 0) this.#context.onMissedHeartbeat()
    if (++this.#silentBeats > DEAD_AFTER_BEATS) return this.#lose('silent')
    this.#send(ping())
    this.#socket.ping()
  }

  /**
   * One pong may answer several pings, with the data of the last one (RFC 6455, 5.5.3). Peers that do not read get one
   * pong.
   */
  #answerPing(data: Buffer): void {
    this.#silentBeats = 0
    const waits = this.#pinged !== undefined
    this.#pinged = data
    // Pings that came together have one pong: written one by one, those of a few clients would keep all others waiting.
    if (!waits) setImmediate(() => (this.#sink.ready() ? this.#pong() : this.#sink.whenReady(this.#pong)))
  }

  readonly #pong = () => {
    if (this.#pinged && this.#isOpen) this.#socket.pong(this.#pinged)
    this.#pinged = undefined
  }

  #message(data: Buffer, isBinary: boolean): void {
    this.#silentBeats = 0
    if (this.#socket.readyState !== this.#socket.OPEN) return
    let [value, fault]: [unknown?, TwinrailError?] = []
    try {
      if (!isBinary) ({ value, fault } = readJson(data.toString(), 'message'))
    } catch (error) {
      // Text that is not JSON is refused below, like any other message that is not a JSON object.
      if (error instanceof TwinrailError) fault = error
    }
    if (value === null || typeof value !== 'object' || Array.isArray(value)) {
      const fatal = fault ?? new TwinrailError('bad-request', 'expected one JSON object in a text message')
      this.#send({ type: 'nack', id: null, ...refusalOf(fatal) })
      return this.close(fatal)
    }
    let command: Command
    try {
      if (fault) throw fault
      command = check(Command, value, 'command')
    } catch (error) {
      this.#refuse(idOf(value), error)
      return this.#throttle()
    }
    if (!this.#hold && command.type !== 'auth') {
      return this.close(
        new TwinrailError('unauthorized', 'the connection has no credentials; send the command auth first'),
      )
    }
    this.#enqueue(command, data.length)
  }

  /**
   * Executes commands of one session in the order in which they were sent. Commands of different sessions are
   * independent.
   */
  #enqueue(command: Command, bytes: number): void {
    const lane = 'sessionId' in command ? command.sessionId : ''
    this.#pending++
    this.#throttle()
    const before = this.#last.get(lane)
    const done = (before ?? Promise.resolve())
      .then(() => this.#execute(command, bytes))
      .catch(error => this.#refuse(command.id ?? null, error))
      .then(() => {
        if (this.#last.get(lane) === done) this.#last.delete(lane)
        this.#pending--
        this.#throttle()
      })
    this.#last.set(lane, done)
  }

  /** Pauses reading while too many commands are pending or too many bytes of answers are unread. */
  #throttle(): void {
    if (!this.#isOpen) return
    const unread = this.#sink.waitingBytes > UNREAD_BYTES
    if (unread) this.#sink.whenReady(this.#onReady)
    if (unread || this.#pending >= PENDING_COMMANDS) this.#socket.pause()
    else this.#socket.resume()
  }

  readonly #onReady = () => this.#throttle()

  get #isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN
  }

  async #execute(command: Command, bytes: number): Promise<void> {
    if (!this.#isOpen) return
    if (connectionCommandTypes.has(command.type)) return this.#control(command as ConnectionCommand, bytes)
    this.#context.connections.mustBeOpen()
    const { id, type, sessionId } = command as SessionCommand
    const principal = await allow(this.#context, this.#request, commandActions[type], sessionId)
    this.#context.door.take(this.#request, principal, bytes)
    const ack = await this.#context.sessions.execute(command as SessionCommand, principal)
    this.#send({ type: 'ack', id, ...ack })
  }

  async #control(command: ConnectionCommand, bytes: number): Promise<void> {
    switch (command.type) {
      case 'ping':
        return this.#send({
          type: 'pong',
          time: command.time,
          serverTime: Date.now(),
          ...(command.id !== undefined && { id: command.id }),
        })
      case 'subscribe':
        return this.#subscribe(command)
      case 'unsubscribe':
        this.#endSubscription(command.sessionId)
        return this.#send({ type: 'ack', id: command.id })
      case 'auth': {
        const { door } = this.#context
        const principal = await door.renew(this.#request, command.token, this.#hold?.principal)
        this.#send({ type: 'ack', id: command.id, ...expiryOf(principal) })
        if (this.#hold) return
        this.#unproven?.()
        return this.#open()
      }
      case 'worker':
        return this.#register(command, bytes)
      case 'work.append': {
        const { door, sessions } = this.#context
        const principal = await allow(this.#context, this.#request, 'work.append', command.sessionId)
        door.take(this.#request, principal, bytes)
        if (!this.#worker) throw notRegistered()
        const ack = await sessions.workers.append(this.#worker, command)
        return this.#send({ type: 'ack', id: command.id, ...ack })
      }
      case 'window': {
        const consumed = parseOffset(command.offset)
        if (consumed) this.#subscriptions.get(command.sessionId)?.subscription.grant(consumed)
        if (command.id !== undefined) this.#send({ type: 'ack', id: command.id })
      }
    }
  }

  /** The client is a worker: it may be given runs from now on. */
  async #register(command: Of<'worker'>, bytes: number): Promise<void> {
    const { door, connections, sessions } = this.#context
    const { agents } = command
    if (!agents && !this.#worker) throw notRegistered()
    if (agents) {
      connections.mustBeOpen()
      const actions = ['work.register', ...agents.map(({ name }) => `work:${name}`)] as Action[]
      const hold = await door.enter(this.#request, actions, undefined, [], refusal => this.close(refusal))
      this.#workerHold?.release()
      this.#workerHold = hold
      // The connection may have closed meanwhile.
      if (!this.#isOpen) return this.#leave()
      door.take(this.#request, hold.principal, bytes)
    }
    this.#worker ??= sessions.workers.connect({
      principal: (this.#hold as Hold).principal.id,
      send: control => this.#send(control),
      close: reason => this.close(reason),
      mayTake: (agent, sessionId) => door.mayDo(this.#request, ['work.append', `work:${agent}`], sessionId),
    })
    await sessions.workers.update(this.#worker, command)
    this.#send({ type: 'ack', id: command.id, renewMs: sessions.workers.renewMs })
  }

  #leave(): void {
    this.#workerHold?.release()
    if (this.#worker) this.#context.sessions.workers.disconnect(this.#worker)
  }

  async #subscribe(command: Of<'subscribe'>): Promise<void> {
    const { id, sessionId, windowBytes } = command
    this.#mustHaveRoom(sessionId)
    let subscription: Subscription<Buffer> | undefined
    let lost: TwinrailError | undefined
    const hold = await this.#context.door.enter(
      this.#request,
      subscribing(command),
      sessionId,
      ['subscriptions'],
      refusal => {
        lost = refusal
        subscription?.end('forbidden')
      },
    )
    try {
      await createIfWanted(this.#context, this.#request, sessionId, command)
      subscription = await this.#context.bus.subscribe({
        sessionId,
        options: command,
        sink: this.#sink,
        windowBytes,
        lag: { policy: command.lag, limits: lagLimits(command) },
        onTooSlow: () => {
          this.#context.onLost('websocket', 'too-slow')
          this.close(tooSlow())
        },
        onEnd: () => {
          if (this.#subscriptions.get(sessionId)?.subscription === subscription)
            this.#endSubscription(sessionId)
        },
      })
      // Subscriptions to other sessions may have been added in the meantime.
      this.#mustHaveRoom(sessionId)
      if (lost) throw lost
      if (!this.#isOpen) throw closed()
    } catch (error) {
      hold.release()
      subscription?.close()
      throw error
    }
    this.#endSubscription(sessionId)
    this.#subscriptions.set(sessionId, { subscription, hold })
    const { heartbeatMs = this.#sink.heartbeatMs } = command
    if (heartbeatMs < this.#sink.heartbeatMs) this.#sink.beatEvery(heartbeatMs)
    this.#send({ type: 'ack', id })
    subscription.start()
  }

  #endSubscription(sessionId: string): void {
    const ended = this.#subscriptions.get(sessionId)
    this.#subscriptions.delete(sessionId)
    ended?.hold.release()
    ended?.subscription.close()
  }

  /** @throws TwinrailError `conflict`, which is not retryable: the client must end a subscription first */
  #mustHaveRoom(sessionId: string): void {
    if (this.#subscriptions.has(sessionId) || this.#subscriptions.size < limits.subscriptions) return
    throw new TwinrailError(
      'conflict',
      `this connection has ${limits.subscriptions} subscriptions, the most that hello.limits allows; end one, or open another connection`,
    )
  }

  #refuse(id: string | null, error: unknown): void {
    if (!(error instanceof TwinrailError)) this.#request.log.error({ err: error }, 'a command failed')
    this.#send({ type: 'nack', id, ...refusalOf(error) })
  }

  #forget(): void {
    this.#context.arriving.set(this, 0)
    clearTimeout(this.#second)
    this.#unproven?.()
    this.#hold?.release()
    this.#leave()
    for (const sessionId of [...this.#subscriptions.keys()]) this.#endSubscription(sessionId)
    this.#sink.close()
    this.#context.connections.remove(this)
  }
}

/** What ws keeps of a message that is not complete. */
interface Receiver {
  readonly _buffers: readonly Buffer[]
  readonly _bufferedBytes: number
  readonly _fragments: readonly Buffer[]
  readonly _messageLength: number
}

/** Memory of a piece besides its bytes. */
const PIECE_BYTES = 256

/** Bytes of a message whose rest has not arrived. ws has them in fields that it does not document. */
function incompleteBytes(socket: WebSocket): number {
  const { _receiver: receiver } = socket as { _receiver?: Receiver }
  if (!receiver) return 0
  const { _buffers, _bufferedBytes, _fragments, _messageLength } = receiver
  return _bufferedBytes + _messageLength + (_buffers.length + _fragments.length) * PIECE_BYTES
}

function notRegistered(): TwinrailError {
  return new TwinrailError('bad-request', 'send the command worker with agents first', {
    details: { path: 'agents' },
  })
}

/** The refusal of a subscription whose connection has closed; nobody gets it. */
function closed(): TwinrailError {
  return new TwinrailError('unavailable', 'the connection was closed')
}

function failed(): TwinrailError {
  return new TwinrailError('internal', 'the server failed; its diagnostic output, if enabled, has the cause')
}

/** The `id` of a message that is not a valid command; `null` when it has none. */
function idOf(value: object): string | null {
  const { id } = value as { id?: unknown }
  return typeof id === 'string' && id.length > 0 && id.length <= 64 ? id : null
}

/** A close frame's reason holds 123 bytes of UTF-8. */
function truncated(reason: string): string {
  const bytes = Buffer.from(reason)
  return bytes.length <= 123
    ? reason
    : bytes
        .subarray(0, 120)
        .toString()
        .replace(/\uFFFD+$/, '')
}
