/** The events that a producer has yet to append: a bounded buffer, and the batches taken from it. */
/** The events of one call, which are appended together. */
export interface Unit {
  readonly events: readonly { readonly type: string; readonly runId?: string | undefined }[]
  /** The JSON of each event. */
  readonly texts: readonly string[]
  /** Bytes of UTF-8, with the commas between events. */
  readonly bytes: number
  resolve(appended: { offset: string | undefined }): void
  reject(error: unknown): void
}

export interface OutboxLimits {
  batchEvents: number
  batchBytes: number
  bufferBytes: number
}

/** Units in the order of their calls. What is being sent stays in it until it is settled, and counts for the bound. */
export class Outbox {
  readonly #limits: OutboxLimits
  readonly #units: Unit[] = []
  readonly #waiting: (() => void)[] = []
  #bytes = 0

  constructor(limits: OutboxLimits) {
    this.#limits = limits
  }

  get isEmpty(): boolean {
    return this.#units.length === 0
  }

  get isFull(): boolean {
    return this.#bytes >= this.#limits.bufferBytes
  }

  /** Whether there is a batch that should not wait for more. */
  get hasFullBatch(): boolean {
    const { batchEvents, batchBytes } = this.#limits
    let events = 0
    let bytes = 0
    for (const unit of this.#units) {
      events += unit.events.length
      bytes += unit.bytes
      if (events >= batchEvents || bytes >= batchBytes) return true
    }
    return false
  }

  add(unit: Unit): void {
    this.#units.push(unit)
    this.#bytes += unit.bytes
  }

  /** The first units, up to the limits of a batch; at least one. They stay in the outbox. */
  batch(): Unit[] {
    const { batchEvents, batchBytes } = this.#limits
    const batch: Unit[] = []
    let events = 0
    let bytes = 0
    for (const unit of this.#units) {
      events += unit.events.length
      bytes += unit.bytes
      if (batch.length > 0 && (events > batchEvents || bytes > batchBytes)) break
      batch.push(unit)
    }
    return batch
  }

  /** Removes the first unit. */
  shift(): void {
    const unit = this.#units.shift()
    this.#bytes -= unit?.bytes ?? 0
    if (this.isFull) return
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /** Resolves once the outbox is not full. */
  async room(): Promise<void> {
    while (this.isFull) await new Promise<void>(resolve => this.#waiting.push(resolve))
  }

  /** Rejects everything, and lets those go on who wait for room. */
  fail(error: unknown): void {
    while (this.#units.length > 0) {
      this.#units[0]!.reject(error)
      this.shift()
    }
  }
}
