/** Who asks. */
export interface Principal {
  /** Stands as `by` in the events that the principal causes. */
  readonly id: string
}
