/** What decides between the transports: the one definition of it. */
import { z } from 'zod'

const count = z.number().int().min(1).max(1_000_000)
const yes = z.boolean()

/** What an application does, what stands on the way and what the client can; what is left out is taken for ordinary. */
export const Needs = z
  .object({
    upstreamPerSecond: z
      .number()
      .min(0)
      .max(1_000_000)
      .describe('commands that one client sends a second, ephemeral events among them; default 0'),
    sessions: count.describe('sessions that one client follows at a time; default 1'),
    connections: count.describe(
      'requests that may be open to the server at a time: 6 for a page over HTTP/1.1; default no limit',
    ),
    binary: yes.describe('events hold binary data'),
    mobile: yes.describe('clients sleep and change networks, as phones do'),
    headers: yes.describe('a page must send headers, as for a token'),
    plainHttp: yes.describe('who reads has plain HTTP only, as curl or a bare EventSource'),
    buffers: yes.describe('something on the way holds responses back in spite of `x-accel-buffering: no`'),
    stripsUpgrade: yes.describe('something on the way strips the upgrade of a WebSocket'),
    cutsIdleAfterSeconds: count.describe(
      'something on the way cuts a connection that is silent for so many seconds',
    ),
    webSocket: yes.describe('the client has WebSocket; default true'),
    streams: yes.describe('the client gets a response as a stream; default true'),
  })
  .partial()
export type Needs = { [N in keyof z.output<typeof Needs>]?: z.output<typeof Needs>[N] | undefined }
