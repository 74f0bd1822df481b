/**
 * Appends the events of one run over whatever connection the worker has, in order and exactly once: the events are
 * numbered, and frames without an answer are sent again as they were.
 */
import { TwinrailError } from '../../src/protocol/errors.ts'
import { WORK_EVENTS } from '../../src/protocol/limits.ts'
import { sleep } from '../connection/backoff.ts'
import type { ClientError } from '../errors.ts'
import type { ControlOf } from '../protocol.ts'
import { refusalOf } from './refusal.ts'

/** Frames of a run without an answer. */
const WINDOW = 4

/** Events that may wait to be sent before the agent has to wait, and the same as UTF-16 units of their JSON. */
const MAX_QUEUED_EVENTS = 64
const MAX_QUEUED_CHARS = 256 * 1024

/** What one frame holds at most, in UTF-16 units of JSON, unless one event is larger. */
const FRAME_CHARS = 128 * 1024

/** UTF-8 bytes of one event, so that its frame fits into a message. */
const EVENT_BYTES = 1024 * 1024 - 1024

/** The waits before a frame is sent again that was refused for now, in ms. */
const RETRY_MS = 100
const MAX_RETRY_MS = 5000

/** A run's event as an agent yields it. */
export interface Body {
  readonly type: string
  readonly data: unknown
}

export interface WorkIds {
  readonly workId: string
  readonly sessionId: string
}

/** Sends a command's fields as JSON members and resolves with its ack. */
export type Send = (fields: string) => Promise<ControlOf<'ack'>>

type Outcome = { ack: ControlOf<'ack'> } | { error: ClientError }

interface Frame {
  readonly texts: string[]
  size: number
  /** Whether nothing is sent together with it: its refusal concerns its own events only. */
  readonly isAlone: boolean
  seq: number
  /** Its answer, once it was sent. Never rejects. */
  outcome?: Promise<Outcome>
  readonly awaited: { resolve(): void; reject(error: unknown): void }[]
}

const encoder = new TextEncoder()

export class WorkLog {
  readonly #ids: WorkIds
  readonly #onFailed: (error: unknown) => void
  readonly #sent: Frame[] = []
  readonly #queue: Frame[] = []
  /** Number of the next event that is sent. */
  #next = 1
  #send: Send | undefined
  #connected: (() => void) | undefined
  #makeRoom: (() => void) | undefined
  #isPumping = false
  /** Whether what was sent has to be sent again. */
  #isStalled = false
  #failed: { error: unknown } | undefined

  /** @param onFailed called when frames were refused, which stops this log */
  constructor(ids: WorkIds, onFailed: (error: unknown) => void) {
    this.#ids = ids
    this.#onFailed = onFailed
  }

  /** The worker has a connection, or none. On a new one, frames without an answer are sent again. */
  connect(send: Send | undefined): void {
    this.#send = send
    if (!send) return
    this.#connected?.()
    this.#connected = undefined
    this.#fill()
  }

