/** Schemas of ids and offsets. PROTOCOL.md, "Ids, offsets, cursors". */
import { z } from 'zod'
import { FREE_NAMES } from './limits.ts'
import { OFFSET_PATTERN } from './offsets.ts'

/** An id that a client may choose: of a session, run, question, idempotency key or producer. */
export const Id = z
  .string()
  .max(128)
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/,
    'expected 1-128 of A-Z a-z 0-9 . _ : - and a letter or digit first',
  )

/**
 * An id that a model provider chose, kept unchanged: of a part, message, tool call, source, artifact, step or input.
 * 1 to 256 UTF-16 units without control characters.
 */
export const ProviderId = z
  .string()
  .min(1)
  .max(256)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern refuses control characters
  .regex(/^[^\u0000-\u001f\u007f-\u009f]*$/, 'expected an id without control characters')

/**
 * The position of an event in a session's log: `<epoch>-<seq>`. The epoch identifies one incarnation of the log; epochs
 * are compared for equality only. `seq` counts events from 1 without holes and compares as a number. `<epoch>-0` is the
 * cursor before the first event.
 */
export const Offset = z
  .string()
  .max(33)
  .regex(
    OFFSET_PATTERN,
    'expected <epoch>-<seq>, two whole numbers without leading zeros, as the server gave it',
  )

/** An object with arbitrary names and JSON values. */
export const FreeObject = z
  .record(z.string().max(256), z.unknown())
  .refine(object => Object.keys(object).length <= FREE_NAMES, `expected at most ${FREE_NAMES} names`)
  .meta({ maxProperties: FREE_NAMES })
