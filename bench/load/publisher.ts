/** Posts events at any pace, on a bare socket. */
import { connect, type Socket } from 'node:net'

/**
 * Posts on one connection, without waiting for answers, so that events keep their order. A server closes a connection that
 * is idle for long, as while another one has its turn: the next post opens another.
 */
export class Publisher {
  readonly #port: number
  #socket: Socket
  #open = 0
  #rest = ''
  #failure: Error | undefined
  #whenAnswered = () => {}

  constructor(port: number) {
    this.#port = port
    this.#socket = this.#connect()
  }

  /** Posts all texts in one write. */
  post(path: string, texts: readonly string[]): void {
    if (this.#socket.destroyed || this.#socket.readableEnded) this.#socket = this.#connect()
    this.#open += texts.length
    const head = `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n`
    const requests = texts.map(text => `${head}content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`)
    this.#socket.write(requests.join(''))
  }

  /** Resolves once every post is answered. @throws Error when one was refused */
  async answered(): Promise<void> {
    if (this.#open > 0 && !this.#failure) {
      await new Promise<void>(resolve => {
        this.#whenAnswered = resolve
      })
    }
    if (this.#failure) throw this.#failure
  }

  close(): void {
    this.#socket.removeAllListeners('close').destroy()
  }

  #connect(): Socket {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    socket.on('data', bytes => this.#read(bytes.toString('latin1')))
    socket.on('error', error => this.#fail(error))
    socket.on('close', () => {
      if (this.#open > 0) this.#fail(new Error('the server closed the publisher’s connection'))
    })
    return socket
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split('\r\n')
    this.#rest = lines.pop() as string
    for (const line of lines) {
      const status = /HTTP\/1\.1 (\d+)/.exec(line)?.[1]
      if (status === undefined) continue
      this.#open--
      if (!status.startsWith('2')) this.#fail(new Error(`a post was answered ${status}`))
    }
    if (this.#open === 0) this.#whenAnswered()
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#whenAnswered()
  }
}
