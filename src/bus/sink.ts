/** What a transport gives a subscription to write on. */
import type { Control } from '../protocol/index.ts'
import type { Encoding, LiveEncoder } from './encoding.ts'

/**
 * The outgoing side of one connection. It has no queue of its own: while earlier bytes wait it is not `ready`, and the
 * subscription reads on from the log once it is again.
 */
export interface Sink<B> {
  readonly encoding: Encoding<B>
  /** Whether everything written so far has left this process. Check before writing; a write may make it false. */
  ready(): boolean
  /**
   * Writes at once. Other sinks share the bytes: never change them.
   * @param history the encoder that may refer to these bytes in its next batch
   */
  write(batch: B, history?: LiveEncoder<B>): void
  /** The encoder that the last bytes came from, where the next ones may refer to them. */
  history: LiveEncoder<B> | undefined
  /** Writes a control message. */
  control(control: Control): void
  /** Calls back once, when `ready` again; never after the connection closed. */
  whenReady(resume: () => void): void
}
