/** A client whose network can be cut and whose reader can be slowed down, for the playground. */

import { type Client, createClient, type SocketConstructor, type Transport } from '../index.ts'

/** A client that simulates a bad network and a slow reader. */
export class ThrottledClient {
  readonly name: string
  readonly client: Client
  /** Time that the reader spends on one event, in ms. */
  slowMs = 0
  /** Sequence number of the last event that was read. */
  seq = 0
  #cut = false
  readonly #open = new Set<() => void>()

  constructor(name: string, transport: Transport | 'auto') {
    this.name = name
    const owner = this
    class CuttableSocket extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols)
        const close = () => this.close()
        if (owner.#cut) close()
        owner.#open.add(close)
        this.addEventListener('close', () => owner.#open.delete(close))
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

  /** Breaks every connection and refuses new ones, or allows them again. */
  setCut(cut: boolean): void {
    this.#cut = cut
    if (cut) for (const close of [...this.#open]) close()
    else dispatchEvent(new Event('online'))
  }

  /** Waits as a slow reader would, and notes the event's number. */
  readonly read = async (event: object): Promise<void> => {
    if (this.slowMs > 0) await new Promise(resolve => setTimeout(resolve, this.slowMs))
    const { offset } = event as { offset?: string }
    if (offset) this.seq = Number(offset.split('-')[1])
  }

  async #fetch(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
    if (this.#cut) throw new TypeError('The network is cut')
    const connection = new AbortController()
    const close = () => connection.abort(new TypeError('The network was cut'))
    this.#open.add(close)
    init.signal?.addEventListener('abort', () => {
      this.#open.delete(close)
      connection.abort(init.signal?.reason)
    })
    return fetch(input, { ...init, signal: connection.signal })
  }
}
