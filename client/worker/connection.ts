/** One WebSocket of a worker: commands with their answers, and the messages of the server. */
import type { Credential, Credentials } from '../connection/credentials.ts'
import type { Socket } from '../connection/socket.ts'
import { PATIENCE, silent } from '../connection/watchdog.ts'
import { ClientError, errorOfClose, errorOfClosing, errorOfRefusal, isUnauthorized } from '../errors.ts'
import { type Cancel, type Control, type ControlOf, HEARTBEAT_MS, startInterval } from '../protocol.ts'

export interface ConnectionParts {
  readonly credential: Credential
  readonly credentials: Credentials
  /** The server is ready for commands. */
  onGreeted(): void
  /** A message about a run. */
  onWork(control: ControlOf<'work' | 'work-input' | 'work-over'>): void
  /** Called once, when nothing more comes. */
  onLost(error: ClientError): void
}

interface Reply {
  resolve(ack: ControlOf<'ack'>): void
  reject(error: ClientError): void
}

/** Appends without an answer, of all runs together, and UTF-16 units of them. */
const UNANSWERED = 64
const UNANSWERED_CHARS = 1024 * 1024

export class WorkerConnection {
  /** The credentials that the server knows of this socket. */
  credential: Credential
  greeted = false
  readonly #socket: Socket
  readonly #parts: ConnectionParts
  readonly #replies = new Map<string, Reply>()
  /** Appends that wait for the answers of others. */
  readonly #waiting: (Reply & { fields: string })[] = []
  #appending = 0
  #appendingChars = 0
  readonly #stopRenewing: () => void
  readonly #stopWatching: Cancel
  #heartbeatMs = HEARTBEAT_MS
  #receivedAt = Date.now()
  #ids = 0
  #failure: ClientError | undefined

  constructor(socket: Socket, parts: ConnectionParts) {
    this.credential = parts.credential
    this.#socket = socket
    this.#parts = parts
    this.#stopRenewing = parts.credentials.keep(this)
    socket.addEventListener('message', ({ data }) => this.#message(data))
    socket.addEventListener('close', ({ code, reason }) => this.fail(errorOfClose(code, reason)))
    socket.addEventListener('error', () => {}) // `close` follows with the reason
    this.#stopWatching = startInterval(HEARTBEAT_MS / 2, () => this.#watch())
  }

  /**
   * Sends a command and resolves with its ack.
   * @param fields the command's fields without `id`, as JSON members: `"type":"…","slots":1`
   * @throws ClientError the server's refusal, or why the connection was lost
   */
  command(fields: string): Promise<ControlOf<'ack'>> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(new ClientError('connection-lost', this.#failure.message))
      const id = `w${++this.#ids}`
      this.#replies.set(id, { resolve, reject })
      this.#socket.send(`{"id":"${id}",${fields}}`)
    })
  }

  /** As {@link command}, for events: waits its turn while as many are unanswered as the server wants. */
  append(fields: string): Promise<ControlOf<'ack'>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ fields, resolve, reject })
      this.#appendNext()
    })
  }

  #appendNext(): void {
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const { fields, resolve, reject } = next
      const isFull = this.#appending >= UNANSWERED || this.#appendingChars + fields.length > UNANSWERED_CHARS
      if (isFull && this.#appending > 0) return
      this.#waiting.shift()
      this.#appending++
      this.#appendingChars += fields.length
      this.command(fields)
        .finally(() => {
          this.#appending--
          this.#appendingChars -= fields.length
          this.#appendNext()
        })
        .then(resolve, reject)
    }
  }

  /** Gives the server a new token. */
  renew(token: string): Promise<ControlOf<'ack'>> {
    return this.command(`"type":"auth","token":${JSON.stringify(token)}`)
  }

  close(): void {
    this.fail(new ClientError('closed', 'The worker has stopped'))
  }

  /** Ends the connection; pending commands are rejected. */
  fail(error: ClientError): void {
    if (this.#failure) return
    this.#failure = error
    if (isUnauthorized(error)) this.#parts.credentials.refused(this.credential)
    this.#stopWatching()
    this.#stopRenewing()
    const lost = new ClientError('connection-lost', error.message, { cause: error })
    for (const { reject } of [...this.#replies.values(), ...this.#waiting.splice(0)]) reject(lost)
    this.#replies.clear()
    if (this.#socket.terminate && error.code !== 'closed') this.#socket.terminate()
    else this.#socket.close(1000)
    this.#parts.onLost(error)
  }

  #message(data: unknown): void {
    if (this.#failure) return
    this.#receivedAt = Date.now()
    try {
      for (const json of String(data).split('\n')) this.#receive(JSON.parse(json) as Control)
    } catch (cause) {
      this.fail(new ClientError('protocol-error', 'The server sent something else than JSON', { cause }))
    }
  }

  #receive(control: Control): void {
    switch (control.type) {
      case 'hello':
        this.greeted = true
        this.#heartbeatMs = control.heartbeatMs
        this.#parts.credentials.greeted(this, control)
        return this.#parts.onGreeted()
      case 'ack':
        return this.#settle(control.id)?.resolve(control)
      case 'nack':
        // With new credentials, on a new connection.
        if (control.code === 'unauthorized') return this.fail(errorOfRefusal(control))
        return this.#settle(control.id ?? '')?.reject(errorOfRefusal(control))
      case 'closing':
        return this.fail(errorOfClosing(control))
      case 'work':
      case 'work-input':
      case 'work-over':
        return this.#parts.onWork(control)
    }
  }

  #settle(id: string): Reply | undefined {
    const reply = this.#replies.get(id)
    this.#replies.delete(id)
    return reply
  }

  /** The server pings after each heartbeat of silence. */
  #watch(): void {
    const silentMs = Date.now() - this.#receivedAt
    if (silentMs > PATIENCE * this.#heartbeatMs) this.fail(silent(silentMs))
  }
}