  /**
   * Queues an event. Returns a promise when the queue is full: add nothing more before it resolves.
   * @throws TwinrailError `too-large`; the error that stopped this log
   */
  add(body: Body): Promise<void> | undefined {
    this.#enqueue([body], false)
    if (this.#hasRoom()) return undefined
    return new Promise(resolve => {
      this.#makeRoom = resolve
    })
  }

  /**
   * Appends events behind all queued ones; resolves once they are in the log.
   * @param isAlone whether a refusal is the caller's matter; otherwise it stops this log
   * @throws TwinrailError the refusal; the error that stopped this log
   */
  append(bodies: readonly Body[], isAlone = false): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#enqueue(bodies, isAlone, { resolve, reject })
    })
  }

  /** Drops everything and appends nothing more. */
  stop(error: unknown): void {
    if (this.#failed) return
    this.#failed = { error }
    this.#drop(error)
    this.#connected?.()
    this.#makeRoom?.()
  }

  /** After a refusal: appends this event in place of all that was refused. */
  async replaceAll(body: Body): Promise<void> {
    this.#failed = undefined
    await this.append([body])
  }

  #enqueue(bodies: readonly Body[], isAlone: boolean, awaited?: Frame['awaited'][number]): void {
    if (this.#failed) throw this.#failed.error
    let last = this.#queue.at(-1)
    for (const text of bodies.map(encode)) {
      const isFull = !last || last.size + text.length > FRAME_CHARS || last.texts.length >= WORK_EVENTS
      if (!last || isFull || last.isAlone || isAlone) {
        last = { texts: [], size: 0, isAlone, seq: 0, awaited: [] }
        this.#queue.push(last)
      }
      last.texts.push(text)
      last.size += text.length
    }
    if (awaited) last?.awaited.push(awaited)
    this.#fill()
  }

  #hasRoom(): boolean {
    let [events, size] = [0, 0]
    for (const frame of this.#queue) {
      events += frame.texts.length
      size += frame.size
    }
    return events < MAX_QUEUED_EVENTS && size < MAX_QUEUED_CHARS
  }

  /** Sends as many frames as may be sent now. */
  #fill(): void {
    while (this.#send && !this.#isStalled && this.#sent.length < WINDOW) {
      const [frame] = this.#queue
      if (!frame || (this.#sent.length > 0 && (frame.isAlone || this.#sent[0]?.isAlone))) break
      this.#queue.shift()
      frame.seq = this.#next
      this.#next += frame.texts.length
      this.#sent.push(frame)
      this.#transmit(frame)
    }
    if (this.#hasRoom()) this.#makeRoom?.()
    if (this.#sent.length > 0 && !this.#isPumping) void this.#pump()
  }

  #transmit(frame: Frame): void {
    const { workId, sessionId } = this.#ids
    const fields = `"type":"work.append","sessionId":"${sessionId}","workId":"${workId}","seq":${frame.seq},"events":[${frame.texts.join(',')}]`
    frame.outcome = (this.#send as Send)(fields).then(
      ack => ({ ack }),
      error => ({ error }),
    )
  }

  /** Takes the answers in the order of the frames. */
  async #pump(): Promise<void> {
    this.#isPumping = true
    let retries = 0
    for (let frame = this.#sent[0]; frame; frame = this.#sent[0]) {
      const outcome = await (frame.outcome as Promise<Outcome>)
      if (this.#sent[0] !== frame) continue
      if ('ack' in outcome) {
        retries = 0
        this.#sent.shift()
        for (const { resolve } of frame.awaited) resolve()
        this.#fill()
        continue
      }
      const { error } = outcome
      this.#isStalled = true
      // The frames behind it are refused, too, for the hole that it left.
      await Promise.all(this.#sent.map(({ outcome }) => outcome))
      if (isLost(error)) await this.#untilConnected()
      else if (error.retryable) {
        const pauseMs = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** retries++)
        await sleep((error.retryAfterMs ?? 0) + pauseMs * (0.5 + Math.random() / 2))
        await this.#untilConnected()
      } else {
        this.#refused(frame, error)
        continue
      }
      this.#isStalled = false
      for (const again of this.#sent) this.#transmit(again)
    }
    this.#isPumping = false
  }

  /** Resolves when there is a connection, or nothing to send. */
  async #untilConnected(): Promise<void> {
    while (!this.#send && !this.#failed) {
      await new Promise<void>(resolve => {
        this.#connected = resolve
      })
    }
  }

  /** A frame will not be accepted: it took no numbers, and neither did those behind it. */
  #refused(frame: Frame, error: ClientError): void {
    this.#next = frame.seq
    this.#isStalled = false
    if (frame.isAlone) {
      this.#sent.shift()
      for (const { reject } of frame.awaited) reject(refusalOf(error))
      return this.#fill()
    }
    if (this.#failed) return
    if (frame.texts.length > 1 && !isOver(error)) return this.#sendSingly(frame)
    const refusal = refusalOf(error)
    this.stop(refusal)
    this.#onFailed(refusal)
  }

  /** Sends the events of a refused frame one by one: those before the one at fault are to be in the log. */
  #sendSingly(frame: Frame): void {
    const [, ...behind] = this.#sent.splice(0)
    const singles = frame.texts.map((text, i): Frame => {
      const awaited = i === frame.texts.length - 1 ? frame.awaited : []
      return { texts: [text], size: text.length, isAlone: false, seq: 0, awaited }
    })
    this.#queue.unshift(...singles, ...behind)
    this.#fill()
  }

  #drop(error: unknown): void {
    for (const frame of [...this.#sent.splice(0), ...this.#queue.splice(0)])
      for (const { reject } of frame.awaited) reject(error)
  }
}

/** Whether the connection was lost before the answer came. */
function isLost({ code }: ClientError): boolean {
  return code === 'connection-lost' || code === 'closed'
}

/** Whether a refusal means that the run has ended, or is another worker's. */
export function isOver({ code }: { readonly code: string }): boolean {
  return /^(forbidden|run-ended|session-not-found)$/.test(code)
}

/** @throws TwinrailError `too-large`; `bad-request` for what is not JSON */
function encode({ type, data }: Body): string {
  let text: string
  try {
    text = JSON.stringify({ type, data })
  } catch (cause) {
    throw new TwinrailError('bad-request', `the data of ${type} cannot be written as JSON`, { cause })
  }
  if (text.length * 3 > EVENT_BYTES && encoder.encode(text).byteLength > EVENT_BYTES) {
    throw new TwinrailError(
      'too-large',
      `the event's JSON is larger than ${EVENT_BYTES} bytes; split it, or send a link to the content`,
    )
  }
  return text
}
