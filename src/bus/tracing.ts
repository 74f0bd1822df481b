/** What a server tells a tracer. Nothing of it has content of events, inputs or tokens. */

/** A run that this process, or a worker that is connected to it, executes. */
export interface RunTrace {
  /** Calls `work` so that spans which it makes, now or later, are children of the run's. */
  within<T>(work: () => T): T
  /** The run is over here. @param terminal its terminal event; absent when somebody else goes on with it */
  end(terminal: { readonly type: string; readonly code?: string | undefined } | undefined): void
}

export interface Tracing {
  /** Traces a command; it fails with the error of `work`. @param about.traceparent the parent that the client named */
  command<T>(
    about: {
      readonly type: string
      readonly sessionId: string
      readonly runId?: string | undefined
      readonly agent?: string | undefined
      readonly traceparent?: string | undefined
    },
    work: () => Promise<T>,
  ): Promise<T>
  /** The W3C `traceparent` of the command under way, for what it causes; `undefined` when nothing is traced. */
  traceparent(): string | undefined
  /** A run begins here. @param about.traceparent that of the command that started it */
  run(about: {
    readonly sessionId: string
    readonly runId: string
    readonly agent: string
    readonly isResumed: boolean
    readonly traceparent: string | undefined
  }): RunTrace
  /** Traces an append of a run, or of the command under way. */
  append<T>(
    about: { readonly sessionId: string; readonly runId: string | undefined; readonly events: number },
    work: () => Promise<T>,
  ): Promise<T>
  /** Events of a run were written to live subscribers, `delayMs` after the first of them arrived here. */
  delivered(about: {
    readonly sessionId: string
    readonly runId: string
    readonly events: number
    readonly receivers: number
    readonly delayMs: number
  }): void
}
