/** One connection as it looked from here: what came over it, when, and how it ended. */

import type { Refusal } from './http.ts'
import { now } from './time.ts'

/** Messages that one connection may bring: the session is the doctor's own, so more means that something is wrong. */
const MOST_MESSAGES = 1000

/** A message that the server stamped with its time. */
export interface Heard {
  type: string
  offset?: string
  /** By the server's clock, ms since 1970. */
  stampedAt: number
  /** By this machine's clock, ms since 1970. */
  arrivedAt: number
}

interface Message {
  type: string
  offset?: string
  time?: number
  serverTime?: number
  heartbeatMs?: number
  code?: string
  reason?: string
  message?: string
}

export class Sighting {
  readonly askedAt = now()
  /** Whether the answer was what was asked for, so that words may come. */
  opened = false
  /** Headers of the answer. */
  headers: Record<string, string | string[] | undefined> = {}
  /** An answer other than what was asked for. */
  refusal: Refusal | undefined
  /** Why there was no answer, or what broke. */
  failure: string | undefined
  readonly heard: Heard[] = []
  /** The server's own pace of pings, from its `hello`. */
  heartbeatMs: number | undefined
  lastByteAt = this.askedAt
  /** When the other side closed it although its stream was not over. */
  cutAt: number | undefined
  /** Resolves with the first word, or when there will be none. */
  readonly spoke: Promise<void>
  /** Resolves when it is closed, by whomever. */
  readonly closed: Promise<void>
  #speak = () => {}
  #close = () => {}
  #ended = false

  constructor() {
    this.spoke = new Promise(resolve => {
      this.#speak = resolve
    })
    this.closed = new Promise(resolve => {
      this.#close = resolve
    })
  }

  /** When its `hello` came. */
  get helloAt(): number | undefined {
    return this.heard.find(({ type }) => type === 'hello')?.arrivedAt
  }

  /** Offsets of the events that came, in their order. */
  get offsets(): string[] {
    return this.heard.flatMap(({ offset }) => offset ?? [])
  }

  /** Notes one message. @throws Error when it is none of the protocol, or one too many */
  take(json: string, arrivedAt: number): Message {
    const message = JSON.parse(json) as Message
    if (typeof message?.type !== 'string') throw new Error('what came is not the protocol')
    if (this.heard.length >= MOST_MESSAGES) throw new Error('more came than was asked for')
    const { type, offset, heartbeatMs } = message
    if (type === 'hello') this.heartbeatMs = heartbeatMs
    if (type === 'end' || type === 'closing') this.#ended = true
    if (type === 'closing' || type === 'nack') {
      this.failure ??= `the server says no (${message.code}): ${message.reason ?? message.message}`
    }
    const stampedAt = message.serverTime ?? message.time
    // `caught-up` repeats the offset of another.
    const event = type.includes('.') && offset !== undefined ? { offset } : {}
    if (stampedAt !== undefined) this.heard.push({ type, ...event, stampedAt, arrivedAt })
    this.#speak()
    return message
  }

  /** The connection is closed, not by us. */
  close(): void {
    if (!this.#ended && !this.refusal && !this.failure) this.cutAt ??= now()
    this.over()
  }

  /** Nothing more will come. */
  over(): void {
    this.#speak()
    this.#close()
  }
}
