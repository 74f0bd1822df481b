/** Ids and offsets. PROTOCOL.md, "Ids, offsets, cursors". */
import { z } from 'zod'

/** An id that a client chooses: of a session, run, question, idempotency key or producer. */
export const Id = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/,
    'expected 1-128 of A-Z a-z 0-9 . _ : - and a letter or digit first',
  )

/**
 * An id that comes from a model provider, and is kept as it came: of a part, message, tool call, source, artifact, step
 * or input. Any 1 to 256 characters (UTF-16 units) without control characters.
 */
export const ProviderId = z
  .string()
  .min(1)
  .max(256)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses
  .regex(/^[^\u0000-\u001f\u007f-\u009f]*$/, 'expected an id without control characters')

const OFFSET = /^[1-9]\d{0,15}-(0|[1-9]\d{0,15})$/

/**
 * A place in a session's log: `<epoch>-<seq>`. The epoch names one incarnation of the log and is only ever
 * compared for equality; seq counts 1, 2, 3 … without holes and compares as a number. `<epoch>-0` is the cursor
 * before the first event.
 */
export const Offset = z
  .string()
  .regex(OFFSET, 'expected <epoch>-<seq>, two whole numbers without leading zeros, as the server gave it')

/** An {@link Offset} taken apart. */
export interface Position {
  readonly epoch: number
  readonly seq: number
}

/** Takes a well-formed offset apart; `undefined` when it is malformed. */
export function parseOffset(offset: string): Position | undefined {
  if (!OFFSET.test(offset)) return undefined
  const dash = offset.indexOf('-')
  return { epoch: Number(offset.slice(0, dash)), seq: Number(offset.slice(dash + 1)) }
}

/** The offset of `seq` in the log's incarnation `epoch`. */
export function formatOffset(epoch: number, seq: number): string {
  return `${epoch}-${seq}`
}
