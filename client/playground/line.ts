/** A client whose line can be cut and whose reader can be slowed, and what is measured of it. */

import { type Client, createClient, type SocketConstructor, type Transport } from '../index.ts'
import { LinkedAbortController } from '../linked-abort.ts'

export class Line {
  readonly name: string
  readonly client: Client
  /** What reading one event takes, in ms. */
  slowMs = 0
  /** Number of the last event that was read. */
  seq = 0
  #cut = false
  readonly #open = new Set<() => void>()

  constructor(name: string, transport: Transport | 'auto') {
    this.name = name
    const line = this
    class CuttableSocket extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols)
        const close = () => this.close()
        if (line.#cut) close()
        line.#open.add(close)
        this.addEventListener('close', () => line.#open.delete(close))
      }
    }
    this.client = createClient({
      url: location.origin,
      transport,
      fetch: (input, init) => this.#fetch(input, init),
      WebSocket: CuttableSocket as unknown as SocketConstructor,
      backoff: { baseMs: 500, capMs: 8000 },
    })
  }

  get cut(): boolean {
    return this.#cut
  }

  /** Breaks every connection and lets none be made, or lets them be made again. */
  setCut(cut: boolean): void {
    this.#cut = cut
    if (cut) for (const close of [...this.#open]) close()
    else dispatchEvent(new Event('online'))
  }

  /** Waits as a slow reader would, and notes how far it has come. */
  readonly read = async (event: object): Promise<void> => {
    if (this.slowMs > 0) await new Promise(resolve => setTimeout(resolve, this.slowMs))
    const { offset } = event as { offset?: string }
    if (offset) this.seq = Number(offset.split('-')[1])
  }

  async #fetch(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
    if (this.#cut) throw new TypeError('The line is cut')
    const connection = new LinkedAbortController(init.signal ?? undefined)
    const close = () => connection.abort(new TypeError('The line was cut'))
    this.#open.add(close)
    connection.signal.addEventListener('abort', () => this.#open.delete(close))
    return fetch(input, { ...init, signal: connection.signal })
  }
}
