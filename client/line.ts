/** A connection that is being opened or is open, and the race for the first to open. */
import { type Cancel, startTimer } from '../src/protocol/timers.ts'
import { ClientError } from './errors.ts'
import { LinkedAbortController } from './linked-abort.ts'
import { longPoll } from './long-poll.ts'
import type { Message, Rail, RailRequest, Transport } from './rail.ts'
import { sse } from './sse.ts'
import { websocket } from './websocket.ts'

const rails: Record<Transport, Rail> = { sse, websocket, 'long-poll': longPoll }

export class Line {
  readonly transport: Transport
  /** The server's own pace for coming back, in ms. */
  retryMs = 0
  readonly openedAt = Date.now()
  readonly #connection: LinkedAbortController
  readonly #messages: AsyncGenerator<Message, void, undefined>
  #first: Promise<IteratorResult<Message, void>> | undefined

  constructor(transport: Transport, request: Omit<RailRequest, 'onRetry'>) {
    this.transport = transport
    this.#connection = new LinkedAbortController(request.signal)
    const onRetry = (ms: number) => {
      this.retryMs = ms
    }
    this.#messages = rails[transport]({ ...request, signal: this.#connection.signal, onRetry })
    this.#first = this.#messages.next()
    this.#first.catch(() => {}) // told by `opened` or by the first `next`
  }

  /** Resolves with its first word. @throws ClientError why there is none */
  async opened(): Promise<void> {
    const first = await this.#first
    if (first?.done) throw lost()
  }

  next(): Promise<IteratorResult<Message, void>> {
    const first = this.#first
    this.#first = undefined
    return first ?? this.#messages.next()
  }

  close(): void {
    this.#connection.abort()
    this.#messages.return().catch(() => {}) // what a closed connection says does not matter
  }
}

/** The error of a wire that ended before its stream did. */
export function lost(): ClientError {
  return new ClientError('connection-lost', 'The stream ended before it was over')
}

/**
 * Opens one rung after the other until the first says something, the next as soon as the one before fails or takes
 * longer than `patienceMs`, and closes the others.
 * @throws ClientError the server's refusal, or the first rung's failure when all failed
 */
export async function firstToOpen(
  rungs: readonly Transport[],
  open: (transport: Transport) => Line,
  patienceMs: number,
): Promise<Line> {
  const lines: Line[] = []
  let cancel: Cancel | undefined
  let winner: Line | undefined
  try {
    winner = await new Promise<Line>((resolve, reject) => {
      let failed = 0
      let failure: unknown
      const next = () => {
        cancel?.()
        const line = open(rungs[lines.length]!)
        lines.push(line)
        const more = lines.length < rungs.length
        if (more) cancel = startTimer(patienceMs, next)
        line.opened().then(
          () => resolve(line),
          error => {
            failure ??= error
            failed += 1
            if (isRefusal(error)) reject(error)
            else if (line === lines.at(-1) && lines.length < rungs.length) next()
            else if (failed === rungs.length) reject(failure)
          },
        )
      }
      next()
    })
    return winner
  } finally {
    cancel?.()
    for (const line of lines) if (line !== winner) line.close()
  }
}

/** Whether the server itself said no: another transport would get the same answer. */
function isRefusal(error: unknown): boolean {
  return !(error instanceof ClientError) || !(error.retryable || error.code === 'protocol-error')
}
