/**
 * The file that `twinrail export` writes and `twinrail import` reads: NDJSON in UTF-8, one JSON object in each line.
 *
 * ```
 * {"format":"twinrail","version":1,"exportedAt":1795347062631,"source":"log"}
 * {"session":{"sessionId":"s1","createdAt":…,"activeAt":…,"metadata":{},"earliest":"1795347062631-1","head":"1795347062631-2"}}
 * {"offset":"1795347062631-1","sessionId":"s1","type":"x.note",…}
 * {"offset":"1795347062631-2","sessionId":"s1","type":"x.note",…}
 * {"record":{"kind":"key","name":"run:r1","seq":1,"note":{…}}}
 * {"end":{"sessions":1,"events":2,"sha256":"…"}}
 * ```
 *
 * The first line is the header, and the last one the end. Between them is a section for each session: its `session` line,
 * its events from `earliest` to `head` in order, each with the JSON that clients get, and its records. The name of a line's
 * first field tells what the line is; an event begins with `offset`.
 */
import { z } from 'zod'
import { Id, Offset } from './ids.ts'

/** The version of the format. A reader refuses other versions. */
export const ARCHIVE_VERSION = 1

/** Maximum size of one line, in UTF-8 bytes. Only a `session` line with a snapshot can be larger than an event. */
export const ARCHIVE_LINE_BYTES = 16 * 1024 * 1024

const time = z.int().min(0).describe('In ms since 1970')
const seq = z.int().min(0)

/** The first line. */
export const ArchiveHeader = z.object({
  format: z.literal('twinrail'),
  version: z.literal(ARCHIVE_VERSION),
  exportedAt: time,
  source: z
    .enum(['log', 'server'])
    .describe('`log`: with all records. `server`: by the HTTP API, which does not show records'),
})
export type ArchiveHeader = z.output<typeof ArchiveHeader>

/** The state of a session: its open runs and questions, and its last ended runs. */
const State = z.looseObject({
  runs: z.array(
    z.looseObject({
      runId: Id,
      agent: z.string(),
      status: z.enum(['running', 'completed', 'failed', 'cancelled']),
      startedAt: time,
      startOffset: Offset,
      endOffset: Offset.optional(),
    }),
  ),
  pendingInputs: z.array(z.looseObject({ offset: Offset, runId: Id.optional(), requestId: Id })),
})

/** A line that begins a session. */
export const ArchiveSession = z.object({
  session: z.object({
    sessionId: Id,
    createdBy: z.string().optional(),
    createdAt: time,
    activeAt: time,
    metadata: z.record(z.string(), z.unknown()),
    earliest: Offset.describe('The first event of the file; head + 1 without events'),
    head: Offset.describe('The last event of the file; its epoch is that of all events'),
    snapshot: z
      .object({ seq, state: State })
      .optional()
      .describe('The state of the session after event `seq`; present where events were trimmed'),
  }),
})
export type ArchiveSession = z.output<typeof ArchiveSession>

/** A line about what the log holds of a session besides its events. */
export const ArchiveRecord = z.object({
  record: z.discriminatedUnion('kind', [
    z
      .object({
        kind: z.literal('key'),
        name: z.string(),
        seq: seq.describe('The event that the key points to; 0 for none'),
        note: z.unknown().optional(),
        expiresAt: time.optional(),
      })
      .describe('A key that is taken, such as that of a run’s end or of an accepted command'),
    z
      .object({
        kind: z.literal('producer'),
        name: z.string(),
        next: seq.describe('The number of its next event'),
        stretches: z.array(z.tuple([seq, seq])).optional(),
      })
      .describe('How far the log has the events of a producer that numbers them'),
    z
      .object({ kind: z.literal('lease'), name: z.string(), token: z.string(), expiresAt: time })
      .describe('Who may append to an open run, `name`, and until when'),
    z
      .object({
        kind: z.literal('tally'),
        name: z.string(),
        open: z.array(
          z.object({
            seq,
            until: z.array(z.string()),
            group: z.string().optional(),
            size: z.number().optional(),
          }),
        ),
      })
      .describe('What is open, such as runs, and the keys that close it'),
  ]),
})
export type ArchiveRecord = z.output<typeof ArchiveRecord>

/** The last line. `sha256` is the digest of all bytes before this line, in hex. */
export const ArchiveEnd = z.object({
  end: z.object({ sessions: z.int().min(0), events: z.int().min(0), sha256: z.string().length(64) }),
})
export type ArchiveEnd = z.output<typeof ArchiveEnd>
