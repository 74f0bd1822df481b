/** The needs that decide between the transports. Guide, HTTP API and command line share this definition. */
import { z } from 'zod'

const count = z.number().int().min(1).max(1_000_000)
const yes = z.boolean()

/**
 * What an application does, what the network does to it, and what the client supports. All fields are optional; an absent
 * one has its default, and an absent boolean is `false` unless its description says otherwise.
 */
export const Needs = z
  .object({
    upstreamPerSecond: z
      .number()
      .min(0)
      .max(1_000_000)
      .describe('commands that one client sends per second, ephemeral events included; default 0'),
    sessions: count.describe('sessions that one client follows at a time; default 1'),
    connections: count.describe(
      'requests that may be open to the server at a time: 6 for a page over HTTP/1.1; default no limit',
    ),
    binary: yes.describe('events hold binary data'),
    mobile: yes.describe('clients sleep and change networks, as phones do'),
    headers: yes.describe('a page must send headers, as for a token'),
    plainHttp: yes.describe('the reader supports plain HTTP only, as curl or a bare EventSource'),
    buffers: yes.describe('a proxy buffers responses in spite of `x-accel-buffering: no`'),
    stripsUpgrade: yes.describe('a proxy strips the upgrade of a WebSocket'),
    cutsIdleAfterSeconds: count.describe('a proxy closes connections that are silent for this many seconds'),
    webSocket: yes.describe('the client has WebSocket; default true'),
    streams: yes.describe('the client can read a response as a stream; default true'),
  })
  .partial()
/** See the schema of the same name. */
export type Needs = { [N in keyof z.output<typeof Needs>]?: z.output<typeof Needs>[N] | undefined }
