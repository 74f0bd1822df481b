/** One client (virtual user): follows its sessions over a connection, records each event it gets, and sends commands. */
import { micros } from '../clock.ts'
import type { ClientConnection, ConnectionHandlers } from './connections/connection.ts'
import { DeliveryLog } from './delivery-log.ts'
import { EventScanner, type ScanHandlers } from './event-scanner.ts'

export interface ClientOptions {
  readonly sessionIds: readonly string[]
  /** Makes the connections for one `open`. */
  connect(handlers: ConnectionHandlers): ClientConnection
  /** The server sends `caught-up` on each stream once it is current. */
  readonly catchesUp: boolean
}

/** Catch-up timeout in ms. Generous: a slow machine must not look like a broken server. */
const CATCH_UP_MS = 60_000

interface PendingCommand {
  resolve(offset: string | undefined): void
  reject(error: Error): void
}

export class Client implements ConnectionHandlers {
  /** What it has received of each of its sessions, in their order. */
  readonly deliveries: readonly DeliveryLog[]
  /** Arrival time of each ephemeral event of the phase, µs, by its number. */
  ephemeral = new Map<number, number>()
  /** Ephemeral events that came twice. */
  doubledEphemeral = 0
  /** Connections that were lost, and attempts that failed. */
  lost = 0
  /** Arrival of the first event, µs; 0 before it. */
  firstEventAt = 0
  /** A planted fault: the next event is dropped or counted twice, to show that the checks find it. */
  plant: 'lost' | 'doubled' | undefined
  readonly #options: ClientOptions
  readonly #pending = new Map<string, PendingCommand>()
  #connection: ClientConnection | undefined
  #scanners: EventScanner[] = []
  /** Arrival of the last bytes, µs. */
  lastBytesAt = 0
  #commands = 0
  #caughtUp = 0
  #onCaughtUp: () => void = () => {}
  #onCut: () => void = () => {}

  constructor(options: ClientOptions) {
    this.#options = options
    this.deliveries = options.sessionIds.map(() => new DeliveryLog())
  }

  /** Connects, continues where it left off, and resolves once it has every event up to the heads. */
  async open(): Promise<void> {
    const { sessionIds, connect, catchesUp } = this.#options
    this.#scanners = sessionIds.map(() => new EventScanner(this.#scanned))
    this.#caughtUp = 0
    this.#connection = connect(this)
    const current = catchesUp ? this.#current(sessionIds.length) : Promise.resolve()
    // When both fail, the connection's error has the reason.
    current.catch(() => {})
    try {
      await this.#connection.open(sessionId => this.#cursor(sessionId))
      await current
    } catch (error) {
      this.lost++
      throw error
    }
  }

  /** Sends a command; resolves with the offset of its ack, if any. Rejects when it is refused or the connection is cut. */
  async command(sessionId: string, command: object): Promise<string | undefined> {
    const connection = this.#connection as ClientConnection
    const id = `c${++this.#commands}`
    if (connection.post) {
      const { status, body } = await connection.post(sessionId, { ...command, id })
      if (status !== 200) throw new Error(`a command was answered ${status}: ${body}`)
      return (JSON.parse(body.toString()) as { offset?: string }).offset
    }
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      connection.send?.(JSON.stringify({ ...command, sessionId, id }))
    })
  }

  /** Closes its connections; `open` makes new ones. */
  cut(): void {
    this.#connection?.cut()
    for (const { reject } of this.#pending.values())
      reject(new Error('the connection was cut before the answer'))
    this.#pending.clear()
    this.#onCut()
  }

  onBytes(stream: number, bytes: Buffer): void {
    this.lastBytesAt = micros()
    this.#scanners[stream]?.push(bytes)
  }

  onLost(): void {
    this.lost++
    this.cut()
  }

  #cursor(sessionId: string): string | undefined {
    const { epoch, seq } = this.deliveries[this.#options.sessionIds.indexOf(sessionId)] as DeliveryLog
    return seq < 0 ? undefined : `${epoch}-${seq}`
  }

  #current(streams: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (why: string) => {
        clearTimeout(late)
        reject(new Error(`a client had not caught up: ${why}`))
      }
      const late = setTimeout(fail, CATCH_UP_MS, `it took longer than ${CATCH_UP_MS} ms`)
      this.#onCut = () => fail('its connection was cut')
      this.#onCaughtUp = () => {
        if (++this.#caughtUp < streams) return
        clearTimeout(late)
        resolve()
      }
    })
  }

  readonly #scanned: ScanHandlers = {
    onEvent: event => {
      if (this.firstEventAt === 0) this.firstEventAt = this.lastBytesAt
      const { sessionIds } = this.#options
      // Other servers have no sessions: there is one server for each session.
      const session = sessionIds.length === 1 ? 0 : sessionIds.indexOf(event.sessionId)
      const deliveries = this.deliveries[session] as DeliveryLog
      const times = this.plant === 'lost' ? 0 : this.plant === 'doubled' ? 2 : 1
      this.plant = undefined
      for (let i = 0; i < times; i++) deliveries.add(event, this.lastBytesAt)
    },
    onEphemeral: number => {
      if (this.ephemeral.has(number)) this.doubledEphemeral++
      else this.ephemeral.set(number, this.lastBytesAt)
    },
    onControl: (type, text) => {
      if (type === 'caught-up') this.#onCaughtUp()
      else if (type === 'ack' || type === 'nack') this.#answered(type, text)
    },
  }

  #answered(type: 'ack' | 'nack', text: string): void {
    const id = /"id":"([^"]+)"/.exec(text)?.[1] ?? ''
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    if (type === 'ack') pending?.resolve(/"offset":"([^"]+)"/.exec(text)?.[1])
    else pending?.reject(new Error(`a command was refused: ${text}`))
  }
}
