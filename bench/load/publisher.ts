/** Posts events at any pace, on a bare socket. */
import { connect, type Socket } from 'node:net'

/** Posts on one connection, without waiting for answers, so that events keep their order. */
export class Publisher {
  readonly #socket: Socket
  #open = 0
  #rest = ''
  #failure: Error | undefined
  #whenAnswered = () => {}

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.on('data', bytes => this.#read(bytes.toString('latin1')))
    this.#socket.on('error', error => this.#fail(error))
    this.#socket.on('close', () => this.#fail(new Error('the server closed the publisher’s connection')))
  }

  /** Posts all texts in one write. */
  post(path: string, texts: readonly string[]): void {
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
