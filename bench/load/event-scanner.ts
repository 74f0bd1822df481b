/**
 * Finds events and control messages in the bytes of any transport, without parsing JSON: the load must cost far less than
 * the server that it measures.
 */

/** How the JSON of a logged event, of an ephemeral event and of a control message begins on every transport. */
const EVENT = Buffer.from('{"offset":"')
const EPHEMERAL = Buffer.from('{"sessionId":"')
const CONTROL = Buffer.from('{"type":"')

const OBJECT = Buffer.from('{"')
const SESSION = Buffer.from('","sessionId":"')
const FROM = Buffer.from('"from":"')
const DATA = Buffer.from('"data":')
/** The number that this benchmark puts first into the data of an ephemeral event. */
const NUMBER = Buffer.from('"data":{"n":')

/** Bytes needed to tell what an object is. */
const LONGEST_HEAD = EPHEMERAL.length
const DASH = 0x2d
const QUOTE = 0x22
const ZERO = 0x30

/** The event that a scanner has just found; valid only within the call. What costs time is read on demand. */
export interface ScannedEvent {
  /** Number of the event: the part of its offset after the dash. */
  readonly seq: number
  /** Number of the first event that this one stands for: less than `seq` when the server has folded several. */
  readonly from: number
  readonly epoch: string
  readonly sessionId: string
}

export interface ScanHandlers {
  onEvent(event: ScannedEvent): void
  /** @param number the `n` of its data */
  onEphemeral?(number: number): void
  /** @param text the message up to its first closing brace */
  onControl?(type: string, text: string): void
}

export class EventScanner implements ScannedEvent {
  seq = -1
  readonly #handlers: ScanHandlers
  #chunk: Buffer = Buffer.alloc(0)
  /** Where the offset, the session's id and the data of the current event begin. */
  #offset = 0
  #session = 0
  #data = 0
  /** The end of the last chunk, when it was cut within an object. */
  #rest: Buffer | undefined

  constructor(handlers: ScanHandlers) {
    this.#handlers = handlers
  }

  /** Takes the next bytes. They are not kept, so the caller may use the buffer again. */
  push(bytes: Buffer): void {
    this.#chunk = this.#rest ? Buffer.concat([this.#rest, bytes]) : bytes
    this.#rest = undefined
    const chunk = this.#chunk
    for (let at = chunk.indexOf(OBJECT); at >= 0; ) {
      const end = this.#object(chunk, at)
      if (end < 0) {
        this.#rest = Buffer.from(chunk.subarray(at))
        return
      }
      at = chunk.indexOf(OBJECT, end)
    }
    if (chunk.at(-1) === OBJECT[0]) this.#rest = Buffer.from(chunk.subarray(-1))
  }

  get from(): number {
    const at = this.#chunk.subarray(this.#session, this.#data).indexOf(FROM)
    return at < 0 ? this.seq : this.#seqAfterDash(this.#session + at + FROM.length)
  }

  get epoch(): string {
    return this.#chunk.toString('latin1', this.#offset, this.#chunk.indexOf(DASH, this.#offset))
  }

  get sessionId(): string {
    return this.#chunk.toString('latin1', this.#session, this.#chunk.indexOf(QUOTE, this.#session))
  }

  /** Takes the object that begins at `at`. @returns where to go on; -1 when the chunk ends too early */
  #object(chunk: Buffer, at: number): number {
    if (chunk.length < at + LONGEST_HEAD) return -1
    const begins = (head: Buffer) => chunk.compare(head, 0, head.length, at, at + head.length) === 0
    if (begins(EVENT)) return this.#event(chunk, at + EVENT.length)
    if (begins(CONTROL)) return this.#control(chunk, at)
    if (begins(EPHEMERAL)) return this.#ephemeral(chunk, at)
    return at + OBJECT.length
  }

  #event(chunk: Buffer, at: number): number {
    const session = chunk.indexOf(SESSION, at)
    const data = session < 0 ? -1 : chunk.indexOf(DATA, session)
    if (data < 0) return -1
    this.#offset = at
    this.#session = session + SESSION.length
    this.#data = data
    this.seq = this.#seqAfterDash(at)
    this.#handlers.onEvent(this)
    return data
  }

  #seqAfterDash(at: number): number {
    let seq = 0
    for (let i = this.#chunk.indexOf(DASH, at) + 1; this.#chunk[i] !== QUOTE; i++) {
      seq = seq * 10 + (this.#chunk[i] as number) - ZERO
    }
    return seq
  }

  #ephemeral(chunk: Buffer, at: number): number {
    const data = chunk.indexOf(NUMBER, at)
    if (data < 0) return -1
    let number = 0
    let i = data + NUMBER.length
    for (; i < chunk.length; i++) {
      const digit = (chunk[i] as number) - ZERO
      if (digit < 0 || digit > 9) break
      number = number * 10 + digit
    }
    if (i === chunk.length) return -1
    this.#handlers.onEphemeral?.(number)
    return i
  }

  #control(chunk: Buffer, at: number): number {
    const end = chunk.indexOf('}', at)
    if (end < 0) return -1
    const text = chunk.toString('latin1', at, end + 1)
    const { length } = CONTROL
    this.#handlers.onControl?.(text.slice(length, text.indexOf('"', length)), text)
    return at + length
  }
}

/** Checks the events of one session: each once and in order, except that a fold stands for several. */
export class SequenceCheck {
  /** Number of the last event; -1 before the first. */
  seq = -1
  /** Events that came twice, out of order or after a hole. */
  faults = 0
  readonly #scanner = new EventScanner({ onEvent: event => this.#take(event) })

  push(bytes: Buffer): void {
    this.#scanner.push(bytes)
  }

  #take(event: ScannedEvent): void {
    const { seq } = event
    const isNext = this.seq < 0 || seq === this.seq + 1
    // `from` is looked up only where it matters: that costs time.
    if (!isNext && !(event.from === this.seq + 1 && seq > this.seq)) this.faults++
    this.seq = seq
  }
}
