/** One client: follows its sessions over a rail, knows exactly what it has of each, and sends commands. */
import { micros } from '../clock.ts'
import { Finder, type Found } from './finder.ts'
import type { Ears, Rail } from './rails/rail.ts'
import { Track } from './track.ts'

export interface ClientOptions {
  readonly sessionIds: readonly string[]
  /** Connections for one time. */
  makeRail(ears: Ears): Rail
  /** The server says `caught-up` on each stream. */
  readonly catchesUp: boolean
}

/** Who has not caught up by then never will, ms. */
const CATCH_UP_MS = 20_000

interface Waiting {
  resolve(offset: string | undefined): void
  reject(error: Error): void
}

export class Client implements Ears {
  /** What it has of each of its sessions, in their order. */
  readonly tracks: readonly Track[]
  /** When each ephemeral event of the phase came, µs, by its number. */
  ephemeral = new Map<number, number>()
  /** Ephemeral events that came again. */
  doubledEphemeral = 0
  /** Connections that it lost, and those that it could not make. */
  lost = 0
  /** When it got its first event, µs; 0 before. */
  firstEventAt = 0
  /** Set once to have the next event reach it not at all or twice: to see that this is found. */
  plant: 'lost' | 'doubled' | undefined
  readonly #options: ClientOptions
  readonly #waiting = new Map<string, Waiting>()
  #rail: Rail | undefined
  #finders: Finder[] = []
  #now = 0
  #commands = 0
  #caughtUp = 0
  #onCaughtUp: () => void = () => {}
  #onCut: () => void = () => {}

  constructor(options: ClientOptions) {
    this.#options = options
    this.tracks = options.sessionIds.map(() => new Track())
  }

  /** Connects, from where it stands, and resolves once it has everything up to the heads. */
  async open(): Promise<void> {
    const { sessionIds, makeRail, catchesUp } = this.#options
    this.#finders = sessionIds.map(() => new Finder(this.#found))
    this.#caughtUp = 0
    this.#rail = makeRail(this)
    const current = catchesUp ? this.#current(sessionIds.length) : Promise.resolve()
    // When both fail, it is the rail that knows why.
    current.catch(() => {})
    try {
      await this.#rail.open(sessionId => this.#cursor(sessionId))
      await current
    } catch (error) {
      this.lost++
      throw error
    }
  }

  /** Sends a command; resolves with its ack's offset, if it has one. Rejects when it is refused or the line is cut. */
  async command(sessionId: string, command: object): Promise<string | undefined> {
    const rail = this.#rail as Rail
    const id = `c${++this.#commands}`
    if (rail.post) {
      const { status, body } = await rail.post(sessionId, { ...command, id })
      if (status !== 200) throw new Error(`a command was answered ${status}: ${body}`)
      return (JSON.parse(body.toString()) as { offset?: string }).offset
    }
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      rail.say?.(JSON.stringify({ ...command, sessionId, id }))
    })
  }

  /** Cuts its connections; `open` makes new ones. */
  cut(): void {
    this.#rail?.cut()
    for (const { reject } of this.#waiting.values()) reject(new Error('the line was cut before the answer'))
    this.#waiting.clear()
    this.#onCut()
  }

  onBytes(stream: number, bytes: Buffer): void {
    this.#now = micros()
    this.#finders[stream]?.push(bytes)
  }

  onLost(): void {
    this.lost++
    this.cut()
  }

  #cursor(sessionId: string): string | undefined {
    const { epoch, seq } = this.tracks[this.#options.sessionIds.indexOf(sessionId)] as Track
    return seq < 0 ? undefined : `${epoch}-${seq}`
  }

  #current(streams: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (why: string) => {
        clearTimeout(late)
        reject(new Error(`a client had not caught up: ${why}`))
      }
      const late = setTimeout(fail, CATCH_UP_MS, `${CATCH_UP_MS} ms were over`)
      this.#onCut = () => fail('its line was cut')
      this.#onCaughtUp = () => {
        if (++this.#caughtUp < streams) return
        clearTimeout(late)
        resolve()
      }
    })
  }

  readonly #found: Found = {
    onEvent: (sessionId, epoch, seq, from) => {
      if (this.firstEventAt === 0) this.firstEventAt = this.#now
      const { sessionIds } = this.#options
      // Other servers know nothing of sessions: there is a server for each.
      const track = this.tracks[sessionIds.length === 1 ? 0 : sessionIds.indexOf(sessionId)] as Track
      const times = this.plant === 'lost' ? 0 : this.plant === 'doubled' ? 2 : 1
      this.plant = undefined
      for (let i = 0; i < times; i++) track.take(epoch, from, seq, this.#now)
    },
    onEphemeral: number => {
      if (this.ephemeral.has(number)) this.doubledEphemeral++
      else this.ephemeral.set(number, this.#now)
    },
    onControl: (type, text) => {
      if (type === 'caught-up') this.#onCaughtUp()
      else if (type === 'ack' || type === 'nack') this.#answered(type, text)
    },
  }

  #answered(type: 'ack' | 'nack', text: string): void {
    const id = /"id":"([^"]+)"/.exec(text)?.[1] ?? ''
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (type === 'ack') waiting?.resolve(/"offset":"([^"]+)"/.exec(text)?.[1])
    else waiting?.reject(new Error(`a command was refused: ${text}`))
  }
}
