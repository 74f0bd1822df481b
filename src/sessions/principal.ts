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
