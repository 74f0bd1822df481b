/** A bounded queue for consumers that take events in batches, such as a page that draws once per frame. */
import type { SessionEvent } from './events.ts'
import { deltaParts, FOLD_BYTES, type TwinrailEvent } from './protocol.ts'

/** Default number of messages that a queue holds before its reader has to wait. */
export const QUEUE_LIMIT = 100

/** Two neighbouring deltas of one part as one event, as the server folds them; `undefined` when they do not fold. */
function folded(before: SessionEvent, next: SessionEvent): TwinrailEvent | undefined {
  const field = deltaParts[next.type]
  if (!field || before.type !== next.type) return undefined
  const [old, added] = [before, next] as unknown as [Delta, Delta]
  if (old.runId !== added.runId || old.data[field] !== added.data[field]) return undefined
  const delta = old.data.delta + added.data.delta
  if (delta.length > FOLD_BYTES / 2) return undefined
  // On Node 20 object spread takes eight times as long.
  return Object.assign({}, added, {
    from: old.from ?? old.offset,
    data: Object.assign({}, added.data, { delta }),
  }) as unknown as TwinrailEvent
}

interface Delta {
  runId?: string
  offset: string
  from?: string
  data: { delta: string; [field: string]: unknown }
}

/**
 * A queue of about `limit` messages (default {@link QUEUE_LIMIT}). When it is full, it folds neighbouring deltas, then
 * drops ephemeral events; it drops no others. A producer that awaits {@link room} before each {@link push} keeps the
 * limit.
 */
export class EventQueue {
  readonly #limit: number
  #held: SessionEvent[] = []
  #wake: (() => void) | undefined
  /** Events that this queue folded into others. */
  folded = 0
  /** Ephemeral events that this queue dropped. */
  dropped = 0

  constructor(limit = QUEUE_LIMIT) {
    this.#limit = limit
  }

  /** Number of messages in the queue. */
  get length(): number {
    return this.#held.length
  }

  /** Adds a message. Folds and drops others when the limit is exceeded, and never fails. */
  push(event: SessionEvent): void {
    this.#held.push(event)
    if (this.#held.length <= this.#limit) return
    this.#fold()
    if (this.#held.length > this.#limit) this.#drop()
  }

  /** Removes and returns all messages, in order. */
  take(): SessionEvent[] {
    const taken = this.#held
    this.#held = []
    this.#wake?.()
    return taken
  }

  /** Resolves when there is room for another message. */
  async room(): Promise<void> {
    while (this.#held.length >= this.#limit) {
      this.#fold()
      if (this.#held.length < this.#limit) return
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  /** Ephemeral events are unordered, so a fold may reach over them. */
  #fold(): void {
    const kept: SessionEvent[] = []
    let last = -1
    for (const event of this.#held) {
      const joined = last < 0 ? undefined : folded(kept[last]!, event)
      if (joined) {
        kept[last] = joined
        this.folded += 1
        continue
      }
      if (!('ephemeral' in event)) last = kept.length
      kept.push(event)
    }
    this.#held = kept
  }

  #drop(): void {
    const kept = this.#held.filter(event => !('ephemeral' in event))
    this.dropped += this.#held.length - kept.length
    this.#held = kept
  }
}
