/** The doctor's own session on the server: made, published into, and deleted again. */
import { endpoint, newId } from '../../../client/index.ts'
import { type Answer, call, jsonOf, type Question, reasonOf, refusalOf, saidBy } from './http.ts'
import { NothingToExamine } from './reach.ts'
import { atMost, now } from './time.ts'

/** Events that are published, one after the other. */
export const EVENTS = 5

/** Between two of them, in ms: enough to see whether they come one by one. */
export const APART_MS = 300

export interface Published {
  offset: string
  sentAt: number
  ackedAt: number
}

export class DoctorSession {
  readonly id = `doctor-${newId()}`
  readonly #url: string
  readonly #headers: Record<string, string>
  readonly #signal: AbortSignal
  #deleted: Promise<void> | undefined

  constructor(url: string, headers: Record<string, string>, signal: AbortSignal) {
    this.#url = url
    this.#headers = headers
    this.#signal = signal
  }

  address(what: 'events' | 'commands', query: Record<string, unknown> = {}): URL {
    return endpoint(this.#url, `sessions/${this.id}/${what}`, query)
  }

  /** @throws NothingToExamine when commands do not get through */
  async create(): Promise<void> {
    const refused = await this.#make({})
    if (refused !== undefined) throw noCommands(this.#url, refused)
  }

  /** Why a page of the server's own address may not do the same. */
  refusedToPages(): Promise<string | undefined> {
    return this.#make({ origin: new URL(this.#url).origin })
  }

  /** Publishes events at their times. @throws NothingToExamine when none gets through */
  async publish(): Promise<Published[]> {
    const published: Published[] = []
    const begunAt = now()
    let refused = ''
    for (let i = 0; i < EVENTS; i++) {
      await atMost(begunAt + i * APART_MS - now(), new Promise(() => {}), this.#signal)
      const sentAt = now()
      const event = { type: 'x.doctor', data: { number: i + 1 } }
      const question = { url: this.address('commands'), body: { id: `${i}`, type: 'publish', event } }
      const answer = await this.#post(question)
      const offset = typeof answer === 'string' ? undefined : jsonOf(answer)?.['offset']
      if (typeof offset === 'string') published.push({ offset, sentAt, ackedAt: now() })
      else refused = typeof answer === 'string' ? answer : 'an answer without an offset'
    }
    if (published.length === 0) throw noCommands(this.#url, refused)
    return published
  }

  /** Deletes it, once; also after Ctrl-C, so without the signal. */
  delete(): Promise<void> {
    this.#deleted ??= call({
      url: endpoint(this.#url, `sessions/${this.id}`),
      method: 'DELETE',
      headers: this.#headers,
      signal: new AbortController().signal,
    }).then(
      () => {},
      () => {}, // nobody is left to tell, and what is left holds a few events
    )
    return this.#deleted
  }

  async #make(more: Record<string, string>): Promise<string | undefined> {
    const headers = { ...this.#headers, ...more }
    const answer = await this.#post({
      url: endpoint(this.#url, 'sessions'),
      headers,
      body: { sessionId: this.id },
    })
    return typeof answer === 'string' ? answer : undefined
  }

  /** Gives the answer, or in words why there was none that is fine. */
  async #post(question: Omit<Question, 'signal'>): Promise<Answer | string> {
    try {
      const answer = await call({
        headers: this.#headers,
        ...question,
        method: 'POST',
        signal: this.#signal,
      })
      return answer.status >= 200 && answer.status < 300 ? answer : saidBy(refusalOf(answer))
    } catch (error) {
      this.#signal.throwIfAborted()
      return reasonOf(error)
    }
  }
}

function noCommands(url: string, why: string): NothingToExamine {
  return new NothingToExamine('commands-fail', `${url}: commands do not get through, POST got ${why}`)
}
