/** Finds events and control messages in a stream of bytes of any wire, without parsing what is in them. */

/** How an event's JSON begins, on every wire. */
const EVENT = Buffer.from('{"offset":"')
const SESSION = Buffer.from('","sessionId":"')
const FROM = Buffer.from('"from":"')
const DATA = Buffer.from('"data":')
/** How an ephemeral event's begins, and its number in what this benchmark sends. */
const EPHEMERAL = Buffer.from('{"sessionId":"')
const NUMBER = Buffer.from('"data":{"n":')
/** How a control message's begins. */
const CONTROL = Buffer.from('{"type":"')
const OBJECT = Buffer.from('{"')

const LONGEST = EPHEMERAL.length

export interface Found {
  /** A logged event. `from` is the number of the first event that it stands for. */
  onEvent(sessionId: string, epoch: string, seq: number, from: number): void
  /** An ephemeral one, by its number. */
  onEphemeral(number: number): void
  /** A control message, as text up to its first closing brace. */
  onControl(type: string, text: string): void
}

const seqOf = (offset: string) => Number(offset.slice(offset.indexOf('-') + 1))

export class Finder {
  readonly #found: Found
  /** What the last chunk ended in the middle of. */
  #rest: Buffer | undefined

  constructor(found: Found) {
    this.#found = found
  }

  /** Takes the next bytes. They are not kept: the caller may use the buffer again. */
  push(bytes: Buffer): void {
    const chunk = this.#rest ? Buffer.concat([this.#rest, bytes]) : bytes
    this.#rest = undefined
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

  /** Takes the object that begins at `at`; gives where to go on, -1 when the chunk ends too early. */
  #object(chunk: Buffer, at: number): number {
    if (chunk.length < at + LONGEST) return -1
    const begins = (head: Buffer) => chunk.compare(head, 0, head.length, at, at + head.length) === 0
    if (begins(EVENT)) return this.#event(chunk, at + EVENT.length)
    if (begins(CONTROL)) return this.#control(chunk, at)
    if (begins(EPHEMERAL)) return this.#ephemeral(chunk, at)
    return at + OBJECT.length
  }

  #event(chunk: Buffer, at: number): number {
    const end = chunk.indexOf(SESSION, at)
    const data = end < 0 ? -1 : chunk.indexOf(DATA, end)
    if (data < 0) return -1
    const offset = chunk.toString('latin1', at, end)
    const id = end + SESSION.length
    const sessionId = chunk.toString('latin1', id, chunk.indexOf('"', id))
    const seq = seqOf(offset)
    const from = chunk.subarray(id, data).indexOf(FROM)
    const first = id + from + FROM.length
    this.#found.onEvent(
      sessionId,
      offset.slice(0, offset.indexOf('-')),
      seq,
      from < 0 ? seq : seqOf(chunk.toString('latin1', first, chunk.indexOf('"', first))),
    )
    return data
  }

  #ephemeral(chunk: Buffer, at: number): number {
    const data = chunk.indexOf(NUMBER, at)
    if (data < 0) return -1
    let number = 0
    let i = data + NUMBER.length
    for (; i < chunk.length; i++) {
      const digit = (chunk[i] as number) - 0x30
      if (digit < 0 || digit > 9) break
      number = number * 10 + digit
    }
    if (i === chunk.length) return -1
    this.#found.onEphemeral(number)
    return i
  }

  #control(chunk: Buffer, at: number): number {
    const end = chunk.indexOf('}', at)
    if (end < 0) return -1
    const text = chunk.toString('latin1', at, end + 1)
    this.#found.onControl(text.slice(CONTROL.length, text.indexOf('"', CONTROL.length)), text)
    return at + CONTROL.length
  }
}
