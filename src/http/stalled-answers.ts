/** Cuts clients that do not read their answers. */
import type { ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { type Cancel, startInterval } from '../protocol/timers.ts'
import { streamOf } from './http2.ts'

/** While requests wait for memory that other answers use, an answer without progress is cut after this time, in ms. */
const CROWDED_MS = 1000

/** An answer that may be waiting for its client to read. */
export interface Sending {
  /**
   * Bytes of pieces that have not been written to the connection yet. The last piece counts until the answer ends: it may
   * wait in a buffer when no more pieces are asked for.
   */
  left: number
  /** Unsent bytes at the last check, and the time since which this number is the same. */
  waited: number
  since: number
}

/** Closes the connections, or on HTTP/2 the streams, of answers without progress. */
export class StallWatch {
  readonly #answers: ReadonlyMap<ServerResponse, Sending>
  readonly #stallMs: number
  readonly #isCrowded: () => boolean
  /** What is about to be closed. */
  readonly #stalled = new Set<Socket | ServerHttp2Stream>()
  #stopLooking: Cancel | undefined

  /**
   * @param answers those that are not finished
   * @param stallMs time without progress, in ms
   * @param isCrowded whether requests wait for memory that these answers use
   */
  constructor(answers: ReadonlyMap<ServerResponse, Sending>, stallMs: number, isCrowded: () => boolean) {
    this.#answers = answers
    this.#stallMs = stallMs
    this.#isCrowded = isCrowded
  }

  /** Called when there is an answer. */
  begin(): void {
    const everyMs = Math.min(CROWDED_MS, this.#stallMs) / 4
    this.#stopLooking ??= startInterval(everyMs, () => this.#look(), { unref: true })
  }

  /** Called when there is no answer any more. */
  end(): void {
    this.#stopLooking?.()
    this.#stopLooking = undefined
  }

  #look(): void {
    const now = performance.now()
    const patience = this.#isCrowded() ? Math.min(CROWDED_MS, this.#stallMs) : this.#stallMs
    for (const [response, answer] of this.#answers) {
      const wire = streamOf(response) ?? response.socket ?? undefined
      // An open event stream has a time limit of its own.
      const waits = response.writableEnded || answer.left > 0 ? answer.left + (wire?.writableLength ?? 0) : 0
      if (waits !== answer.waited || waits === 0) {
        answer.waited = waits
        answer.since = now
      } else if (now - answer.since >= patience && wire) this.#stalled.add(wire)
    }
    if (this.#stalled.size > 0) this.#cutNext()
  }

  /** One in each turn of the event loop: a connection may have a thousand requests, each of which is ended with it. */
  #cutNext(): void {
    const [wire] = this.#stalled
    if (!wire) return
    wire.destroy()
    this.#stalled.delete(wire)
    if (this.#stalled.size > 0) setImmediate(() => this.#cutNext())
  }
}
