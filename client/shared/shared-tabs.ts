/** The option `connect` by which all tabs of a browser share their connections. */
import { sleep } from '../connection/backoff.ts'
import { Cursor } from '../connection/cursor.ts'
import type { Connect } from '../connection/follow.ts'
import { longPoll } from '../connection/long-poll.ts'
import { endpoint, type Message, parseMessage, type TransportRequest } from '../connection/transport.ts'
import { ClientError } from '../errors.ts'
import { READER_CHARS } from './feed.ts'
import { errorOfPlain, type FeedPart } from './messages.ts'
import { canShare, Tab } from './tab.ts'

/** The options of {@link sharedTabs}. */
export interface SharedTabsOptions {
  /**
   * Tabs share only with tabs of the same server and the same name. Name the user where the server tells users apart, since a
   * tab gets what another tab's credentials may read. `false` shares nothing.
   * @default none: tabs of the same server share, unless the client has `auth`; then they do not
   */
  share?: string | false | undefined
}

/**
 * Returns the option `connect` of a client whose streams are shared by all tabs of the browser. One tab leads and has the
 * connections; when it closes or is frozen, another one goes on at the cursors. Each tab gets every event once and in order.
 * A slow or hidden tab does not slow the others: it catches up by pages. Where the browser has no Web Locks (they need a secure
 * context) or no BroadcastChannel, each tab has its own connections.
 * @example
 * ```ts
 * import { createClient } from 'twinrail-client'
 * import { sharedTabs } from 'twinrail-client/shared'
 *
 * const client = createClient({ url: '/', connect: sharedTabs({ share: 'user 42' }) })
 * ```
 */
export function sharedTabs({ share }: SharedTabsOptions = {}): Connect {
  let tab: Tab | undefined
  return (transport, streams) =>
    async function* (request) {
      const hasCredentials = Object.keys(request.credential.headers).length > 0
      if (share === false || (share === undefined && hasCredentials) || !canShare()) {
        yield* streams[transport](request)
        return
      }
      const { url, fetch, credentials } = request
      const name = JSON.stringify(['twinrail', endpoint(url, '').href, share ?? ''])
      tab ??= new Tab(name, { url, fetch, credentials, streams }, () => {
        tab = undefined
      })
      const leave = tab.enter()
      try {
        yield* readShared(tab, transport, request)
      } finally {
        leave()
      }
    }
}

/** Reads the leader's feed, and pages from the own cursor to where the feed is. */
async function* readShared(
  tab: Tab,
  transport: Parameters<Connect>[0],
  request: TransportRequest,
): AsyncGenerator<Message, void, undefined> {
  const { sessionId, signal } = request
  const cursor = new Cursor(request.start.after, request.start.run === undefined)
  let pauseMs = 0
  for (;;) {
    if (pauseMs > 0) await sleep(pauseMs, signal)
    // A feed that is still far back sends much that is known here.
    pauseMs = Math.min(1000, Math.max(50, 2 * pauseMs))
    const start = { ...request.start, after: cursor.offset }
    const inbox = new Inbox(request)
    const attachment = await tab.attach({ transport, sessionId, start }, inbox.receive, signal)
    inbox.onTaken = attachment.taken
    try {
      const isFirst = await inbox.attached()
      // What came before this tab joined is in the log by now.
      if (isFirst === false) {
        for await (const message of longPoll({ ...request, start })) {
          if (cursor.take(message)) yield message
          if (message.kind === 'control' && message.control.type === 'end') return
          if (message.kind === 'control' && message.control.type === 'caught-up') break
        }
      }
      for await (const message of inbox.messages()) {
        if (!cursor.take(message)) continue
        pauseMs = 0
        yield message
      }
      if (inbox.hasEnded) return
    } catch (error) {
      // A folded event reaches over the cursor: pages have its parts.
      if (!(error instanceof ClientError && error.code === 'out-of-step')) throw error
    } finally {
      inbox.close()
      attachment.detach()
    }
  }
}

/** What a feed sent to one stream, until the stream takes it. The feed sends no more than {@link READER_CHARS} ahead. */
class Inbox {
  readonly #request: TransportRequest
  readonly #texts: string[] = []
  #isFirst: boolean | undefined
  #isDetached = false
  #taken = 0
  #error: ClientError | undefined
  #wake: (() => void) | undefined
  readonly #abort = () => {
    this.#error ??= new ClientError('connection-lost', 'Closed')
    this.#wake?.()
  }
  /** Whether the connection ended, and not only this one's part in it. */
  hasEnded = false
  onTaken: (chars: number) => void = () => {}

  constructor(request: TransportRequest) {
    this.#request = request
    request.signal.addEventListener('abort', this.#abort)
    if (request.signal.aborted) this.#abort()
  }

  readonly receive = (part: FeedPart): void => {
    if (part.type === 'attached') this.#isFirst = part.isFirst
    else if (part.type === 'messages') this.#texts.push(...part.texts)
    else if (part.type === 'detached') this.#isDetached = true
    else if (part.type === 'ended') {
      this.#isDetached = this.hasEnded = true
      if (part.error) this.#error = errorOfPlain(part.error)
    } else if (part.type === 'retry') this.#request.onRetry(part.ms)
    else if (part.type === 'clock') this.#request.onClock(part.sentAt, part.serverTime)
    else this.#request.onBuffering()
    this.#wake?.()
  }

  /** Resolves with whether the feed was opened for this one; with `undefined` when there is another leader meanwhile. */
  async attached(): Promise<boolean | undefined> {
    while (this.#isFirst === undefined && !this.#isDetached && !this.#error) await this.#change()
    if (this.#isFirst === undefined && this.#error) throw this.#error
    return this.#isFirst
  }

  /** What was sent, until the feed sends no more. @throws ClientError the connection's failure, after what came before it */
  async *messages(): AsyncGenerator<Message, void, undefined> {
    for (;;) {
      while (this.#texts.length === 0) {
        if (this.#error) throw this.#error
        if (this.#isDetached) return
        await this.#change()
      }
      const texts = this.#texts.splice(0)
      for (const text of texts) {
        this.#request.onBytes(text.length)
        yield parseMessage(text)
        this.#taken += text.length
        if (this.#taken >= READER_CHARS / 4) this.#tellTaken()
      }
      this.#tellTaken()
    }
  }

  close(): void {
    this.#request.signal.removeEventListener('abort', this.#abort)
  }

  #tellTaken(): void {
    if (this.#taken > 0 && !this.#isDetached) this.onTaken(this.#taken)
    this.#taken = 0
  }

  #change(): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve
    })
  }
}
