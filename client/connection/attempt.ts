/** One attempt to connect, and the race between attempts on several transports. */
import { ClientError } from '../errors.ts'
import type { Transport } from '../guide.ts'
import { type Cancel, startTimer } from '../protocol.ts'
import { LinkedAbortController } from './linked-abort.ts'
import type { Message, TransportRequest, TransportStream } from './transport.ts'

/** One connection, from the moment it is opened until it is closed. */
export class ConnectionAttempt {
  readonly transport: Transport
  readonly startedAt = Date.now()
  /** The server's minimum wait before a reconnect, in ms. */
  retryMs = 0
  readonly #connection: LinkedAbortController
  readonly #messages: AsyncGenerator<Message, void, undefined>
  #first: Promise<IteratorResult<Message, void>> | undefined

  constructor(transport: Transport, stream: TransportStream, request: Omit<TransportRequest, 'onRetry'>) {
    this.transport = transport
    this.#connection = new LinkedAbortController(request.signal)
    const onRetry = (ms: number) => {
      this.retryMs = ms
    }
    this.#messages = stream({ ...request, signal: this.#connection.signal, onRetry })
    this.#first = this.#messages.next()
    this.#first.catch(() => {}) // `opened` or the first `next` reports the failure
  }

  /** Resolves when the first message has arrived. @throws ClientError when the connection fails before it */
  async opened(): Promise<void> {
    const first = await this.#first
    if (first?.done) throw connectionLost()
  }

  next(): Promise<IteratorResult<Message, void>> {
    const first = this.#first
    this.#first = undefined
    return first ?? this.#messages.next()
  }

  close(): void {
    this.#connection.abort()
    this.#messages.return().catch(() => {}) // a failure while closing changes nothing
  }
}

/** The error of a connection that ended before its stream did. */
export function connectionLost(): ClientError {
  return new ClientError('connection-lost', 'The connection ended too early')
}

/**
 * Opens one transport after the other until the first message arrives on one, then closes the others. The next transport
 * starts when the one before it fails or has not sent anything for `patienceMs`.
 * @throws ClientError the server's refusal; the first failure when all transports failed
 */
export async function raceTransports(
  transports: readonly Transport[],
  open: (transport: Transport) => ConnectionAttempt,
  patienceMs: number,
): Promise<ConnectionAttempt> {
  const attempts: ConnectionAttempt[] = []
  let cancel: Cancel | undefined
  let winner: ConnectionAttempt | undefined
  try {
    winner = await new Promise<ConnectionAttempt>((resolve, reject) => {
      let failures = 0
      let firstFailure: unknown
      const next = () => {
        cancel?.()
        const attempt = open(transports[attempts.length]!)
        attempts.push(attempt)
        if (attempts.length < transports.length) cancel = startTimer(patienceMs, next)
        attempt.opened().then(
          () => resolve(attempt),
          error => {
            firstFailure ??= error
            failures += 1
            if (isRefusal(error)) reject(error)
            else if (attempt === attempts.at(-1) && attempts.length < transports.length) next()
            else if (failures === transports.length) reject(firstFailure)
          },
        )
      }
      next()
    })
    return winner
  } finally {
    cancel?.()
    for (const attempt of attempts) if (attempt !== winner) attempt.close()
  }
}

/** Whether the server itself refused: it would refuse another transport as well. */
function isRefusal(error: unknown): boolean {
  return !(error instanceof ClientError) || !(error.retryable || error.code === 'protocol-error')
}
