/** The WebSocket rail: one socket per subscription. PROTOCOL.md, "WebSocket". */
import { ClientError, errorOfClose, errorOfRefusal } from './errors.ts'
import { endpoint, parseMessage, type Rail, type RailRequest, type Socket } from './rail.ts'
import { Watchdog } from './watchdog.ts'

/** Bytes of events that the server may send ahead of what was consumed: a page cannot stop its socket. */
const WINDOW_BYTES = 256 * 1024

/** Bytes that may lie here unread: the window, one event that is larger, and what does not count. */
const INBOX_BYTES = WINDOW_BYTES + 2 * 1024 * 1024

/** What was consumed is told after so many idle ms even if it is little: the next event may need the whole window. */
const IDLE_MS = 50

const encoder = new TextEncoder()

export const websocket: Rail = async function* (request) {
  const watchdog = new Watchdog(request.start.heartbeatMs)
  const socket = connect(request)
  const inbox = new Inbox(socket, request)
  const window = new Window(socket, request.sessionId)
  let broken = false
  try {
    for (;;) {
      const frame = await window.whileIdle(() => watchdog.wait(inbox.next()))
      let offset: string | undefined
      for (const json of frame.text.split('\n')) {
        const message = parseMessage(json)
        watchdog.heard(message)
        if (message.kind === 'event') {
          if ('offset' in message.event) offset = message.event.offset
        } else {
          const { control } = message
          if (control.type === 'hello') request.onOpen()
          if (control.type === 'nack') throw errorOfRefusal(control)
          if (control.type === 'ack') continue
        }
        yield message
      }
      window.consumed(offset, frame.bytes)
    }
  } catch (error) {
    broken = true
    throw error
  } finally {
    // `ws` waits half a minute for a broken peer to close, and keeps its process alive meanwhile
    if (broken && socket.terminate) socket.terminate()
    else socket.close(1000)
  }
}

function connect({ url, sessionId, start, headers, WebSocket }: RailRequest): Socket {
  if (!WebSocket)
    throw new TypeError('There is no global WebSocket here: pass one, as that of the ws package')
  const address = endpoint(url, 'ws')
  address.protocol = address.protocol.replace('http', 'ws')
  const socket = new WebSocket(address.href, ['twinrail.v1'], { headers })
  const subscribe = { type: 'subscribe', id: 'subscribe', sessionId, ...start, windowBytes: WINDOW_BYTES }
  socket.addEventListener('open', () => socket.send(JSON.stringify(subscribe)))
  return socket
}

interface Frame {
  text: string
  bytes: number
}

/** Frames that came and were not asked for yet; the window bounds them. */
class Inbox {
  readonly #frames: Frame[] = []
  #bytes = 0
  #failure: ClientError | undefined
  #wake: (() => void) | undefined

  constructor(socket: Socket, { signal, onBytes }: RailRequest) {
    socket.addEventListener('message', ({ data }) => {
      if (typeof data !== 'string')
        return this.#fail(new ClientError('protocol-error', 'A binary message came'))
      const bytes = encoder.encode(data).byteLength
      onBytes(bytes)
      this.#add({ text: data, bytes })
      if (this.#bytes <= INBOX_BYTES) return
      this.#fail(new ClientError('too-slow', 'More came than the window allows'))
      socket.close(1000)
    })
    socket.addEventListener('close', ({ code, reason }) => this.#fail(errorOfClose(code, reason)))
    socket.addEventListener('error', () => {}) // `close` follows, and says as much
    signal.addEventListener('abort', () => this.#fail(new ClientError('connection-lost', 'Aborted')))
  }

  /** The next frame; what came before a failure is given first. */
  async next(): Promise<Frame> {
    while (this.#frames.length === 0) {
      if (this.#failure) throw this.#failure
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    const frame = this.#frames.shift()!
    this.#bytes -= frame.bytes
    return frame
  }

  #add(frame: Frame): void {
    if (this.#failure) return
    // while nobody waits, a ping tells nothing that what stands before it does not
    if (this.#frames.length > 0 && frame.text.startsWith('{"type":"ping"')) return
    this.#frames.push(frame)
    this.#bytes += frame.bytes
    this.#wake?.()
  }

  #fail(error: ClientError): void {
    this.#failure ??= error
    this.#wake?.()
  }
}

/** Tells the server what was consumed: at half a window, or when nothing more comes. */
class Window {
  readonly #socket: Socket
  readonly #sessionId: string
  #offset: string | undefined
  #bytes = 0

  constructor(socket: Socket, sessionId: string) {
    this.#socket = socket
    this.#sessionId = sessionId
  }

  /** A frame was consumed; `offset` is that of its last event, if it had any. */
  consumed(offset: string | undefined, bytes: number): void {
    if (offset === undefined) return
    this.#offset = offset
    this.#bytes += bytes
    if (this.#bytes >= WINDOW_BYTES / 2) this.#tell()
  }

  /** Waits for what comes next, telling what is untold when that takes long. */
  async whileIdle<T>(wait: () => Promise<T>): Promise<T> {
    const timer = this.#offset === undefined ? undefined : setTimeout(() => this.#tell(), IDLE_MS)
    try {
      return await wait()
    } finally {
      clearTimeout(timer)
    }
  }

  #tell(): void {
    this.#socket.send(JSON.stringify({ type: 'window', sessionId: this.#sessionId, offset: this.#offset }))
    this.#offset = undefined
    this.#bytes = 0
  }
}
