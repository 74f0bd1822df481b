/** The authenticated user or service that a request comes from. */
export interface Principal {
  /** Recorded as `by` in the events that the principal causes. */
  readonly id: string
}
