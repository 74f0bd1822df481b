/** Sends commands over a WebSocket or by POST. Every command is safe to retry. PROTOCOL.md, "Commands". */
import type { z } from 'zod'
import { type Backoff, backoffMs, sleep } from './connection/backoff.ts'
import { type Credentials, fixedCredentials } from './connection/credentials.ts'
import { LinkedAbortController, unlessAborted } from './connection/linked-abort.ts'
import { requestJson } from './connection/request.ts'
import type { SharedSocket } from './connection/shared-socket.ts'
import { ClientError, isUnauthorized } from './errors.ts'
import type { ControlOf, SessionCommand } from './protocol.ts'

type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never

/**
 * A command without the ids that `sendCommand` adds: `id` pairs it with its answer, `key` makes it take effect once.
 */
export type CommandBody = Without<z.input<typeof SessionCommand>, 'id' | 'sessionId'>

/** The options of {@link sendCommand}. */
export interface SendOptions {
  /** The server's address, without `/v1`; in a page it may be relative. */
  url: string
  /** The session that the command is for. */
  sessionId: string
  /** The command, without the ids that are added. */
  command: CommandBody
  /** Maximum number of attempts while the server is unreachable or refuses for now. @default 5 */
  attempts?: number | undefined
  /** Aborts sending: the promise rejects with the signal's reason. The command may have taken effect. @default none */
  signal?: AbortSignal | undefined
  /** Headers of each POST. @default none */
  headers?: Record<string, string> | undefined
  /** A client's credentials, in place of `headers`: after `unauthorized` the command is sent once more with new ones. */
  credentials?: Credentials | undefined
  /** The function that sends HTTP requests. @default the global `fetch` */
  fetch?: typeof fetch | undefined
  /**
   * The waits between attempts; `attempts` and `stableMs` have no effect.
   * @default 1 s, doubling up to 30 s, with jitter
   */
  backoff?: Partial<Backoff> | undefined
  /**
   * Returns an open WebSocket for the command, or `undefined` to use POST. Called before each attempt.
   * @default POST
   */
  socket?: (() => SharedSocket | undefined) | undefined
}

/**
 * Sends one command and resolves with its `ack`. Every attempt carries the same `key`, and a `run.start` the same
 * `runId`: a command whose answer was lost takes effect once, and a prompt never starts two runs.
 * @throws ClientError the server's refusal, or the failure of the last attempt; the signal's reason on abort
 * @example
 * ```ts
 * import { sendCommand } from 'twinrail-client'
 *
 * const command = { type: 'run.cancel', runId: 'run-1', reason: 'no longer needed' } as const
 * await sendCommand({ url: 'http://127.0.0.1:8787', sessionId: 'demo', command })
 * ```
 */
export async function sendCommand(options: SendOptions): Promise<ControlOf<'ack'>> {
  const { url, sessionId, attempts = 5, fetch = globalThis.fetch } = options
  const { credentials = fixedCredentials(options.headers) } = options
  const path = `sessions/${encodeURIComponent(sessionId)}/commands`
  const command: CommandBody & { id: string; sessionId: string } = {
    id: newId(),
    key: newId(),
    ...options.command,
    sessionId,
  }
  if (command.type === 'run.start') command.runId ??= newId()

  const stop = new LinkedAbortController(options.signal)
  const { signal } = stop
  let isRefused = false
  try {
    for (let failures = 0; ; failures += 1) {
      const socket = isRefused ? undefined : options.socket?.()
      try {
        if (socket) return await unlessAborted(socket.command(command), signal)
        return await credentials.use(
          ({ headers }) => requestJson({ url, headers, fetch, signal }, path, { body: command }),
          signal,
        )
      } catch (error) {
        signal.throwIfAborted()
        if (socket && isUnauthorized(error) && credentials.refused(socket.credential)) {
          isRefused = true
          failures -= 1
          continue
        }
        if (!(error instanceof ClientError && error.retryable) || failures + 1 >= attempts) throw error
        await sleep(backoffMs(failures, error.retryAfterMs ?? 0, options.backoff), signal)
      }
    }
  } finally {
    stop.abort()
  }
}

/** A new id of 128 random bits. `crypto.randomUUID` is missing in pages that were loaded over plain HTTP. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
}
