/** The subscriptions of a WebSocket connection, one per session. PROTOCOL.md, "WebSocket". */
import type { Hold } from '../auth/door.ts'
import type { Subscription } from '../bus/subscription.ts'
import { type ConnectionCommand, limits, TwinrailError } from '../protocol/index.ts'
import { createIfWanted, lagLimits, subscribing, tooSlow } from './context.ts'
import type { SocketPeer } from './socket-peer.ts'

type Subscribe = Extract<ConnectionCommand, { type: 'subscribe' }>

export class SocketSubscriptions {
  readonly #peer: SocketPeer
  readonly #open = new Map<string, { subscription: Subscription<Buffer>; hold: Hold }>()

  constructor(peer: SocketPeer) {
    this.#peer = peer
  }

  get size(): number {
    return this.#open.size
  }

  /**
   * Sends the ack, then starts the subscription. It replaces one to the same session.
   * @throws TwinrailError the refusal; nothing has changed then
   */
  async subscribe(command: Subscribe): Promise<void> {
    const { id, sessionId, windowBytes } = command
    const { context, request, sink, isOpen, close } = this.#peer
    this.#mustHaveRoom(sessionId)
    let subscription: Subscription<Buffer> | undefined
    let lost: TwinrailError | undefined
    const hold = await context.door.enter(
      request,
      subscribing(command),
      sessionId,
      ['subscriptions'],
      refusal => {
        lost = refusal
        subscription?.end('forbidden')
      },
    )
    try {
      await createIfWanted(context, request, sessionId, command)
      subscription = await context.bus.subscribe({
        sessionId,
        options: command,
        sink,
        windowBytes,
        lag: { policy: command.lag, limits: lagLimits(command) },
        onTooSlow: () => {
          context.onLost('websocket', 'too-slow')
          close(tooSlow())
        },
        onEnd: () => {
          if (this.#open.get(sessionId)?.subscription === subscription) this.end(sessionId)
        },
      })
      // Subscriptions to other sessions may have been added in the meantime.
      this.#mustHaveRoom(sessionId)
      if (lost) throw lost
      if (!isOpen()) throw closed()
    } catch (error) {
      hold.release()
      subscription?.close()
      throw error
    }
    this.end(sessionId)
    this.#open.set(sessionId, { subscription, hold })
    const { heartbeatMs = sink.heartbeatMs } = command
    if (heartbeatMs < sink.heartbeatMs) sink.beatEvery(heartbeatMs)
    sink.answer({ type: 'ack', id })
    subscription.start()
  }

  /** The client has consumed a session's events up to this offset. */
  grant(sessionId: string, consumed: Parameters<Subscription<Buffer>['grant']>[0]): void {
    this.#open.get(sessionId)?.subscription.grant(consumed)
  }

  /** Ends the subscription to a session, if there is one. */
  end(sessionId: string): void {
    const ended = this.#open.get(sessionId)
    this.#open.delete(sessionId)
    ended?.hold.release()
    ended?.subscription.close()
  }

  endAll(): void {
    for (const sessionId of [...this.#open.keys()]) this.end(sessionId)
  }

  /** @throws TwinrailError `conflict`, which is not retryable: the client must end a subscription first */
  #mustHaveRoom(sessionId: string): void {
    if (this.#open.has(sessionId) || this.#open.size < limits.subscriptions) return
    throw new TwinrailError(
      'conflict',
      `this connection has ${limits.subscriptions} subscriptions, the most that hello.limits allows; end one, or open another connection`,
    )
  }
}

/** The refusal of a subscription whose connection has closed; nobody gets it. */
function closed(): TwinrailError {
  return new TwinrailError('unavailable', 'the connection was closed')
}
