/** Finds the events in a stream of bytes without parsing it: enough to know that each came once and in order. */

/** How every event's JSON begins, on every wire; no control message does. */
const EVENT = Buffer.from('{"offset":"')
const FROM = Buffer.from('"from":"')
const DATA = Buffer.from('"data":')
const DASH = 0x2d
const QUOTE = 0x22
const BRACE = 0x7b

export class Scanner {
  /** Number of the last event; -1 before the first. */
  seq = -1
  /** Events that came twice, out of order or after a hole. */
  faults = 0
  /** Events that stood for several. */
  folds = 0
  /** What the last chunk ended in the middle of. */
  #rest: Buffer | undefined

  /** Takes the next bytes. They are not kept: the caller may use the buffer again. */
  push(bytes: Buffer): void {
    const chunk = this.#rest ? Buffer.concat([this.#rest, bytes]) : bytes
    this.#rest = undefined
    let at = chunk.indexOf(EVENT)
    while (at >= 0) {
      const end = this.#event(chunk, at + EVENT.length)
      if (end < 0) {
        this.#rest = Buffer.from(chunk.subarray(at))
        return
      }
      at = chunk.indexOf(EVENT, end)
    }
    const brace = chunk.lastIndexOf(BRACE)
    if (brace >= 0 && brace > chunk.length - EVENT.length) this.#rest = Buffer.from(chunk.subarray(brace))
  }

  /** Takes the event whose offset begins at `at`; gives where to go on, -1 when the chunk ends too early. */
  #event(chunk: Buffer, at: number): number {
    let i = at
    while (i < chunk.length && chunk[i] !== DASH) i++
    let seq = 0
    for (i++; i < chunk.length && chunk[i] !== QUOTE; i++) seq = seq * 10 + (chunk[i] as number) - 48
    if (i >= chunk.length) return -1
    if (seq !== this.seq + 1 && this.seq >= 0) {
      const data = chunk.indexOf(DATA, i)
      if (data < 0) return -1
      const from = chunk.subarray(i, data).indexOf(FROM)
      if (from < 0) this.faults++
      else {
        const value = chunk.toString('latin1', i + from + FROM.length, data)
        const first = Number(value.slice(value.indexOf('-') + 1, value.indexOf('"')))
        if (first === this.seq + 1) this.folds++
        else this.faults++
      }
    }
    this.seq = seq
    return i
  }
}
