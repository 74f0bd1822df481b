/** The authenticated user or service that a request comes from. */
export interface Principal {
  /** Recorded as `by` in the events that the principal causes, and as the creator of its sessions. */
  readonly id: string
  /**
   * When its credentials were issued, in ms since 1970. Credentials issued before a revocation are refused.
   * @default never: revocations only make the server ask the hook again
   */
  readonly issuedAt?: number
  /** When its credentials expire, in ms since 1970; open streams are authorized again then. @default never */
  readonly expiresAt?: number
}

/**
 * Counts a run of a principal as open until the returned function is called.
 * @param options.mayExceed counts a run that is there whatever the limit says, such as one that was taken over
 * @throws TwinrailError `rate-limited` when the principal has as many open as it may
 */
export type OpenRun = (principal: string, options?: { mayExceed?: boolean }) => () => void
