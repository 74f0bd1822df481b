/** What the leading tab does for all tabs: it opens connections and shares them. */

import type { TransportRequest, TransportStream } from '../connection/transport.ts'
import type { Transport } from '../guide.ts'
import { Feed, type Reader } from './feed.ts'
import type { Wish } from './messages.ts'

/**
 * Streams over HTTP/1.1 that all tabs have together, of the six connections that browsers open to a server. The others go over
 * one WebSocket, so that requests and pages get through.
 */
const HTTP_STREAMS = 4

/** How the leading tab reaches the server. */
export interface Surroundings extends Pick<TransportRequest, 'url' | 'fetch' | 'credentials'> {
  streams: Record<Transport, TransportStream>
}

interface Open {
  feed: Feed
  isHttp: boolean
}

export class Hub {
  readonly #surroundings: Surroundings
  readonly #feeds = new Map<string, Open>()

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings
  }

  /** Attaches a reader to the feed of its wish, which it opens if need be. Returns the function that detaches it. */
  attach(wish: Wish, reader: Reader): () => void {
    const { run, lag, heartbeatMs, replay } = wish.start
    const key = JSON.stringify([wish.transport, wish.sessionId, run, lag, heartbeatMs, replay === 'full'])
    const { feed } = this.#feeds.get(key) ?? this.#open(key, wish)
    feed.attach(reader)
    return () => feed.detach(reader)
  }

  /** Ends all feeds; their readers go on elsewhere. */
  close(): void {
    for (const { feed } of [...this.#feeds.values()]) feed.close()
  }

  #open(key: string, { transport, sessionId, start }: Wish): Open {
    const { streams, credentials, url, fetch } = this.#surroundings
    const http = [...this.#feeds.values()].filter(({ isHttp }) => isHttp).length
    const isCrowded = http >= HTTP_STREAMS && !isMultiplexed() && 'WebSocket' in globalThis
    const carrier = isCrowded ? 'websocket' : transport
    const connection = new AbortController()
    const feed = new Feed(() => {
      this.#feeds.delete(key)
      connection.abort()
    })
    const open = { feed, isHttp: carrier !== 'websocket' }
    this.#feeds.set(key, open)
    async function* messages() {
      const credential = await credentials.get(connection.signal)
      try {
        yield* streams[carrier]({
          url,
          sessionId,
          start,
          credential,
          credentials,
          fetch,
          wantsClock: true,
          signal: connection.signal,
          onBytes: () => {}, // each reader counts its own
          onRetry: ms => feed.tell({ type: 'retry', ms }),
          onClock: (sentAt, serverTime) => feed.tell({ type: 'clock', sentAt, serverTime }),
          onBuffering: () => feed.tell({ type: 'buffering' }),
        })
      } catch (error) {
        if ((error as { code?: string }).code === 'unauthorized') credentials.refused(credential)
        throw error
      }
    }
    void feed.run(messages())
    return open
  }
}

/** Whether the page came over HTTP/2 or 3, where many streams share one connection. */
function isMultiplexed(): boolean {
  const [navigation] = performance.getEntriesByType('navigation' as never) as { nextHopProtocol?: string }[]
  return /^h[23]/.test(navigation?.nextHopProtocol ?? '')
}
