/** An event of a batch. */
export interface BatchEvent {
  readonly runId: string | undefined
  readonly json: string
}

/** What the bus reports for metrics. Called on hot paths: be quick, never throw. */
export interface BusObserver {
  /** One batch went to so many live subscribers; `delayMs` after its first event arrived here. `last` is its last event. */
  batch(events: number, receivers: number, delayMs: number, last: BatchEvent | undefined): void
  /** A subscriber that caught up got `events` events as `sent`. */
  caughtUp(events: number, sent: number): void
  /** Events that a `skip` subscriber did not get. */
  skipped(events: number): void
  /** Ephemeral events that were dropped. */
  dropped(events: number): void
  /** Producers of a session begin to be held up. */
  held(): void
}

export const noopObserver: BusObserver = { batch() {}, caughtUp() {}, skipped() {}, dropped() {}, held() {} }
