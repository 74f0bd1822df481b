/** WebSocket: many subscriptions and all commands on one socket. PROTOCOL.md, "WebSocket". */
import type { FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import { commandActions, countedCommands } from '../auth/actions.ts'
import type { Hold } from '../auth/door.ts'
import { websocketDeflate } from '../bus/compression.ts'
import { websocket } from '../bus/encoding.ts'
import type { Holder } from '../http/arriving.ts'
import {
  Command,
  type ConnectionCommand,
  type Control,
  check,
  connectionCommandTypes,
  parseOffset,
  readJson,
  refusalOf,
  type SessionCommand,
  TwinrailError,
} from '../protocol/index.ts'
import { type Cancel, startTimer } from '../protocol/timers.ts'
import { isJoint } from '../sessions/commands.ts'
import { CommandLanes } from './command-lanes.ts'
import type { Connection } from './connections.ts'
import {
  closing,
  expiryOf,
  hello,
  type LossReason,
  newConnectionId,
  ping,
  SECOND_MESSAGE_MS,
  type TransportContext,
} from './context.ts'
import { dropIncomplete, incompleteBytes } from './incomplete-message.ts'
import type { SocketPeer } from './socket-peer.ts'
import { SocketSink } from './socket-sink.ts'
import { SocketSubscriptions } from './socket-subscriptions.ts'
import { SocketWorker } from './socket-worker.ts'

/** The subprotocol that this server speaks. */
export const SUBPROTOCOL = 'twinrail.v1'

/** Maximum number of pending commands on one connection. The socket is not read while there are as many. */
const PENDING_COMMANDS = 100

/** Maximum number of buffered bytes of answers for one connection. The socket is not read while there are more. */
const UNREAD_BYTES = 256 * 1024

/** Number of heartbeats without any message after which the peer counts as dead. */
const DEAD_AFTER_BEATS = 3

/** A ping without data (RFC 6455, section 5.5.2). */
const PING = Buffer.from([0x89, 0])

/** Serves an upgraded socket until it closes. */
export function serveWebSocket(context: TransportContext, socket: WebSocket, request: FastifyRequest): void {
  new WebSocketConnection(context, socket, request)
}

class WebSocketConnection implements Connection, Holder {
  readonly transport = 'websocket'
  readonly id = newConnectionId()
  readonly #context: TransportContext
  readonly #socket: WebSocket
  readonly #request: FastifyRequest
  readonly #sink: SocketSink
  readonly #subscriptions: SocketSubscriptions
  readonly #worker: SocketWorker
  /** The right to the connection; none before `hello`. */
  #hold: Hold | undefined
  /** Ends the wait for the `auth` of a connection without credentials. */
  #unproven: Cancel | undefined
  readonly #lanes = new CommandLanes({
    execute: (command, bytes) => this.#execute(command, bytes),
    refuse: ({ id }, error) => this.#refuse(id ?? null, error),
    onChange: () => this.#throttle(),
  })
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
    const peer: SocketPeer = {
      context,
      request,
      sink: this.#sink,
      connection: this,
      isOpen: () => this.#isOpen,
      close: reason => this.close(reason),
    }
    this.#subscriptions = new SocketSubscriptions(peer)
    this.#worker = new SocketWorker(peer)
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

  get principal(): string {
    return this.#hold?.principal.id ?? ''
  }

  get sentBytes(): number {
    return this.#sink.sentBytes
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
    this.#send(hello(this.id, this.#context.heartbeatMs, this.#hold.principal))
    this.#sink.beatEvery(this.#context.heartbeatMs)
    this.#second = setTimeout(() => {
      // A timer that has ended is still memory.
      this.#second = undefined
      this.#send(ping())
    }, SECOND_MESSAGE_MS)
    this.#socket.resume()
  }

  /** The memory of its unfinished message is needed for others. */
  giveUp(): void {
    this.#lose('incomplete')
    dropIncomplete(this.#socket)
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
    const { encoding } = this.#sink
    // Both pings in one write, which costs more than all else about them.
    const make = () => Buffer.concat([encoding.control(ping()), PING])
    this.#sink.encoded(this.#context.heartbeats.ofTurn(encoding, make))
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
      this.#sink.answer({ type: 'nack', id: null, ...refusalOf(fatal) })
      return this.close(fatal)
    }
    if (this.#hold && isCounted(value)) {
      const refusal = this.#context.door.takeCommand(this.#request, this.#hold.principal)
      if (refusal) {
        this.#sink.answer({ type: 'nack', id: idOf(value), ...refusalOf(refusal) })
        return this.#throttle()
      }
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
    this.#lanes.add(command, data.length)
  }

  /** Pauses reading while too many commands are pending or too many bytes of answers are unread. */
  #throttle(): void {
    if (!this.#isOpen) return
    const unread = this.#sink.waitingBytes > UNREAD_BYTES
    if (unread) this.#sink.whenReady(this.#onReady)
    if (unread || this.#lanes.pending >= PENDING_COMMANDS) this.#socket.pause()
    else this.#socket.resume()
  }

  readonly #onReady = () => this.#throttle()

  get #isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN
  }

  /** @returns `done` when the command is under way and the next one need not wait for its answer */
  async #execute(command: Command, bytes: number): Promise<{ done: Promise<void> } | undefined> {
    if (!this.#isOpen) return
    if (connectionCommandTypes.has(command.type)) {
      await this.#control(command as ConnectionCommand, bytes)
      return
    }
    this.#context.connections.mustBeOpen()
    const { id, type, sessionId } = command as SessionCommand
    const { door } = this.#context
    // All commands that have a session count, and were counted when they came.
    const principal = await door.allow(this.#request, commandActions[type], sessionId, { isCounted: true })
    door.take(this.#request, principal, bytes)
    const acked = this.#context.sessions
      .execute(command as SessionCommand, principal)
      .then(ack => this.#sink.answer({ type: 'ack', id, ...ack }))
    if (isJoint(command as SessionCommand)) return { done: acked }
    await acked
  }

  async #control(command: ConnectionCommand, bytes: number): Promise<void> {
    switch (command.type) {
      case 'ping':
        return this.#sink.answer({
          type: 'pong',
          time: command.time,
          serverTime: Date.now(),
          ...(command.id !== undefined && { id: command.id }),
        })
      case 'subscribe':
        return this.#subscriptions.subscribe(command)
      case 'unsubscribe':
        this.#subscriptions.end(command.sessionId)
        return this.#sink.answer({ type: 'ack', id: command.id })
      case 'auth': {
        const { door } = this.#context
        const principal = await door.renew(this.#request, command.token, this.#hold?.principal)
        this.#sink.answer({ type: 'ack', id: command.id, ...expiryOf(principal) })
        if (this.#hold) return
        this.#unproven?.()
        return this.#open()
      }
      case 'worker':
        return this.#worker.register(command, bytes)
      case 'work.append':
        return this.#worker.append(command, bytes)
      case 'window': {
        const consumed = parseOffset(command.offset)
        if (consumed) this.#subscriptions.grant(command.sessionId, consumed)
        if (command.id !== undefined) this.#sink.answer({ type: 'ack', id: command.id })
      }
    }
  }

  #refuse(id: string | null, error: unknown): void {
    if (!(error instanceof TwinrailError)) this.#request.log.error({ err: error }, 'a command failed')
    this.#sink.answer({ type: 'nack', id, ...refusalOf(error) })
  }

  #forget(): void {
    this.#context.arriving.set(this, 0)
    clearTimeout(this.#second)
    this.#unproven?.()
    this.#hold?.release()
    this.#worker.leave()
    this.#subscriptions.endAll()
    this.#sink.close()
    this.#context.connections.remove(this)
  }
}

/** Whether a message is a command that counts towards the limit of commands. */
function isCounted(value: object): boolean {
  const { type } = value as { type?: unknown }
  return typeof type === 'string' && countedCommands.has(type)
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
