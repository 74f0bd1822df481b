/** A run as a stream of AG-UI events. */
import type { TwinrailEvent } from '../../protocol/index.ts'
import type { Frame, StreamEncoder } from '../dialect.ts'
import { type AgUiEvent, closeAll, type EncodeState, encode, newEncodeState, suspend } from './encode.ts'

/** Encodes the events of one response. */
export class AgUiEncoder implements StreamEncoder {
  readonly state: EncodeState

  constructor(threadId: string, runId: string) {
    this.state = newEncodeState(threadId, runId)
  }

  /** Each frame has an id of its own, so that a client may resume between two of one event. */
  event(event: TwinrailEvent): Frame[] {
    const events = encode(this.state, event)
    return events.map((one, i) =>
      frameOf(one, event.offset && (i === events.length - 1 ? event.offset : `${event.offset}.${i}`)),
    )
  }

  skip(event: TwinrailEvent): void {
    encode(this.state, event)
  }

  /** A new response goes on with the run: its client knows nothing that is open. */
  forgetOpen(): void {
    closeAll(this.state)
  }

  get isWaiting(): boolean {
    return this.state.questions.size > 0
  }

  suspend(): Frame[] {
    return suspend(this.state).map(one => frameOf(one))
  }

  /** An end without a terminal event would be taken for success, and a cut ends the process of a client in Node. */
  farewell(code: string, message: string): Frame[] {
    const error = { type: 'RUN_ERROR', code: code === 'restart' ? 'server_restarting' : code, message }
    return [...closeAll(this.state), error].map(one => frameOf(one))
  }
}

export function frameOf(event: AgUiEvent, id?: string): Frame {
  const data = jsonOf(event)
  return id ? { id, data } : { data }
}

/** Most events are deltas. Their text is put together, which takes a fraction of the time. */
function jsonOf(event: AgUiEvent): string {
  const { type } = event
  if (type !== 'TEXT_MESSAGE_CONTENT' && type !== 'REASONING_MESSAGE_CONTENT') return JSON.stringify(event)
  const { messageId, delta, timestamp } = event
  return `{"type":"${type}","messageId":${JSON.stringify(messageId)},"delta":${JSON.stringify(delta)},"timestamp":${timestamp}}`
}
