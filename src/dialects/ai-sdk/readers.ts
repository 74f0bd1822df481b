/** Whether all readers of a run have got its end. A client that asks for the run again is told that nothing is left then. */
import type { Socket } from 'node:net'

/** Runs that are remembered. An older one is sent once more if it is asked for. */
const MAX_RUNS = 10_000

/** A connection that closes this soon after the end of a response may have lost the end, in ms. */
const DOUBT_MS = 1000

/** Readers that got the end of a run, and readers that left before it. */
interface Readers {
  served: number
  missing: number
}

export class RunReaders {
  readonly #runs = new Map<string, Readers>()
  /** What the close of a connection puts in doubt. One connection may carry many responses. */
  readonly #doubts = new WeakMap<Socket, Set<() => void>>()

  /** A reader left before the end. It may come back, and cannot be told from a new one then. */
  left(run: string): void {
    this.#of(run).missing++
  }

  /** The response with the end of the run was written whole to this connection. */
  served(run: string, socket: Socket): void {
    const readers = this.#of(run)
    const doubt = () => {
      readers.served--
      readers.missing++
    }
    readers.served++
    if (socket.destroyed) return doubt()
    const doubts = this.#doubtsOf(socket)
    doubts.add(doubt)
    setTimeout(() => doubts.delete(doubt), DOUBT_MS).unref()
  }

  #doubtsOf(socket: Socket): Set<() => void> {
    const known = this.#doubts.get(socket)
    if (known) return known
    const doubts = new Set<() => void>()
    this.#doubts.set(socket, doubts)
    socket.once('close', () => {
      for (const doubt of doubts) doubt()
    })
    return doubts
  }

  /** Whether somebody got the end, and nobody is known to have left before it. */
  haveEnd(run: string): boolean {
    const readers = this.#runs.get(run)
    return readers !== undefined && readers.served > 0 && readers.missing === 0
  }

  #of(run: string): Readers {
    const known = this.#runs.get(run)
    if (known) return known
    const made = { served: 0, missing: 0 }
    this.#runs.set(run, made)
    const [oldest] = this.#runs.keys()
    if (this.#runs.size > MAX_RUNS && oldest !== undefined) this.#runs.delete(oldest)
    return made
  }
}
