/**
 * The line between one client and a server: delays the bytes of all its connections as a network does. What TCP itself adds
 * is imitated where a proxy would hide it: its handshake takes a round trip, and a lost piece holds up its connection.
 */
import { connect, type Socket } from 'node:net'
import { micros } from '../clock.ts'
import type { Alarm } from './alarm.ts'
import { heldMs, type Profile } from './profiles.ts'

/** Largest piece on a line with a rate, in bytes: what one packet carries. */
const PIECE_BYTES = 1460

/** One direction of the line. */
interface Direction {
  /** When all that was sent so far has left, µs. */
  freeAt: number
  /** All that was sent so far. */
  bytes: number
}

export interface LineOptions {
  readonly profile: Profile
  readonly alarm: Alarm
  readonly random: () => number
  /** Called for each piece with how late it was handed on, µs. */
  onLate(us: number): void
}

export class Line {
  readonly up: Direction = { freeAt: 0, bytes: 0 }
  readonly down: Direction = { freeAt: 0, bytes: 0 }
  readonly #options: LineOptions
  readonly #sockets = new Set<Socket>()
  #isNextLost = false
  /** When the next piece is lost, µs. */
  #losesAt: number

  constructor(options: LineOptions) {
    this.#options = options
    this.#losesAt = this.#nextLoss()
  }

  /** The next piece to the client is lost, of whichever connection. */
  loseNext(): void {
    this.#isNextLost = true
  }

  /** Takes a new connection of the client. */
  carry(client: Socket, port: number): void {
    const server = connect({ port, host: '127.0.0.1', noDelay: true })
    client.setNoDelay()
    // The kernel has answered the client at once: what it sends counts from a round trip later.
    const establishedAt = micros() + this.#options.profile.roundTripMs * 1000
    this.#carry(client, server, this.up, establishedAt)
    this.#carry(server, client, this.down, 0)
  }

  /** Drops all connections. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #carry(from: Socket, to: Socket, direction: Direction, notBefore: number): void {
    const { profile, alarm } = this.#options
    /** When the connection's last piece arrives, µs. */
    let lastAt = 0
    this.#sockets.add(from)
    from.on('data', bytes => {
      direction.bytes += bytes.length
      const size = profile.bitsPerSecond === undefined ? bytes.length : PIECE_BYTES
      for (let at = 0; at < bytes.length; at += size) {
        const piece = bytes.subarray(at, at + size)
        const dueAt = this.#arrival(piece.length, direction, Math.max(micros(), notBefore))
        lastAt = Math.max(lastAt, dueAt)
        const arrivesAt = lastAt
        alarm.at(arrivesAt, () => {
          this.#options.onLate(micros() - arrivesAt)
          to.write(piece)
        })
      }
    })
    const after = (call: () => void) =>
      alarm.at(Math.max(lastAt, micros() + (profile.roundTripMs * 1000) / 2), call)
    from.on('end', () => after(() => to.end()))
    from.on('error', () => {})
    from.on('close', () => {
      this.#sockets.delete(from)
      after(() => to.destroy())
    })
  }

  /** @param now when the piece is sent, µs @returns when it arrives, unless an earlier one of its connection holds it up */
  #arrival(bytes: number, direction: Direction, now: number): number {
    const { profile, random } = this.#options
    const { roundTripMs, jitterMs = 0, bitsPerSecond = Number.POSITIVE_INFINITY } = profile
    direction.freeAt = Math.max(now, direction.freeAt) + (bytes * 8e6) / bitsPerSecond
    const held = this.#loses(direction, now) ? heldMs(profile) : 0
    return direction.freeAt + (roundTripMs / 2 + random() * jitterMs + held) * 1000
  }

  #loses(direction: Direction, now: number): boolean {
    if (this.#isNextLost && direction === this.down) {
      this.#isNextLost = false
      return true
    }
    if (now < this.#losesAt) return false
    this.#losesAt = this.#nextLoss()
    return true
  }

  #nextLoss(): number {
    const { profile, random } = this.#options
    const { losesEveryMs = Number.POSITIVE_INFINITY } = profile
    return micros() + losesEveryMs * (0.5 + random()) * 1000
  }
}
