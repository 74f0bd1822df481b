/** A subscription's position in the log. PROTOCOL.md, "Ids, offsets, cursors". */
import { ClientError } from '../errors.ts'
import { type Position, parseOffset } from '../protocol.ts'
import type { Message } from './transport.ts'

/** Keeps the last offset only. Offsets are monotonic, so it is enough to detect duplicates. */
export class Cursor {
  readonly #contiguous: boolean
  #offset: string | undefined
  /** Where delivery on this connection starts, as `subscribed` says. */
  #start: string | undefined

  /** @param contiguous whether every offset is expected; false on a `run=` stream */
  constructor(after: string | undefined, contiguous: boolean) {
    this.#offset = after
    this.#contiguous = contiguous
  }

  /** The offset to resume after; `undefined` is the start of the log. */
  get offset(): string | undefined {
    return this.#offset
  }

  /**
   * Advances past `message`. Returns false for a duplicate.
   * @throws ClientError `out-of-step` when an event leaves a hole or overlaps what was delivered
   */
  take(message: Message): boolean {
    if (message.kind === 'event') return 'offset' in message.event ? this.#event(message.event) : true
    const { control } = message
    if (control.type === 'subscribed') {
      this.#start = control.after
      this.#advance(control.after)
    }
    if (control.type === 'caught-up') this.#advance(control.offset)
    if (control.type === 'gap') this.#advance(control.to)
    if (control.type === 'reset') this.#reset(control.head)
    return true
  }

  #event({ offset, from }: { offset: string; from?: string }): boolean {
    const at = positionOf(offset)
    const seen = this.#offset === undefined ? undefined : positionOf(this.#offset)
    if (seen?.epoch === at.epoch && at.seq <= seen.seq) return false
    if (seen) {
      const first = from ? positionOf(from) : at
      const fits = this.#contiguous ? first.seq === seen.seq + 1 : first.seq > seen.seq
      if (!fits || at.epoch !== seen.epoch) {
        throw new ClientError('out-of-step', `${from ?? offset} came after ${this.#offset}`)
      }
    }
    this.#offset = offset
    return true
  }

  #advance(offset: string): void {
    const seen = this.#offset === undefined ? undefined : positionOf(this.#offset)
    const at = positionOf(offset)
    if (seen?.epoch !== at.epoch || at.seq > seen.seq) this.#offset = offset
  }

  /** Drops the position. The connection's start stays valid when it belongs to the new log. */
  #reset(head: string): void {
    const start = this.#start === undefined ? undefined : positionOf(this.#start)
    const end = positionOf(head)
    this.#offset = start?.epoch === end.epoch && start.seq <= end.seq ? this.#start : undefined
  }
}

function positionOf(offset: string): Position {
  const position = parseOffset(offset)
  if (!position) throw new ClientError('protocol-error', `The server sent a malformed offset: ${offset}`)
  return position
}
