/** A run as a UI message stream. */
import type { TwinrailEvent } from '../../protocol/index.ts'
import type { Frame, StreamEncoder } from '../dialect.ts'
import type { Chunk, Level } from './chunks.ts'
import { closeParts, type EncodeState, encode, isWaiting, newEncodeState, suspendChunks } from './encode.ts'

/** Encodes the chunks of one response. */
export class UiMessageEncoder implements StreamEncoder {
  readonly #state: EncodeState
  readonly #frame: (chunk: Chunk, id: string | undefined) => Frame

  /** @param frame the frame of a chunk. @default its JSON, with the offset as id */
  constructor(level: Level, frame = frameOf) {
    this.#state = newEncodeState(level)
    this.#frame = frame
  }

  event(event: TwinrailEvent): Frame[] {
    return this.#frames(encode(this.#state, event), event.offset)
  }

  skip(event: TwinrailEvent): void {
    encode(this.#state, event)
  }

  /** A new response goes on with the run: its client knows no open parts. */
  forgetParts(): void {
    closeParts(this.#state)
  }

  get isWaiting(): boolean {
    return isWaiting(this.#state)
  }

  suspend(): Frame[] {
    return this.#frames(suspendChunks(this.#state), undefined)
  }

  /** A clean end in the middle would look like a complete answer; after a cut the client comes back. */
  farewell(code: string, message: string): Frame[] | 'cut' {
    return code === 'restart' ? 'cut' : [this.#frame({ type: 'error', errorText: message }, undefined)]
  }

  /** Only the last chunk of an event has its offset: a client that has an earlier one resumes before the event. */
  #frames(chunks: readonly Chunk[], offset: string | undefined): Frame[] {
    return chunks.map((chunk, i) => this.#frame(chunk, i === chunks.length - 1 ? offset : undefined))
  }
}

export function frameOf(chunk: Chunk, id: string | undefined): Frame {
  const data = jsonOf(chunk)
  return id ? { id, data } : { data }
}

/** Most chunks are deltas. Their text is put together, which takes a fraction of the time. */
function jsonOf(chunk: Chunk): string {
  const { type } = chunk
  if (type !== 'text-delta' && type !== 'reasoning-delta') return JSON.stringify(chunk)
  return `{"type":"${type}","id":${JSON.stringify(chunk['id'])},"delta":${JSON.stringify(chunk['delta'])}}`
}
