/** Reads the events of a session in pages, for agents. */
import type { TwinrailEvent } from '../../src/protocol/index.ts'
import { backoffMs, sleep } from '../connection/backoff.ts'
import type { Credentials } from '../connection/credentials.ts'
import { requestJson } from '../connection/request.ts'
import { ClientError } from '../errors.ts'
import { refusalOf } from './refusal.ts'

export interface Reader {
  readonly url: string
  readonly fetch: typeof fetch
  readonly credentials: Credentials
}

interface Page {
  events: TwinrailEvent[]
  next: string
  caughtUp: boolean
}

/** Attempts for each page. */
const ATTEMPTS = 5

export class History {
  readonly #reader: Reader
  readonly #path: string
  /** Offset of the run's `run.started`. */
  readonly #start: string
  readonly #signal: AbortSignal

  constructor(reader: Reader, sessionId: string, start: string, signal: AbortSignal) {
    this.#reader = reader
    this.#path = `sessions/${encodeURIComponent(sessionId)}/events`
    this.#start = start
    this.#signal = signal
  }

  /** The events before the run, oldest first. */
  async *before(): AsyncGenerator<TwinrailEvent, void, void> {
    for await (const event of this.#forwards({})) {
      if (seqOf(event.offset) >= seqOf(this.#start)) return
      yield event
    }
  }

  /** The same, newest first. */
  async *recent(): AsyncGenerator<TwinrailEvent, void, void> {
    for (let before = this.#start; ; ) {
      const { events, next, caughtUp } = await this.#page({ before, limit: 256 })
      yield* events.toReversed()
      if (caughtUp || events.length === 0) return
      before = next
    }
  }

  /** The events of a run so far. */
  async ofRun(run: string): Promise<TwinrailEvent[]> {
    const events: TwinrailEvent[] = []
    for await (const event of this.#forwards({ run })) events.push(event)
    return events
  }

  async *#forwards(query: object): AsyncGenerator<TwinrailEvent, void, void> {
    for (let after: string | undefined; ; ) {
      const page = await this.#page({ ...query, replay: 'full', ...(after !== undefined && { after }) })
      yield* page.events
      if (page.caughtUp) return
      after = page.next
    }
  }

  /** @throws TwinrailError the refusal; the signal's reason */
  async #page(query: Record<string, unknown>): Promise<Page> {
    const { url, fetch, credentials } = this.#reader
    const signal = this.#signal
    for (let failures = 0; ; failures++) {
      try {
        return await credentials.use(
          ({ headers }) => requestJson<Page>({ url, fetch, headers, signal }, this.#path, { query }),
          signal,
        )
      } catch (error) {
        signal.throwIfAborted()
        const isTemporary = error instanceof ClientError && error.retryable
        if (!isTemporary || failures + 1 >= ATTEMPTS) throw refusalOf(error)
        await sleep(backoffMs(failures, error.retryAfterMs ?? 0), signal)
      }
    }
  }
}

const seqOf = (offset: string) => Number(offset.slice(offset.indexOf('-') + 1))
