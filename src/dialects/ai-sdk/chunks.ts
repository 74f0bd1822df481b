/** The chunks of the AI SDK's UI message stream, as far as this server sends and reads them. */

export interface Chunk {
  type: string
  [field: string]: unknown
}

/** Chunk types that version 6 knows. A client refuses the whole stream at a type that it does not know. */
export const v6Types: ReadonlySet<string> = new Set([
  'text-start',
  'text-delta',
  'text-end',
  'reasoning-start',
  'reasoning-delta',
  'reasoning-end',
  'error',
  'tool-input-start',
  'tool-input-delta',
  'tool-input-available',
  'tool-input-error',
  'tool-approval-request',
  'tool-output-available',
  'tool-output-error',
  'tool-output-denied',
  'source-url',
  'source-document',
  'file',
  'start-step',
  'finish-step',
  'start',
  'finish',
  'abort',
  'message-metadata',
])

/** The vocabulary of a stream: what version 6 knows, or also what version 7 added. */
export type Level = 'v6' | 'v7'

/** The reasons that a `finish` may give. */
export const finishReasons: ReadonlySet<string> = new Set([
  'stop',
  'length',
  'content-filter',
  'tool-calls',
  'error',
  'other',
])
